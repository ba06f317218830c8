"""The worklist: what waits for a reader, the most useful first."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse

from medloop.web.pages import page
from medloop.web.security import Person

router = APIRouter(include_in_schema=False)


@router.get("/", response_class=HTMLResponse)
def worklist(request: Request, person: Person) -> Response:
    """The first page."""
    return page(request, "worklist.html.j2", section="worklist", rows=())
