"""The audit trail: who did what and when, and whether it is whole."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from medloop.store import audit
from medloop.store.records import AuditRow
from medloop.web.pages import page
from medloop.web.security import Engineer
from medloop.web.site import Here

router = APIRouter()
_ROWS = 100
Before = Annotated[int | None, Query(ge=1, le=2**31 - 1)]
Subject = Annotated[str | None, Query(max_length=200)]


@router.get("/api/audit", tags=["audit"])
def entries(
    site: Here,
    person: Engineer,
    before: Before = None,
    subject: Subject = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = _ROWS,
) -> list[AuditRow]:
    """Entries, newest first; `before` a number gives those that were written earlier. Content of forgotten patients is null."""
    return audit.page(site.store, before=before, limit=limit, subject=subject or None)


@router.get("/api/audit/verify", tags=["audit"])
def verify(site: Here, person: Engineer) -> dict[str, Any]:
    """Whether nothing in the trail was changed, taken out or put elsewhere; `last` is worth keeping elsewhere."""
    problems = audit.verify(site.store)
    number, hash_ = audit.last(site.store)
    return {"whole": not problems, "problems": problems, "last": {"number": number, "hash": hash_}}


@router.get("/audit", response_class=HTMLResponse, include_in_schema=False)
def shown(
    request: Request, site: Here, person: Engineer, before: Before = None, subject: Subject = None, check: bool = False
) -> HTMLResponse:
    """The page; with ``check`` the whole trail is verified."""
    found = audit.page(site.store, before=before, limit=_ROWS, subject=subject or None)
    problems = audit.verify(site.store) if check else None
    more = found[-1].number if len(found) == _ROWS else None
    return page(request, "audit.html.j2", section="audit", rows=found, more=more, subject=subject or "", problems=problems)
