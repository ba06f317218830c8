"""What a reader says of a case, committed: accepted, corrected, rejected, unsure, or taken back."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from medloop.errors import InputError
from medloop.loop._records import opened
from medloop.progress import QUIET, Progress
from medloop.requests import ReviewRequest, ReviewResult
from medloop.store import Store, labels, proposals, reviews, settings, studies
from medloop.store.records import ACTIONS, ProposalRow, ReviewRow, StudyRow
from medloop.types import Json, TargetKind
from medloop.wire import to_json
from medloop.workspace import Workspace


def review(workspace: Workspace, request: ReviewRequest, tell: Progress = QUIET) -> ReviewResult:
    """Commit a review, or show a case where no action is named. Raises `InputError`, and `Refused` where somebody was quicker."""
    del tell
    if request.action and request.action not in ACTIONS:
        raise InputError(
            "bad-action",
            got=f"--action {request.action}.",
            allowed=f"{', '.join(ACTIONS)}.",
            fix="Choose one of these, or leave --action out to see the case.",
        )
    workspace.ready()
    with opened(workspace, request.database, request.blobs) as records:
        if request.action == "undo":
            _undo(records, request)
        elif request.action:
            said = reviews.commit(records, _row(records, request), reviews.head(records, request.case))
            return _told(records, request, said)
        return _told(records, request, None)


def _row(records: Store, request: ReviewRequest) -> ReviewRow:
    """The review as the store keeps it."""
    case = posed(records, request.case, request.by)
    value: Json = request.value
    if value is not None and case.question.several:
        value = {name.strip(): 1.0 for name in value.split("|") if name.strip()}
    return case.answered(request.action, value, request.reason)


def _undo(records: Store, request: ReviewRequest) -> None:
    """Take back this reader's review of the case."""
    own = reviews.standing(records, [request.case], author=request.by)
    if not own:
        raise InputError(
            "no-review",
            got=f"{request.by} has no review of case {request.case} that stands.",
            allowed="One's own review, the last of its case.",
            fix=f"See medloop review {request.case}.",
        )
    reviews.undo(records, own[-1].id, request.by)


def _told(records: Store, request: ReviewRequest, said: ReviewRow | None) -> ReviewResult:
    study = studies.get(records, request.case)
    standing = reviews.standing(records, [request.case])
    hidden, second = unaided(study, standing, request.by), second_opinion(study, standing, request.by)
    proposal = proposals.latest(records, [request.case]).get(request.case)
    label = labels.current(records, [request.case]).get((request.case, asked(records, proposal).name))
    return ReviewResult(
        case=study.id,
        name=study.name,
        state=study.state,
        review=None if said is None else said.id,
        proposal=None if hidden or proposal is None else to_json(proposal),
        label=None if hidden or second or label is None else to_json(label),
        reviews=[] if second else [to_json(each) for each in standing],
    )


@dataclass(frozen=True, slots=True)
class Question:
    """What readers are asked: the target of the project. ``classes`` empty: a number, or nothing known yet.

    ``outlined``, ``boxed``: what they draw where no proposal says.
    """

    kind: str
    classes: tuple[str, ...]
    name: str = "classes"
    unit: str = ""
    outlined: tuple[str, ...] = ()
    boxed: tuple[str, ...] = ()

    @property
    def several(self) -> bool:
        """Whether more than one class may hold."""
        return self.kind == TargetKind.MULTILABEL.value

    @property
    def number(self) -> bool:
        """Whether the answer is a number."""
        return self.kind == TargetKind.NUMBER.value


@dataclass(frozen=True, slots=True)
class Posed:
    """A case as it is put to a reader. ``proposal``: the last one, even where it is ``hidden`` from this reader."""

    study: StudyRow
    reader: str
    question: Question
    proposal: ProposalRow | None
    hidden: bool

    def answered(self, action: str, value: Json, reason: str) -> ReviewRow:
        """What the reader says, as the store keeps it. Raises `InputError` for an answer that the question does not allow."""
        return ReviewRow(
            case_id=self.study.id,
            author=self.reader,
            action=action,
            value=valued(value, action, self.question, self.hidden),
            reason=reason.strip(),
            proposal_id=None if self.hidden or self.proposal is None else self.proposal.id,
            blind=self.hidden,
        )


def posed(store: Store, case: int, reader: str) -> Posed:
    """The case as this reader is asked about it. Raises `InputError` where there is none of that number."""
    with store.read():
        study = studies.get(store, case)
        hidden = unaided(study, reviews.not_undone(reviews.of_case(store, case)), reader)
        proposal = proposals.latest(store, [case]).get(case)
        return Posed(study, reader, asked(store, proposal), proposal, hidden)


def asked(store: Store, proposal: ProposalRow | None = None) -> Question:
    """The target of the project; where none is set, what the proposal speaks of."""
    with store.read() as connection:
        said = settings.values(connection, "target", "drawn")
    target, drawn = said["target"], said["drawn"] or {}
    if isinstance(target, Mapping):
        classes = tuple(map(str, target.get("classes") or ()))
        kind, name, unit = str(target.get("kind", "")), str(target.get("name") or "classes"), str(target.get("unit") or "")
    else:
        classes = tuple(sorted(proposal.probabilities)) if proposal is not None else ()
        kind, name, unit = (TargetKind.BINARY if len(classes) == 2 else TargetKind.MULTICLASS).value, "classes", ""
    outlined, boxed = (tuple(drawn.get(each.value) or classes) for each in (TargetKind.MASKS, TargetKind.BOXES))
    return Question(kind, classes, name, unit, outlined, boxed)


def unaided(study: StudyRow, standing: Sequence[ReviewRow], reader: str) -> bool:
    """Whether the proposal must stay hidden: the case is read blind, and this reader has not committed yet."""
    return (study.blind or study.frozen) and all(row.author != reader for row in standing)


def second_opinion(study: StudyRow, standing: Sequence[ReviewRow], reader: str) -> bool:
    """Whether this reader is the second of two, who must not see what the first one said."""
    return study.state == "reading" and all(row.author != reader for row in standing)


def valued(value: Json, action: str, question: Question, hidden: bool) -> Json:
    """The value as the store keeps it. Raises `InputError` for one that the question does not allow."""
    if value is None or action in ("reject", "unsure"):
        if hidden and action == "accept":
            raise _wrong("nothing", question)
        return None
    if question.number:
        try:
            number = float(value) if isinstance(value, (str, float)) else math.nan
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise _wrong(str(value), question)
        return number
    if question.several:
        if not isinstance(value, dict) or not set(value) <= set(question.classes):
            raise _wrong(str(value), question)
        return {name: 1.0 if value.get(name) else 0.0 for name in question.classes}
    if not isinstance(value, str) or (question.classes and value not in question.classes) or not value.strip():
        raise _wrong(str(value), question)
    return value


def _wrong(got: str, question: Question) -> InputError:
    allowed = ", ".join(question.classes) if question.classes else "a number" if question.number else "a class"
    return InputError("bad-value", got=f"The answer was {got[:200]!r}.", allowed=f"{allowed}.", fix="Choose one of these.")
