"""Requests and results about model versions: retraining, promotion, drift."""

from __future__ import annotations

from dataclasses import dataclass

from medloop.requests._sources import SEEDS, WORKERS, StoreRequest, in_range
from medloop.requests.learning import LearnResult
from medloop.types import Json


@dataclass(frozen=True, kw_only=True)
class RetrainRequest(StoreRequest):
    """Learn a challenger from the confirmed labels of the store, starting from the champion."""

    targets: str | None = None
    """What is learnt: classes, masks, boxes, with commas between (default: as the champion; without one, classes)."""
    recipe: str | None = None
    """A recipe's name or a TOML file (default: ladder; multitask where masks or boxes are learnt)."""
    budget: str = "10m"
    """Wall time for the whole job: 90, 90s, 10m, 1h30m."""
    anew: bool = False
    """Begin from nothing, not from the champion's network."""
    upto: int | None = None
    """Learn from the labels up to this number only (default: from all there are)."""
    device: str = "auto"
    """Where networks are trained: auto, cpu, cuda."""
    seed: int = 0
    """Seed of everything random."""

    def __post_init__(self) -> None:
        """Raises `InputError` for a number that makes no sense."""
        in_range("seed", self.seed, SEEDS)


@dataclass(frozen=True, kw_only=True)
class RetrainResult:
    """The challenger, and what it learnt from."""

    challenger: int
    """Its number among the models."""
    name: str
    parent: int | None
    """The champion whose network it started from; None: it began anew."""
    labels: dict[str, int]
    """Labels learnt from, by provenance."""
    left_out: dict[str, int]
    """Labels that are not learnt from, by reason: frozen, ai-only, unsettled, unreadable value; cases: copy of a frozen case."""
    learn: LearnResult


@dataclass(frozen=True, kw_only=True)
class PromoteRequest(StoreRequest):
    """Judge a challenger beside the champion on the frozen test cases, and promote it if the gate lets it through."""

    challenger: str = ""
    """The number or name of a model (default: the newest challenger)."""
    force: bool = False
    """Promote it whatever the gate says; needs --reason, and is recorded."""
    reason: str = ""
    """Why, in words."""
    by: str = "command line"
    """Who decides."""
    out: str | None = None
    """Where to write the page that compares both models (default: not written)."""
    auto: bool = False
    """Promote only where the settings let that be done without a person; the verdict is the answer, whatever it is."""
    renew: bool = False
    """First draw a new frozen test set among patients nobody has read yet; the old one may be learnt from then."""
    workers: int | None = None
    """Processes for heavy work (default: one a core)."""

    def __post_init__(self) -> None:
        """Raises `InputError` for a number that makes no sense."""
        in_range("workers", self.workers, WORKERS)


@dataclass(frozen=True, kw_only=True)
class PromoteResult:
    """What the gate said, and what was done."""

    decision: str
    """``promoted``, ``refused`` or ``needs-person``."""
    forced: bool
    challenger: int
    name: str
    champion: str | None
    """The champion before."""
    reasons: list[str]
    gain: dict[str, Json] | None
    """``metric``, ``champion``, ``challenger``, ``difference``, ``low`` (the bound) over all cases."""
    groups: list[dict[str, Json]]
    """The same of every class and subgroup that can veto, with ``margin`` and ``worse``."""
    look: int | None
    """Which look at this test set it was; None: it was not looked at."""
    looks_allowed: int
    cases: int
    patients: int
    left_out: dict[str, int]
    """Frozen cases that do not count, by reason."""
    page: str | None
    """The page that compares both models, where it was asked for."""
    seconds: float


@dataclass(frozen=True, kw_only=True)
class RollbackRequest(StoreRequest):
    """Make the former champion champion again, exactly as it was."""

    to: str = ""
    """The number or name of a model that was champion before (default: the last one)."""
    reason: str = ""
    """Why, in words."""
    by: str = "command line"
    """Who decides."""


@dataclass(frozen=True, kw_only=True)
class RollbackResult:
    """Who is champion again, instead of whom."""

    champion: int
    name: str
    instead_of: str


@dataclass(frozen=True, kw_only=True)
class ModelsRequest(StoreRequest):
    """Every model version with its state and figures, and what more labels would bring."""


@dataclass(frozen=True, kw_only=True)
class ModelsResult:
    """The models, newest first, and the curve of their figures against the labels they learnt from."""

    champion: str | None
    models: list[dict[str, Json]]
    """``id``, ``name``, ``state``, ``family``, ``created``, ``labels``, ``parent``, ``figure`` (metric) and ``judged`` on what,
    ``decision`` and ``reason`` of the last decision, ``card`` (path)."""
    metric: str
    curve: list[dict[str, Json]]
    """``labels``, ``figure``, ``low``, ``high``, ``model``."""
    forecast: dict[str, Json] | None
    """``labels``, ``figure``, ``low``, ``high``, ``best``; None where too few models tell."""
    labels: int
    """Labels that could be learnt from now."""
    looks: int
    looks_allowed: int
    says: str


@dataclass(frozen=True, kw_only=True)
class MonitorRequest(StoreRequest):
    """Has anything drifted: the images, the proposals, the agreement with readers, by site and scanner?"""

    days: int = 30
    """How many days back from now are compared with the time before."""
    out: str | None = None
    """Where to write a page of it (default: not written)."""
    workers: int | None = None
    """Processes for heavy work (default: one a core)."""

    def __post_init__(self) -> None:
        """Raises `InputError` for numbers that make no sense."""
        in_range("days", self.days, (1, 3650))
        in_range("workers", self.workers, WORKERS)


@dataclass(frozen=True, kw_only=True)
class MonitorResult:
    """``alarms``: what changed, each with ``what`` (images, proposals, agreement), ``where``, ``p`` (after Holm), ``says``."""

    alarms: list[dict[str, Json]]
    checks: list[dict[str, Json]]
    """What was compared: ``what``, ``where``, cases ``before``, ``here``, ``effect``, ``p``, ``p_holm``, ``alarm``, ``says``."""
    series: list[dict[str, Json]]
    """The course by weeks: ``week``, ``where``, ``cases``, ``confidence``, ``unlike``, ``agreement``, ``labels``."""
    days: int
    page: str | None
    says: str
