"""The rows of the store as frozen values. ``id`` 0 means: not stored yet, the store will number it. Times are UTC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from medloop.types import ImageRef, Json

STATES = ("arriving", "ready", "proposed", "reading", "done", "second-look", "adjudication", "rejected", "deleted")
OPEN_STATES = ("second-look", "reading", "proposed", "ready")
"""What waits for a reader; for an adjudicator ``adjudication`` does too."""
ACTIONS = ("accept", "correct", "reject", "unsure", "undo")
SERIES, TAKEN = "series", "taken"
APART = (SERIES, TAKEN)
"""Attributes of a study that are no subgroup: what the scanner calls its series, and when it was taken (``YYYYMMDDhhmmss``)."""
ROLES = ("reader", "adjudicator", "engineer", "admin")


def now() -> datetime:
    """This moment, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyRow:
    """One case: what one diagnosis is about.

    ``content``: hash of its images, by which it is known again. ``frozen``: of the frozen test set. ``blind``: its proposal is
    hidden until the reader commits. ``urgency``: higher is sooner. ``priority``: what the model would learn from it.
    ``why``: the reason of its state, in words (why a second look, why rejected). ``refs``: its images; their files are local paths.
    ``attributes``: subgroup facts, and what tells it apart from others of its patient (`APART`).
    """

    name: str
    content: str
    id: int = 0
    patient: str | None = None
    study: str | None = None
    site: str | None = None
    scanner: str | None = None
    modality: str | None = None
    arrived: datetime = field(default_factory=now)
    ready: datetime | None = None
    state: str = "arriving"
    frozen: bool = False
    blind: bool = False
    urgency: int = 0
    priority: float = 0.0
    why: str = ""
    refs: tuple[ImageRef, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)
    batch: str = ""

    @property
    def day(self) -> str:
        """The day it was taken, as ``YYYY-MM-DD``; empty where its files do not say."""
        taken = self.attributes.get(TAKEN, "")
        return f"{taken[:4]}-{taken[4:6]}-{taken[6:8]}" if taken else ""

    @property
    def series(self) -> str:
        """What the scanner calls its series, and the day it was taken; empty where its files do not say."""
        return " · ".join(each for each in (self.attributes.get(SERIES, ""), self.day) if each)


@dataclass(frozen=True, slots=True)
class Page:
    """Some studies of a worklist; ``after`` asks for those that follow, None where there are no more."""

    rows: tuple[StudyRow, ...]
    after: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelRow:
    """A value for (case, target); appended, never changed. ``provenance`` as in `medloop.types.Provenance`."""

    case_id: int
    value: Json
    target: str = "classes"
    author: str = "import"
    provenance: str = "imported"
    reason: str = ""
    review_id: int | None = None
    time: datetime = field(default_factory=now)
    id: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalRow:
    """What one model says of one case, and what is to be done with it.

    ``decision``: ``accept`` (may be pre-filled), ``person`` (needs one), ``unlike`` (too unlike the training data to say anything).
    ``standards``: codes of the label in standards. ``findings``: blob keys of masks and heat maps, boxes, measures, violations.
    ``nearest``: confirmed cases like it, as ``{"case_id", "label", "distance"}``.
    """

    case_id: int
    model_id: int
    label: str
    confidence: float | None = None
    probabilities: Mapping[str, float] = field(default_factory=dict)
    decision: str = "person"
    why: str = ""
    standards: list[dict[str, Any]] = field(default_factory=list)
    summary: str = ""
    findings: dict[str, Any] = field(default_factory=dict)
    nearest: list[dict[str, Any]] = field(default_factory=list)
    priority: float = 0.0
    unlikeness: float = 0.0
    time: datetime = field(default_factory=now)
    id: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewRow:
    """What a reader said of a case; appended, never changed. ``of_review``: for ``undo`` the review that is undone.

    ``findings``: per structured target (``masks``: blob key, ``boxes``, ``measures``) what the reader says; each becomes a label.
    ``blind``: the proposal was hidden. ``seconds``: how long it took to read.
    """

    case_id: int
    author: str
    action: str
    value: Json = None
    reason: str = ""
    findings: dict[str, Any] = field(default_factory=dict)
    proposal_id: int | None = None
    blind: bool = False
    seconds: float | None = None
    of_review: int | None = None
    time: datetime = field(default_factory=now)
    id: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRow:
    """A model version. ``state``: champion, challenger, former or refused. ``path``: its folder, relative to the workspace.

    ``dataset``: fingerprint of what it learnt from. ``labels_upto``: the last label's id that it saw. ``card``: its model card.
    """

    name: str
    path: str
    family: str
    state: str = "challenger"
    parent: int | None = None
    dataset: str = ""
    labels_upto: int = 0
    card: dict[str, Any] = field(default_factory=dict)
    created: datetime = field(default_factory=now)
    id: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PromotionRow:
    """A decision about a challenger: promoted, refused, needs-person or rolled-back, with its evidence."""

    champion_id: int | None
    challenger_id: int
    decision: str
    by: str
    reason: str = ""
    forced: bool = False
    evidence: dict[str, Any] = field(default_factory=dict)
    time: datetime = field(default_factory=now)
    id: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LookRow:
    """One look at a frozen test set, by its content."""

    test_set: str
    model_id: int | None
    by: str
    why: str = ""
    time: datetime = field(default_factory=now)
    id: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Who may log in. Of its password only the argon2 hash is stored, and not shown here."""

    name: str
    role: str
    active: bool = True
    created: datetime = field(default_factory=now)
    id: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRow:
    """An API token: what it is called and whose it is. The token itself is shown once and stored as SHA-256."""

    account_id: int
    label: str
    created: datetime = field(default_factory=now)
    expires: datetime | None = None
    id: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRow:
    """Heavy work. ``state``: queued, running, done, failed or stopped. ``progress``: ``{"stage", "done", "of"}``."""

    kind: str
    request: dict[str, Any] = field(default_factory=dict)
    state: str = "queued"
    progress: dict[str, Any] = field(default_factory=dict)
    result: Json = None
    error: Json = None
    actor: str = ""
    tries: int = 0
    created: datetime = field(default_factory=now)
    started: datetime | None = None
    ended: datetime | None = None
    heartbeat: datetime | None = None
    id: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRow:
    """One entry of the audit trail. ``content`` is None where its patient was forgotten."""

    number: int
    time: datetime
    actor: str
    action: str
    subject: str
    content: Json
    previous: str
    hash: str
