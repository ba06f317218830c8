"""Requests and results of reading: studies taken in, proposals, reviews, what comes next, agreement."""

from __future__ import annotations

from dataclasses import dataclass

from medloop.errors import InputError
from medloop.requests._sources import SEEDS, WORKERS, SourceRequest, StoreRequest, in_range
from medloop.types import Json


@dataclass(frozen=True, kw_only=True)
class IngestRequest(SourceRequest, StoreRequest):
    """Take images, and the labels they come with, into the store. Taking the same again changes nothing."""

    watch: bool = False
    """Go on watching the folder until stopped; a study is taken once its files have been still for a while."""
    quiet: float | None = None
    """With --watch: seconds without a new file after which a study is complete (default: the setting quiet_s)."""
    every: float = 5.0
    """With --watch: seconds between two looks at the folder."""
    urgency: int = 0
    """How urgent these studies are; higher is read sooner."""

    def __post_init__(self) -> None:
        """Raises `InputError` for numbers that make no sense."""
        SourceRequest.__post_init__(self)
        for flag, value in (("quiet", self.quiet), ("every", self.every)):
            if value is not None and not 0 <= value <= 86_400:
                raise InputError(
                    f"bad-{flag}",
                    got=f"--{flag} {value}.",
                    allowed="Seconds from 0 to 86400.",
                    fix=f"Write another number, or leave --{flag} out.",
                )
        in_range("urgency", self.urgency, (0, 1000))


@dataclass(frozen=True, kw_only=True)
class IngestResult:
    """What was taken into the store, and what was not and why."""

    source: str
    batch: str
    """The name under which these studies arrived together."""
    files: int
    cases: int
    """Cases found in the source that can be used."""
    fresh: list[int]
    """Numbers of the studies that are new in the store."""
    known: int
    """Cases that the store has already."""
    replaced: int
    """Studies nobody had read, which a more complete one replaced."""
    waiting: int
    """Studies that wait until no more files arrive."""
    labels: int
    """Labels kept with provenance imported."""
    rejected: list[dict[str, str]]
    """``path`` and ``reason`` of every file that is not used."""
    warnings: list[str]
    seconds: float


@dataclass(frozen=True, kw_only=True)
class ProposeRequest(StoreRequest):
    """Let the champion propose a label for every study that waits, and say which proposals may stand without a person."""

    model: str | None = None
    """A model of the store by name or number, or a run's or model's folder (default: the champion)."""
    again: bool = False
    """Propose also for studies for which this model has proposed before."""
    limit: int | None = None
    """At most so many studies."""
    mapping: str | None = None
    """A TOML file from classes to codes of SNOMED CT, ICD-10, RadLex or BI-RADS (default: the setting 'mapping')."""
    workers: int | None = None
    """Processes for heavy work (default: one a core)."""

    def __post_init__(self) -> None:
        """Raises `InputError` for numbers that make no sense."""
        in_range("workers", self.workers, WORKERS)
        in_range("limit", self.limit, (1, 10_000_000))


@dataclass(frozen=True, kw_only=True)
class ProposeResult:
    """What was proposed, and what is promised of it."""

    model: str
    cases: int
    """Studies that have a proposal now."""
    accept: int
    """Proposals that may be pre-filled, at the promised rate of errors."""
    person: int
    """Proposals that need a person."""
    unlike: int
    """Studies too unlike what the model learnt from to say anything."""
    promise: dict[str, Json]
    """``rate``, ``confidence``, ``threshold`` (null: no promise), ``share``, ``bound``, ``why``."""
    shift: dict[str, Json] | None
    """How the new studies differ from those learnt from: as in `LearnResult`; null where too few came to tell."""
    labels: dict[str, int]
    warnings: list[str]
    seconds: float


@dataclass(frozen=True, kw_only=True)
class ReviewRequest(StoreRequest):
    """Say what a case shows; without an action: show what is proposed of it and what was said."""

    case: int
    """The number of the case, as medloop queue shows it."""
    action: str = ""
    """accept (what is proposed, or --value), correct, reject, unsure, undo (one's own review)."""
    value: str | None = None
    """The class, classes of several joined by |, or the number."""
    reason: str = ""
    """Why, in words: needed to reject and where one is unsure."""
    by: str = "command line"
    """Who says so."""


@dataclass(frozen=True, kw_only=True)
class ReviewResult:
    """A case as it stands."""

    case: int
    name: str
    state: str
    review: int | None
    """The number of the review that was committed."""
    proposal: dict[str, Json] | None
    """What is proposed; None where nothing is, or where the case is read blind and this reader has not said what it shows."""
    label: dict[str, Json] | None
    """The label that counts; None where there is none, or where this reader must not know it yet."""
    reviews: list[dict[str, Json]]
    """Reviews that stand, oldest first; none of them for the second of two readers, who has not read the case yet."""


@dataclass(frozen=True, kw_only=True)
class QueueRequest(StoreRequest):
    """What is read next: arrange the worklist by what the model would learn, and show its beginning."""

    order: str | None = None
    """useful (what the model would learn most from), urgency, arrival or newest (default: the setting order)."""
    limit: int = 20
    """How many cases to show."""
    after: str | None = None
    """Show those that follow: what the page before printed."""
    reader: str | None = None
    """Leave out what this reader has read already."""
    adjudicate: bool = False
    """Show what readers did not agree on."""
    only_list: bool = False
    """Show the list as it is, without arranging it anew."""
    seed: int = 0
    """Seed of everything random."""
    workers: int | None = None
    """Processes for heavy work (default: one a core)."""

    def __post_init__(self) -> None:
        """Raises `InputError` for numbers that make no sense."""
        in_range("limit", self.limit, (1, 1000))
        in_range("seed", self.seed, SEEDS)
        in_range("workers", self.workers, WORKERS)


@dataclass(frozen=True, kw_only=True)
class QueueResult:
    """The beginning of the worklist."""

    order: str
    arranged: int
    """How many studies were given a place by what the model would learn from them."""
    cases: list[dict[str, Json]]
    """``case_id``, ``state``, ``urgency``, ``priority``, ``blind``, ``arrived``, ``modality``, ``site``, ``label``, ``confidence``,
    ``decision`` (null where nothing is proposed or the case is read blind), ``why`` it is here."""
    after: str | None
    """What to give to --after for those that follow; null: there are no more."""
    waiting: dict[str, int]
    """How many studies wait, by state."""


@dataclass(frozen=True, kw_only=True)
class RecheckRequest(StoreRequest):
    """Find labels that are probably wrong, and send them back for a second look with the reason."""

    most: int = 50
    """At most so many second looks are asked for, the most suspicious first."""
    dry_run: bool = False
    """Say what is suspicious, and ask for nothing."""
    seed: int = 0
    """Seed of everything random."""
    workers: int | None = None
    """Processes for heavy work (default: one a core)."""

    def __post_init__(self) -> None:
        """Raises `InputError` for numbers that make no sense."""
        in_range("most", self.most, (1, 100_000))
        in_range("seed", self.seed, SEEDS)
        in_range("workers", self.workers, WORKERS)


@dataclass(frozen=True, kw_only=True)
class RecheckResult:
    """The labels that a second person should look at."""

    labels: int
    """Confirmed labels that were looked at."""
    suspected: int
    asked: int
    """Second looks that were asked for."""
    cases: list[dict[str, Json]]
    """``case_id``, ``label``, ``likely``, ``probability`` of the label, ``author``, ``why``; the most suspicious first."""
    by_class: dict[str, int]
    """Suspected labels of each class."""
    seconds: float


@dataclass(frozen=True, kw_only=True)
class AgreementRequest(StoreRequest):
    """How far readers agree with each other, and with the model where its proposal is hidden and where it is shown."""


@dataclass(frozen=True, kw_only=True)
class AgreementResult:
    """Kappa with 95 % intervals (``kappa``, ``low``, ``high``, ``reason`` where there is none) of so many ``cases``."""

    readers: list[dict[str, Json]]
    """Every two readers ``a`` and ``b``: Cohen's kappa, and the share ``agreed``."""
    all: dict[str, Json]
    """All readers of cases that more than one read: Fleiss' kappa."""
    drawn: list[dict[str, Json]]
    """Every two readers who drew in the same cases, by ``target``: ``figure`` (``dice`` of outlines, ``iou`` of boxes), ``cases``,
    ``value`` with ``low``, ``high`` and ``reason``, and the same of each of its ``classes``."""
    shown: dict[str, Json]
    """Readers and model where the proposal was shown."""
    blind: dict[str, Json]
    """Readers and model where it was hidden until the reader had committed."""
    follows: bool | None
    """Whether readers agree with the model clearly more where they see its proposal; None where too few cases tell."""
    says: str
    """Whether readers follow what they are shown, in words."""
