"""Model versions: which there are, what they are worth, what was decided; judged, promoted and rolled back by a click."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from markupsafe import Markup
from pydantic import BaseModel, Field

from medloop import registry
from medloop.errors import InputError
from medloop.requests import ModelsRequest, ModelsResult, RollbackRequest, RollbackResult
from medloop.store import models, studies
from medloop.store.records import Account, JobRow, ModelRow, PromotionRow
from medloop.types import Json
from medloop.web.pages import page, report, url
from medloop.web.security import Engineer, Person
from medloop.web.site import Here, Number, Site
from medloop.web.work import submit
from medloop.wire import to_json

router = APIRouter()
Reason = Annotated[str, Form(max_length=2000)]


class Judging(BaseModel):
    """How a challenger is to be judged. ``force``: promoted whatever the gate says; needs a reason, and is recorded."""

    force: bool = False
    reason: str = Field("", max_length=2000)
    renew: bool = False


class Return(BaseModel):
    """Who is to be champion again: a former champion's number or name, by default the last one; and why."""

    to: str = Field("", max_length=200)
    reason: str = Field("", max_length=2000)


@router.get("/api/models", tags=["models"])
def listed(site: Here, person: Person) -> ModelsResult:
    """Every version with its figures, the curve of figures against labels, and what 100 labels more would bring."""
    result: ModelsResult = registry.verb("models")(site.workspace, ModelsRequest())
    return result


@router.get("/api/models/{number}", tags=["models"])
def one(site: Here, person: Person, number: Number) -> ModelRow:
    """One version with its card."""
    return models.get(site.store, number)


@router.post("/api/models/{number}/promote", status_code=202, tags=["models"])
def judge(site: Here, person: Engineer, number: Number, how: Judging) -> JobRow:
    """Judge a challenger beside the champion; it is promoted if the gate, or force, lets it through. A job with a verdict."""
    return _judged(site, person, number, how)


@router.post("/api/models/rollback", tags=["models"])
def back(site: Here, person: Engineer, wanted: Return) -> RollbackResult:
    """The former champion again, exactly as it was."""
    return _back(site, person, wanted)


@router.get("/api/decisions", tags=["models"])
def decisions(site: Here, person: Person) -> list[PromotionRow]:
    """Every promotion, refusal and rollback with its evidence, newest first."""
    return models.decisions(site.store)


@router.get("/models", response_class=HTMLResponse, include_in_schema=False)
def shown(request: Request, site: Here, person: Person) -> HTMLResponse:
    """The page."""
    found = listed(site, person)
    part = Markup(registry.part("reporting", "models_part").fragment(to_json(found)))
    decided = models.decisions(site.store)
    return report(page(request, "models.html.j2", section="models", found=found, part=part, decided=decided, may=_may(person)))


@router.get("/models/{number}", response_class=HTMLResponse, include_in_schema=False)
def card(request: Request, site: Here, person: Person, number: Number) -> HTMLResponse:
    """The card of one version."""
    row = models.get(site.store, number)
    path: Path = registry.part("loop", "_card").card_path(site.workspace, row)
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    decided = [each for each in models.decisions(site.store) if number in (each.challenger_id, each.champion_id)]
    return page(request, "model.html.j2", section="models", row=row, text=text, decided=decided, may=_may(person))


@router.get("/decisions/{number}", response_class=HTMLResponse, include_in_schema=False)
def compared(request: Request, site: Here, person: Person, number: Number) -> HTMLResponse:
    """Champion and challenger side by side: is it better, and for whom it is worse."""
    row = next((each for each in models.decisions(site.store) if each.id == number), None)
    if row is None:
        raise InputError(
            "no-such-decision", got=f"There is no decision {number}.", allowed="One of the list.", fix="See the models."
        )
    shower = registry.part("reporting", "comparison_part")
    part = Markup(shower.fragment(_evidence(row), lambda case: _picture(request, site, case)))
    names = {each.id: each.name for each in models.every(site.store)}
    return report(page(request, "decision.html.j2", section="models", row=row, part=part, names=names, may=_may(person)))


@router.post("/models/{number}/promote", include_in_schema=False)
def judge_by_form(
    request: Request, site: Here, person: Engineer, number: Number, force: Annotated[bool, Form()] = False, reason: Reason = ""
) -> Response:
    """A button of the page."""
    _judged(site, person, number, Judging(force=force, reason=reason))
    return RedirectResponse(url(request, "/jobs"), 303)


@router.post("/models/rollback", include_in_schema=False)
def back_by_form(
    request: Request, site: Here, person: Engineer, to: Annotated[str, Form(max_length=200)] = "", reason: Reason = ""
) -> Response:
    """A button of the page."""
    _back(site, person, Return(to=to, reason=reason))
    return RedirectResponse(url(request, "/models"), 303)


def _judged(site: Site, person: Account, number: int, how: Judging) -> JobRow:
    models.get(site.store, number)
    if how.force and not how.reason.strip():
        raise InputError("no-reason", got="Force without a reason.", allowed="A reason, in words.", fix="Say why; it is recorded.")
    said: dict[str, Json] = {"challenger": str(number), "by": person.name, "reason": how.reason}
    return submit(site, "judge", said | {name: True for name in ("force", "renew") if getattr(how, name)}, person)


def _back(site: Site, person: Account, wanted: Return) -> RollbackResult:
    asked = RollbackRequest(to=wanted.to, reason=wanted.reason, by=person.name)
    done: RollbackResult = registry.verb("rollback")(site.workspace, asked)
    submit(site, "propose", {}, person)
    return done


def _evidence(row: PromotionRow) -> dict[str, Json]:
    said: dict[str, Json] = to_json(dict(row.evidence))
    return said | {"decision": row.decision, "reasons": said.get("reasons") or ([row.reason] if row.reason else [])}


def _picture(request: Request, site: Site, case: int) -> str | None:
    """The address of a case's picture, where its images are still there."""
    found = studies.many(site.store, [case])
    return url(request, f"/api/cases/{case}/thumbnail") if found and found[0].refs and found[0].state != "deleted" else None


def _may(person: Account) -> bool:
    return person.role in ("engineer", "admin")
