"""Jobs: what waits, runs and ended, with progress as it goes; an engineer asks for one or stops one."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import BaseModel, Field

from medloop.errors import Refused
from medloop.loop import jobs as work
from medloop.loop._messages import messages
from medloop.loop._pulse import workers
from medloop.store import jobs
from medloop.store.records import Account, JobRow
from medloop.types import Json
from medloop.web.pages import page, rendered, url
from medloop.web.security import Engineer
from medloop.web.site import Here, Number, Site

router = APIRouter()
_SHOWN = 100
_BUTTONS = ("propose", "retrain", "label-audit")


class Wanted(BaseModel):
    """A job that is asked for."""

    kind: str = Field(max_length=32, examples=["retrain"])
    request: dict[str, Any] = Field(default_factory=dict, examples=[{"budget": "10m"}])


def submit(site: Site, kind: str, request: dict[str, Json], person: Account) -> JobRow:
    """Ask for a job in this person's name. Raises `InputError`."""
    with closing(messages(site.workspace.root)) as queue:
        return work.submit(site.store, queue, kind, request, person.name)


@router.get("/api/jobs", tags=["jobs"])
def listed(site: Here, person: Engineer, limit: Annotated[int, Query(ge=1, le=1000)] = _SHOWN) -> list[JobRow]:
    """Jobs, newest first."""
    return jobs.every(site.store, limit=limit)


@router.get("/api/jobs/{number}", tags=["jobs"])
def one(site: Here, person: Engineer, number: Number) -> JobRow:
    """One job with its progress, its result or what went wrong."""
    return jobs.get(site.store, number)


@router.post("/api/jobs", status_code=201, tags=["jobs"])
def ask(site: Here, person: Engineer, wanted: Wanted) -> JobRow:
    """Ask for a job: propose, retrain, judge, label-audit, or ingest (a folder of the server, by an admin)."""
    return submit(site, wanted.kind, _own(wanted, person), person)


@router.post("/api/jobs/{number}/stop", tags=["jobs"])
def stop(site: Here, person: Engineer, number: Number) -> JobRow:
    """Stop a job that waits or runs; it will not be done again by itself."""
    jobs.get(site.store, number)
    jobs.end(site.store, number, "stopped", actor=person.name)
    return jobs.get(site.store, number)


@router.get("/jobs", response_class=HTMLResponse, include_in_schema=False)
def shown(request: Request, site: Here, person: Engineer) -> HTMLResponse:
    """The page."""
    return page(request, "jobs.html.j2", section="jobs", kinds=_BUTTONS, **_rows(site))


@router.get("/jobs/rows", response_class=HTMLResponse, include_in_schema=False)
def rows(request: Request, site: Here, person: Engineer) -> HTMLResponse:
    """The part of the page that changes."""
    return HTMLResponse(rendered(request, "jobs_rows.html.j2", **_rows(site)))


@router.get("/jobs/{number}", response_class=HTMLResponse, include_in_schema=False)
def one_shown(request: Request, site: Here, person: Engineer, number: Number) -> HTMLResponse:
    """One job in full."""
    return page(request, "job.html.j2", section="jobs", job=jobs.get(site.store, number))


@router.post("/jobs", include_in_schema=False)
def ask_by_form(request: Request, site: Here, person: Engineer, kind: Annotated[str, Form(max_length=32)]) -> Response:
    """A button of the page."""
    submit(site, kind, {}, person)
    return RedirectResponse(url(request, "/jobs"), 303)


@router.post("/jobs/{number}/stop", include_in_schema=False)
def stop_by_form(request: Request, site: Here, person: Engineer, number: Number) -> Response:
    """A button of the page."""
    stop(site, person, number)
    return RedirectResponse(url(request, "/jobs"), 303)


def _own(wanted: Wanted, person: Account) -> dict[str, Any]:
    """The request with the name of whoever asks, where the verb keeps one: nobody speaks in another's name.

    Raises `Refused` where somebody who is no admin names a path: the disk of the server is the admin's.
    """
    paths = wanted.kind == "ingest" or any(isinstance(each, str) and set(each) & set("/\\~") for each in wanted.request.values())
    if paths and person.role != "admin":
        raise Refused(
            "forbidden",
            got=f"The role {person.role} may not name files of the server.",
            allowed="Names without a path; uploads; the role admin.",
            fix="Upload the files, or ask an admin.",
        )
    return {**wanted.request, "by": person.name} if wanted.kind == "judge" else wanted.request


def _rows(site: Site) -> dict[str, Any]:
    found = jobs.every(site.store, limit=_SHOWN)
    alive = [each for each in workers(site.workspace.root) if each.alive]
    return {"jobs": found, "alive": len(alive)}
