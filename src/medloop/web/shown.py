"""What a review page shows of a case: gathered from the store, with nothing of a proposal that must stay hidden."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from medloop.errors import Refused
from medloop.loop.review import Question, asked, second_opinion, unaided
from medloop.store import Store, labels, proposals, reviews, studies
from medloop.store.records import TAKEN, LabelRow, ProposalRow, ReviewRow, StudyRow
from medloop.types import Json

_OPEN = ("ready", "proposed", "second-look")


@dataclass(frozen=True, slots=True)
class Shown:
    """One case as its reader may see it. ``proposal``: None where it is hidden or there is none. ``seen``: the last review."""

    study: StudyRow
    question: Question
    proposal: ProposalRow | None
    hidden: bool
    history: tuple[ReviewRow, ...]
    label: LabelRow | None
    prior: StudyRow | None
    prior_label: LabelRow | None
    seen: int | None
    open: bool

    @property
    def last(self) -> ReviewRow | None:
        """The last review that stands."""
        return self.history[-1] if self.history else None


def gather(store: Store, case: int, reader: str, adjudicates: bool) -> Shown:
    """What this reader is shown. Raises `InputError` where there is no such case."""
    study = studies.get(store, case)
    told = reviews.of_case(store, case)
    standing = tuple(reviews.not_undone(told))
    hidden, second = unaided(study, standing, reader), second_opinion(study, standing, reader)
    proposal = proposals.latest(store, [case]).get(case)
    question = asked(store, proposal)
    prior = _prior(store, study)
    found = labels.current(store, [case] if prior is None else [case, prior.id])
    return Shown(
        study=study,
        question=question,
        proposal=None if hidden else proposal,
        hidden=hidden,
        history=() if second else standing,
        label=None if hidden else found.get((case, question.name)),
        prior=prior,
        prior_label=None if prior is None else found.get((prior.id, question.name)),
        seen=told[-1].id if told else None,
        open=study.state in _OPEN or second or (adjudicates and study.state == "adjudication"),
    )


def hide(store: Store, case: int, reader: str) -> None:
    """Raises `Refused` where what is proposed of the case must stay hidden from this reader."""
    if unaided(studies.get(store, case), reviews.standing(store, [case]), reader):
        raise Refused(
            "read-blind",
            got="This case is read blind.",
            allowed="Its proposal after you have said what you see.",
            fix="Commit your reading first.",
        )


def findings(proposal: ProposalRow | None) -> dict[str, Any]:
    """Outline, boxes, measures and broken rules of a proposal, as the page draws them."""
    found = {} if proposal is None else proposal.findings
    mask, boxes = found.get("mask"), found.get("boxes")
    return {
        "mask": mask if isinstance(mask, Mapping) else None,
        "boxes": boxes if isinstance(boxes, Mapping) else None,
        "measures": found.get("measures") or [],
        "violations": found.get("violations") or [],
    }


def words(value: Json) -> str:
    """A label's value as text."""
    if isinstance(value, Mapping):
        return ", ".join(name for name, known in value.items() if known) or "–"
    return f"{value:.4g}" if isinstance(value, float) else "–" if value is None else str(value)


def _prior(store: Store, study: StudyRow) -> StudyRow | None:
    """The study of the same patient before this one, with its images."""
    if study.patient is None:
        return None
    before = [row for row in studies.of_patient(store, study.patient) if _another(row, study) and _when(row) < _when(study)]
    return studies.get(store, max(before, key=_when).id) if before else None


def _another(row: StudyRow, study: StudyRow) -> bool:
    """Whether it is of another visit, not another series of the same one."""
    return row.id != study.id and (row.study is None or row.study != study.study)


def _when(row: StudyRow) -> tuple[str, float, int]:
    return row.attributes.get(TAKEN, ""), row.arrived.timestamp(), row.id
