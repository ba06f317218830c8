"""The worklist: what waits for a reader, the most useful first."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from medloop.loop.review import asked
from medloop.store import desk, labels, proposals, reviews, settings, studies
from medloop.store.records import STATES, StudyRow
from medloop.web.pages import page, rendered, url
from medloop.web.readings import Wanted, Which, waiting
from medloop.web.security import Person, Reader
from medloop.web.shown import words
from medloop.web.site import Here, Site

router = APIRouter(include_in_schema=False)
_ROWS = 50
_SHOWN_STATES = tuple(state for state in STATES if state != "deleted")


@router.get("/", response_class=HTMLResponse)
def worklist(
    request: Request, person: Person, site: Here, which: Which, after: Annotated[str, Query(max_length=200)] = "", done: str = ""
) -> Response:
    """A page of the list; to htmx only the rows that follow."""
    if person.role == "engineer" and not after:
        return RedirectResponse(url(request, "/models"), 303)
    if "order" not in request.query_params:
        which = Wanted(
            order=str(settings.get(site.store, "order")),
            state=which.state,
            modality=which.modality,
            site=which.site,
            text=which.text,
        )
    found = studies.page(site.store, which.order, which.which(person), _ROWS, after or None)
    shown: dict[str, Any] = {"rows": _rows(site, found.rows, person.name), "after": found.after, "which": which}
    if request.headers.get("hx-request") and after:
        return HTMLResponse(rendered(request, "worklist_rows.html.j2", **shown))
    numbers = studies.counts(site.store)
    return page(
        request,
        "worklist.html.j2",
        section="worklist",
        counts=numbers,
        waiting=sum(numbers[state] for state in waiting(person)),
        states=_SHOWN_STATES,
        orders=studies.ORDERS,
        done=done,
        last=reviews.last_of(site.store, person.name),
        **shown,
    )


@router.get("/next")
def following_page(request: Request, person: Reader, site: Here, which: Which, besides: int = 0) -> Response:
    """To the next case, or back to the list where nothing is left."""
    if besides:
        desk.pass_over(site.store, besides, person)
    case = desk.claim(site.store, which.wish(person, besides))
    there = f"/{which.address or '?'}&done=1".replace("?&", "?") if case is None else f"/review/{case}{which.address}"
    return RedirectResponse(url(request, there), 303)


def _rows(site: Site, rows: tuple[StudyRow, ...], reader: str) -> list[dict[str, Any]]:
    """Studies with what the list may tell of them: of a case read blind no proposal, of one half read no label."""
    numbers = [row.id for row in rows]
    found = proposals.latest(site.store, numbers) if numbers else {}
    question = asked(site.store)
    known = labels.current(site.store, numbers) if numbers else {}
    made = []
    for row in rows:
        closed = row.state in ("done", "second-look", "adjudication")
        hidden = (row.blind or row.frozen) and not closed
        label = known.get((row.id, question.name)) if closed else None
        made.append(
            {
                "study": row,
                "blind": row.blind or row.frozen,
                "proposal": None if hidden else found.get(row.id),
                "label": None if label is None or label.value is None else words(label.value),
                "by": None if label is None else label.author,
            }
        )
    return made
