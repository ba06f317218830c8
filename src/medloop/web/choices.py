"""Settings: what the department chose. Each value is checked by the kind of its default before it is kept."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Body, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from medloop import registry
from medloop.errors import InputError
from medloop.store import settings
from medloop.store.studies import ORDERS
from medloop.types import Json
from medloop.web.pages import page, url
from medloop.web.security import Admin, Engineer
from medloop.web.site import Here

router = APIRouter()
_RANGES: dict[str, tuple[float, float]] = {
    "error_rate": (0.0001, 0.5),
    "confidence": (0.5, 0.9999),
    "blind_share": (0, 1),
    "readers": (1, 2),
    "retrain_after": (0, 1_000_000),
    "test_share": (0, 0.9),
    "looks_allowed": (1, 10_000),
    "quiet_s": (0, 86_400),
    "reading_seconds": (0, 86_400),
    "keep_days": (1, 100_000),
    "margin": (0, 0.5),
}
_WORDS: dict[str, tuple[str, ...]] = {"order": ORDERS, "language": ("en", "zh")}


@router.get("/api/settings", tags=["settings"])
def every(site: Here, person: Engineer) -> dict[str, Any]:
    """All settings."""
    return settings.every(site.store)


@router.patch("/api/settings", tags=["settings"])
def put(site: Here, person: Admin, values: Annotated[dict[str, Any], Body(examples=[{"retrain_after": 100}])]) -> dict[str, Any]:
    """Choose some, all or none of them; the others stay. Every change is in the audit trail."""
    settings.put(site.store, {key: checked(key, value) for key, value in values.items()}, person.name)
    return settings.every(site.store)


@router.get("/settings", response_class=HTMLResponse, include_in_schema=False)
def shown(request: Request, site: Here, person: Admin) -> HTMLResponse:
    """The page."""
    return page(request, "settings.html.j2", section="settings", values=_texts(site), saved="saved" in request.query_params)


@router.post("/settings", include_in_schema=False)
async def put_by_form(request: Request, site: Here, person: Admin) -> Response:
    """The form of the page: what is empty means nothing."""
    form = await request.form()
    values = {key: _read(key, str(form[key])) for key in settings.DEFAULTS if key in form}
    settings.put(site.store, {key: checked(key, value) for key, value in values.items()}, person.name)
    return RedirectResponse(url(request, "/settings?saved=1"), 303)


def checked(key: str, value: Json) -> Json:
    """The value if this setting may have it. Raises `InputError`."""
    default = settings.DEFAULTS.get(key)
    if key in _RANGES and value is not None:
        low, high = _RANGES[key]
        whole = isinstance(default, int) and key not in ("blind_share",)
        right = isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high
        if not right or (whole and value != int(value)):
            raise _wrong(key, f"a {'whole ' if whole else ''}number from {low:g} to {high:g}")
        return int(value) if whole else value
    if key in _WORDS and value not in _WORDS[key]:
        raise _wrong(key, " or ".join(_WORDS[key]))
    if key in _RANGES and default is not None:
        raise _wrong(key, "a number")
    if isinstance(default, bool) and not isinstance(value, bool):
        raise _wrong(key, "true or false")
    if key == "target" and value is not None:
        registry.part("loop", "_stored").target_from(value if isinstance(value, dict) else {})
    if key == "drawn" and not _classes_drawn(value):
        raise _wrong(key, '{"masks": ["CLASS", ...], "boxes": ["CLASS", ...]}, or nothing')
    if key in ("mapping", "watch", "recipe") and not (value is None or isinstance(value, (str, dict))):
        raise _wrong(key, "text, or nothing")
    if len(json.dumps(value)) > 200_000:
        raise _wrong(key, "less")
    if key == "mapping" and isinstance(value, str):
        registry.part("loop", "_standards").mapping_of(value)
    return value


def _classes_drawn(value: Json) -> bool:
    """Whether this may say what readers outline and box."""
    if value is None:
        return True
    parts = value.items() if isinstance(value, dict) else [("", None)]
    words = [name for _, names in parts for name in (names if isinstance(names, list) else [None])]
    return all(key in ("masks", "boxes") for key, _ in parts) and all(isinstance(word, str) for word in words)


def _wrong(key: str, allowed: str) -> InputError:
    return InputError("bad-setting", got=f"The setting '{key}' is none.", allowed=f"{allowed}.", fix="Choose another value.")


def _texts(site: Here) -> dict[str, str]:
    """Each setting as its field shows it."""
    found = settings.every(site.store)
    return {key: value if isinstance(value, str) else "" if value is None else json.dumps(value) for key, value in found.items()}


def _read(key: str, text: str) -> Json:
    text = text.strip()
    if not text:
        return None if settings.DEFAULTS[key] is None else settings.DEFAULTS[key]
    if key in _WORDS or key in ("watch", "recipe"):
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        if key == "mapping":
            return text
        raise _wrong(key, "JSON") from error
