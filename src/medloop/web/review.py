"""The review page: one case, what is proposed of it, and what its reader says."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse

from medloop.store import desk, drafts, models, studies
from medloop.store.records import StudyRow
from medloop.web.pages import page, texts_of, url
from medloop.web.pictures import addresses
from medloop.web.readings import Which, adjudicates
from medloop.web.security import Reader
from medloop.web.shown import Shown, findings, gather, words
from medloop.web.site import Here, Number, Site

router = APIRouter(include_in_schema=False)
REASONS = ("wrong-patient", "wrong-series", "image-quality")
"""Why a study is rejected, beside reasons in a reader's own words."""


@router.get("/review/{case}", response_class=HTMLResponse)
def review(request: Request, person: Reader, site: Here, case: Number, which: Which) -> Response:
    """The page. Taking a case up lays it on the reader's desk, so that nobody else is sent to it."""
    with site.store.read():
        shown = gather(site.store, case, person.name, adjudicates(person))
        found = findings(shown.proposal)
        nearest, model = _nearest(site, shown), _model(site, shown)
        about = _about(request, site, shown, found, drafts.get(site.store, case, person.id), which.address)
        lies = desk.lies(site.store, case, person)
    if shown.open and not lies:
        desk.take(site.store, case, person)
    return page(
        request,
        "review.html.j2",
        section="worklist",
        shown=shown,
        study=shown.study,
        proposal=shown.proposal,
        found=found,
        again=shown.study.state != "adjudication" or adjudicates(person),
        words=words,
        nearest=nearest,
        model=model,
        reasons=REASONS,
        which=which,
        about=about,
    )


def _about(
    request: Request, site: Site, shown: Shown, found: dict[str, Any], draft: dict[str, Any] | None, query: str
) -> dict[str, Any]:
    """What the page's script works with."""
    question, proposal, prior = shown.question, shown.proposal, shown.prior
    mask, boxes = found["mask"], found["boxes"]
    return {
        "case": shown.study.id,
        "name": shown.study.name,
        "modality": shown.study.modality,
        "images": _images(request, shown.study),
        "prior": None if prior is None else {"case": prior.id, "images": _images(request, prior)},
        "kind": "number" if question.number else "several" if question.several else "one",
        "classes": list(question.classes),
        "proposal": None if proposal is None else {"id": proposal.id, "label": proposal.label, "decision": proposal.decision},
        "hidden": shown.hidden,
        "open": shown.open,
        "seen": shown.seen,
        "mask": None if mask is None or "blob" not in mask else {"url": url(request, f"/api/marks/{mask['blob']}")},
        "maskClasses": list((mask or {}).get("classes") or question.outlined),
        "heat": None if proposal is None else {"url": url(request, f"/api/proposals/{proposal.id}/heat")},
        "boxes": [{**each, "kind": each.get("class", 0)} for each in (boxes or {}).get("boxes") or []],
        "boxClasses": list((boxes or {}).get("classes") or question.boxed),
        "draft": draft,
        "urls": {
            "review": url(request, f"/api/cases/{shown.study.id}/reviews{query}"),
            "draft": url(request, f"/api/cases/{shown.study.id}/draft"),
            "undo": url(request, "/api/reviews/undo"),
            "ahead": url(request, f"/api/next{query}{'&' if query else '?'}besides={shown.study.id}"),
            "next": url(request, f"/next{query}"),
            "skip": url(request, f"/next{query}{'&' if query else '?'}besides={shown.study.id}"),
            "list": url(request, f"/{query}"),
            "login": url(request, "/login"),
            "here": f"/review/{shown.study.id}{query}",
        },
        "texts": texts_of(request).part("review.script"),
    }


def _images(request: Request, study: StudyRow) -> list[dict[str, Any]]:
    return [
        {"url": url(request, address), "name": ref.name.rsplit("/", 1)[-1]}
        for address, ref in zip(addresses(study.id, study.refs), study.refs, strict=True)
    ]


def _nearest(site: Site, shown: Shown) -> list[dict[str, Any]]:
    """Confirmed cases most like this one, those that are still there."""
    listed = [] if shown.proposal is None else shown.proposal.nearest[:6]
    if not listed:
        return []
    known = {row.id: row for row in studies.many(site.store, [int(each["case_id"]) for each in listed])}
    return [
        {**each, "name": known[each["case_id"]].name}
        for each in listed
        if each["case_id"] in known and known[each["case_id"]].state != "deleted"
    ]


def _model(site: Site, shown: Shown) -> str | None:
    """The name of the model that made the proposal."""
    return None if shown.proposal is None else models.name_of(site.store, shown.proposal.model_id)
