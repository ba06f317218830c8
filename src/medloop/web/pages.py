"""From a template and its values to a page: texts in the reader's language, addresses below the server's path; values escaped."""

from __future__ import annotations

import json
from datetime import datetime
from functools import cache
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from medloop.store import settings
from medloop.version import VERSION
from medloop.web.assets import assets
from medloop.web.headers import POLICY
from medloop.web.site import site_of
from medloop.web.texts import Texts, chosen, languages

LANGUAGE_COOKIE = "medloop_language"
_IN_SCRIPT = {ord(each): f"\\u{ord(each):04x}" for each in "<>&\u2028\u2029"}


@cache
def _environment() -> Environment:
    shape: dict[str, Any] = {"trim_blocks": True, "lstrip_blocks": True, "undefined": StrictUndefined}
    made = Environment(loader=PackageLoader("medloop.web"), autoescape=True, auto_reload=False, **shape)
    made.filters |= {"data": _data, "percent": _percent, "number": _number, "moment": _moment}
    return made


def page(request: Request, template: str, *, status: int = 200, **content: Any) -> HTMLResponse:
    """The page as an answer. Every template may use ``t`` (texts), ``url``, ``asset``, ``person`` (or None) and ``csrf``."""
    return HTMLResponse(rendered(request, template, **content), status)


def rendered(request: Request, template: str, **content: Any) -> str:
    """The HTML of a template: a page, or a part of one for htmx."""
    shared = {
        "t": texts_of(request),
        "languages": languages(),
        "url": lambda path: url(request, path),
        "asset": lambda name: url(request, f"{assets()}/{name}"),
        "person": getattr(request.state, "person", None),
        "csrf": getattr(request.state, "csrf", ""),
        "here": f"{request.url.path.removeprefix(root(request))}{'?' if request.url.query else ''}{request.url.query}",
        "version": VERSION,
    }
    return _environment().get_template(template).render(shared | content)


def report(made: HTMLResponse) -> HTMLResponse:
    """A page that holds a part of a report, whose charts are styled inside. Scripts stay forbidden there."""
    made.headers["Content-Security-Policy"] = POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")
    return made


def texts_of(request: Request) -> Texts:
    """Texts in the language that the reader chose, else the first that the browser asks for and there is, else the department's."""
    known: Texts | None = getattr(request.state, "texts", None)
    if known is None:
        asked = request.headers.get("accept-language", "")
        wanted = [request.cookies.get(LANGUAGE_COOKIE, ""), *(each.split(";")[0] for each in asked.split(","))]
        known = request.state.texts = chosen(wanted, lambda: str(settings.get(site_of(request).store, "language")))
    return known


def root(request: Request) -> str:
    """The path below which a reverse proxy offers this server, without the last slash; empty at the top."""
    return str(request.scope.get("root_path", "")).rstrip("/")


def url(request: Request, path: str) -> str:
    """An address on this server, as the browser must ask for it."""
    return f"{root(request)}{path}"


def local(path: str) -> str:
    """The path if it leads to a page of this server, else the first page: nobody is sent elsewhere after log-in."""
    plain = path.startswith("/") and not path.startswith(("//", "/\\")) and all(each.isprintable() for each in path)
    return path if plain and "\\" not in path else "/"


def _data(value: Any) -> Markup:
    """JSON that may stand inside a ``<script type="application/json">``."""
    return Markup(json.dumps(value, ensure_ascii=False).translate(_IN_SCRIPT))


def _percent(share: float | None, digits: int = 0) -> str:
    return "–" if share is None else f"{100 * share:.{digits}f} %"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _moment(value: datetime | None) -> str:
    return "–" if value is None else value.strftime("%Y-%m-%d %H:%M")
