"""What a reader says, as JSON: reviews, their undoing, drafts, and which case comes next. The review page uses these routes."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

import numpy as np
from fastapi import APIRouter, Body, Depends, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from medloop import readers, registry
from medloop.errors import InputError, Refused
from medloop.loop.review import Posed, posed, unaided
from medloop.store import desk, drafts, proposals, reviews, studies
from medloop.store.records import OPEN_STATES, Account, StudyRow
from medloop.web.pages import url
from medloop.web.pictures import addresses
from medloop.web.security import Reader
from medloop.web.shown import findings, words
from medloop.web.site import Here, Number, Site
from medloop.wire import to_json

router = APIRouter(prefix="/api", tags=["reading"])
_MOST_DRAFT = 4_000_000


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Runs(_Strict):
    """An outline: ``runs`` is value, count, value, count, ... over the slices of ``shape`` (Z, Y, X)."""

    shape: Annotated[list[Annotated[int, Field(ge=1, le=65_536)]], Field(min_length=3, max_length=3)]
    runs: Annotated[list[Annotated[int, Field(ge=0, le=2**31 - 1)]], Field(max_length=2_000_000)]


class Box(_Strict):
    """A box by its edges in voxels of the image as read: voxel i covers i to i + 1."""

    z0: Annotated[float, Field(allow_inf_nan=False)]
    y0: Annotated[float, Field(allow_inf_nan=False)]
    x0: Annotated[float, Field(allow_inf_nan=False)]
    z1: Annotated[float, Field(allow_inf_nan=False)]
    y1: Annotated[float, Field(allow_inf_nan=False)]
    x1: Annotated[float, Field(allow_inf_nan=False)]
    kind: Annotated[int, Field(ge=0, le=253)] = 0
    score: float | None = None


class Reading(_Strict):
    """A review. ``seen``: the case's last review when the page was drawn. ``mask``, ``boxes``: only where changed."""

    action: Literal["accept", "correct", "reject", "unsure"]
    value: str | float | dict[str, float] | None = None
    reason: Annotated[str, Field(max_length=2000)] = ""
    seen: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    proposal: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    seconds: Annotated[float, Field(ge=0, le=1e7)] | None = None
    mask: Runs | None = None
    boxes: Annotated[list[Box], Field(max_length=1000)] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which studies a reader wants to see, and in which order; the address of every page of theirs carries it on."""

    order: str = "useful"
    state: str = ""
    modality: str = ""
    site: str = ""
    text: str = ""

    @property
    def address(self) -> str:
        """As the end of an address, with what differs from the usual."""
        plain = Wanted()
        chosen = {
            name: value
            for name in ("order", "state", "modality", "site", "text")
            if (value := getattr(self, name)) != getattr(plain, name)
        }
        return f"?{urlencode(chosen)}" if chosen else ""

    def states(self, person: Account) -> tuple[str, ...]:
        """The states meant: one, or all that wait for this reader."""
        return (self.state,) if self.state else waiting(person)

    def wish(self, person: Account, besides: int = 0) -> desk.Wish:
        """Which case is this reader's next one."""
        return desk.Wish(reader=person, order=self.order, which=self.which(person), besides=besides)

    def which(self, person: Account) -> studies.Filter:
        """As the store asks."""
        return studies.Filter(
            states=self.states(person),
            modality=self.modality or None,
            site=self.site or None,
            text=self.text.replace("\0", "") or None,
        )


async def wanted(
    order: Annotated[str, Query(max_length=20)] = "",
    state: Annotated[str, Query(max_length=20)] = "",
    modality: Annotated[str, Query(max_length=64)] = "",
    site: Annotated[str, Query(max_length=200)] = "",
    text: Annotated[str, Query(max_length=200)] = "",
) -> Wanted:
    """From an address."""
    return Wanted(order=order or "useful", state=state, modality=modality, site=site, text=text)


Which = Annotated[Wanted, Depends(wanted)]
"""As an argument of a route: the list that the reader works through."""


def waiting(person: Account) -> tuple[str, ...]:
    """The states of cases that wait for somebody of this role."""
    return (*OPEN_STATES, "adjudication") if adjudicates(person) else OPEN_STATES


def adjudicates(person: Account) -> bool:
    """Whether cases on which readers disagree are for this person."""
    return person.role in ("adjudicator", "admin")


@router.post("/cases/{case}/reviews", status_code=HTTPStatus.CREATED, response_model=dict[str, Any])
def review(request: Request, person: Reader, site: Here, case: Number, said: Reading, which: Which) -> Response:
    """Commit a review: the label, the trail and the study's state in one. Answers 409 where somebody else did since.

    ``next`` of the answer is the page of the case that follows in the list asked for; it is on this reader's desk from now on.
    """
    put = posed(site.store, case, person.name)
    if put.study.state == "adjudication" and not adjudicates(person):
        raise Refused(
            "forbidden",
            got="This case waits for an adjudicator.",
            allowed="Adjudicators and admins.",
            fix="Go on with the next case.",
        )
    new = replace(put.answered(said.action, said.value, said.reason), findings=_findings(site, put, said), seconds=said.seconds)
    current = None if put.proposal is None else put.proposal.id
    if said.action == "accept" and said.proposal not in (None, current) and not put.hidden:
        raise _renewed()
    with site.store.write() as connection:
        kept = reviews.commit(site.store, new, said.seen)
        after = desk.hand_out(connection, which.wish(person, case))
    told = put.proposal if put.hidden else None
    there = f"/next{which.address}" if after is None else f"/review/{after}{which.address}"
    answer = {
        "review": kept.id,
        "said": words(kept.value) if kept.value is not None else kept.action,
        "proposal": None if told is None else {"label": told.label, "confidence": told.confidence},
        "next": url(request, there),
    }
    return JSONResponse(answer, HTTPStatus.CREATED)


@router.post("/reviews/undo")
def undo(request: Request, person: Reader, site: Here) -> dict[str, Any]:
    """Take back one's own last review, where nothing followed on that case."""
    last = reviews.last_of(site.store, person.name)
    if last is None:
        raise InputError(
            "no-review", got="You have no review that could be undone.", allowed="Your own last review.", fix="Go on reading."
        )
    reviews.undo(site.store, last.id, person.name)
    return {"case": last.case_id, "page": url(request, f"/review/{last.case_id}"), "value": last.value}


@router.get("/next")
def following_case(
    request: Request,
    person: Reader,
    site: Here,
    which: Which,
    besides: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
) -> dict[str, Any]:
    """Which case would come after this one, and the addresses of what its page shows, so that a browser may fetch them ahead."""
    with site.store.read():
        case = desk.following(site.store, which.wish(person, besides))
        if case is None:
            return {"case": None, "images": [], "marks": []}
        whole = studies.get(site.store, case)
        hidden = unaided(whole, reviews.standing(site.store, [case]), person.name)
        found = findings(None if hidden else proposals.latest(site.store, [case]).get(case))
    mask = found["mask"]
    blobs = [mask["blob"]] if mask is not None and "blob" in mask else []
    return {
        "case": case,
        "images": [url(request, each) for each in addresses(case, whole.refs)[:1]],
        "marks": [url(request, f"/api/marks/{each}") for each in blobs],
    }


@router.get("/cases/{case}/draft")
def draft(person: Reader, site: Here, case: Number) -> dict[str, Any]:
    """What this reader had begun; empty where nothing is kept."""
    return drafts.get(site.store, case, person.id) or {}


@router.put("/cases/{case}/draft", status_code=HTTPStatus.NO_CONTENT)
def keep_draft(request: Request, person: Reader, site: Here, case: Number, content: Annotated[dict[str, Any], Body()]) -> Response:
    """Keep what this reader has begun, in place of what was kept before."""
    if int(request.headers.get("content-length") or _MOST_DRAFT + 1) > _MOST_DRAFT:
        raise InputError(
            "draft-too-large", got="The draft is too large.", allowed=f"{_MOST_DRAFT} bytes.", fix="Commit it, or begin anew."
        )
    drafts.put(site.store, case, person.id, content)
    return Response(status_code=HTTPStatus.NO_CONTENT)


@router.delete("/cases/{case}/draft", status_code=HTTPStatus.NO_CONTENT)
def drop_draft(person: Reader, site: Here, case: Number) -> Response:
    """Forget it."""
    drafts.drop(site.store, case, person.id)
    return Response(status_code=HTTPStatus.NO_CONTENT)


@router.get("/cases")
def cases(
    person: Reader,
    site: Here,
    which: Which,
    after: Annotated[str, Query(max_length=200)] = "",
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> dict[str, Any]:
    """The worklist: studies in this order; ``after`` of the answer asks for those that follow."""
    found = studies.page(site.store, which.order, which.which(person), limit, after or None)
    return {"cases": [plain(row) for row in found.rows], "after": found.after}


@router.get("/cases/{case}")
def one_case(person: Reader, site: Here, case: Number) -> dict[str, Any]:
    """One study with its proposal, unless that must stay hidden from this reader, and its reviews."""
    row = studies.get(site.store, case)
    standing = reviews.standing(site.store, [case])
    hidden = unaided(row, standing, person.name)
    proposal = None if hidden else proposals.latest(site.store, [case]).get(case)
    seen = [each for each in standing if each.author == person.name] if row.state == "reading" or hidden else standing
    return {**plain(row), "proposal": to_json(proposal), "reviews": to_json(seen), "seen": reviews.head(site.store, case)}


def plain(row: StudyRow) -> dict[str, Any]:
    """A study as JSON, without the places of its files. Whether it is of the frozen test set is not for readers."""
    return {
        "id": row.id,
        "name": row.name,
        "series": row.series,
        "patient": row.patient,
        "site": row.site,
        "scanner": row.scanner,
        "modality": row.modality,
        "arrived": row.arrived.isoformat(),
        "state": row.state,
        "why": row.why,
        "urgency": row.urgency,
        "images": len(row.refs),
    }


def _renewed() -> Refused:
    return Refused(
        "proposal-renewed",
        got="A newer model has made another proposal since the page was drawn.",
        allowed="Accepting the proposal that is current.",
        fix="Load the page again and look at the new proposal.",
    )


def _findings(site: Site, put: Posed, said: Reading) -> dict[str, Any]:
    """The outline and boxes that the reader drew, the outline as a blob."""
    found: dict[str, Any] = {}
    mask, boxes = (findings(put.proposal)[name] or {} for name in ("mask", "boxes"))
    if said.mask is not None:
        classes = list(mask.get("classes") or put.question.outlined)
        found[str(mask.get("target") or "masks")] = {"blob": _kept(site, put.study, said.mask), "classes": classes}
    if said.boxes is not None:
        each = [{**box.model_dump(exclude={"kind", "score"}), "class": box.kind} for box in said.boxes]
        found[str(boxes.get("target") or "boxes")] = {"classes": list(boxes.get("classes") or put.question.boxed), "boxes": each}
    return found


def _kept(site: Site, study: StudyRow, mask: Runs) -> str:
    """The blob of an outline, which must lie on the grid of the case's first image."""
    grid = study.refs[0].shape if study.refs else (1, 1, 0, 0, 0)
    depth = grid[0] if grid[2] == 1 and grid[0] > 1 else grid[2]
    values, counts = np.array(mask.runs[::2], np.int64), np.array(mask.runs[1::2], np.int64)
    if (
        tuple(mask.shape) != (depth, *grid[3:])
        or len(values) != len(counts)
        or counts.sum() != math.prod(mask.shape)
        or (values > 255).any()
    ):
        raise InputError(
            "bad-outline",
            got=f"The outline has the shape {mask.shape}, or its runs do not fill it.",
            allowed=f"Runs of values up to 255 that fill {[depth, *grid[3:]]}.",
            fix="Load the page again and draw once more.",
        )
    drawn = np.repeat(values.astype(np.uint8), counts).reshape(mask.shape)
    affine = readers.affine(studies.local(site.store, study).refs[0]) if grid[2] > 1 else None
    content, suffix = registry.part("loop", "_drawn").mask_blob(drawn, affine, study.refs[0])
    return site.store.blobs.put(content, suffix)
