"""What a report shows beyond the figures: the answers case by case, and how the model came about."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from medloop.evaluation.calibration import Calibrator
from medloop.evaluation.curves import Line
from medloop.evaluation.decisions import Decided, Decision
from medloop.evaluation.shift import Shift
from medloop.types import Array, Floats, Integers, Json, Metric, Target, Violation

PictureGetter = Callable[[int], "Array | None"]
"""Position of a case to its picture as it is shown: ``(Y, X, 3)`` uint8 (a volume as a montage of slices), or None."""

HeatGetter = Callable[[Integers], "Mapping[int, Array]"]
"""Positions of cases, the most wanted first, to pictures ``(Y, X, 3)`` uint8 of where the model looked, as far as there is time."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Answers:
    """A model's answers for N labelled cases, in one order.

    ``values``: truth as in `Dataset.values`. ``probabilities``: ``(N, K)`` calibrated; numbers ``(N, 1)``. ``attributes``:
    subgroup facts of each case by name (``sex``, ``site``). ``patients``: ``(N,)`` numbers, not names.
    """

    names: tuple[str, ...]
    values: Array
    probabilities: Floats
    decided: Decided
    patients: Integers
    attributes: tuple[Mapping[str, str], ...] = ()

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True, slots=True, eq=False)
class Agreement:
    """One measure beside its truth in m findings: ``truth`` and ``found`` ``(m,)`` in ``unit``."""

    name: str
    unit: str
    truth: Floats
    found: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Overlay:
    """A case drawn with what was found and what is true: ``position`` among the cases judged, ``picture`` ``(Y, X, 3)`` uint8."""

    position: int
    picture: Array


@dataclass(frozen=True, kw_only=True, eq=False)
class StructuredEvidence:
    """How well masks, boxes or measures are found in n judged cases of which their truth is known.

    ``figures``: those of all cases. ``by_case``: the same for each case alone, ``(n,)``, NaN where undefined. ``merits``: ``(n,)``
    how well each case went, higher is better. ``agreement``: measures beside their truth. ``froc``: of each class, sensitivity
    against false positives a case. ``overlays``: of the best, the middle and the worst cases, in this order, as far as there are
    so many. ``violations``: cases and the rules they break. ``unknown``: how many judged cases say nothing of this target.
    """

    target: Target
    names: tuple[str, ...]
    figures: Mapping[str, Metric]
    by_case: Mapping[str, Floats]
    merits: Floats
    agreement: tuple[Agreement, ...] = ()
    froc: Mapping[str, Line] = field(default_factory=dict)
    overlays: tuple[tuple[str, tuple[Overlay, ...]], ...] = ()
    violations: tuple[tuple[str, Violation], ...] = ()
    unknown: int = 0


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """One point of a learning curve: trained on ``cases`` of ``patients``, judged by cross-validation (never on the test split)."""

    cases: int
    patients: int
    metric: str
    value: Metric


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """Everything behind a report that its result does not already hold.

    ``protocol``: ``held-out``, ``out-of-fold`` or ``external`` (a saved model on other data). ``answers``: the cases judged.
    ``validation``: out-of-fold answers on training data. ``split_classes``: cases by split and class; ``split_patients``:
    patients by split. ``learning_curve_of``: the family whose learning curve it is, where that is not the model judged.
    ``search``: one row a trial, in order. ``shift``: how the pictures judged differ from those learnt from. ``heat_says``: how
    heat was found, in words. ``augmented``: of some training cases the name, the picture as it is and changed copies of it, each
    ``(Y, X, 3)`` uint8. ``source``: what data, in words. ``signed``: who signs which intended use, None for nobody. ``structured``:
    masks, boxes and measures, one a target; where nothing else is learnt ``target`` is the first of theirs, and ``answers`` only
    name the cases.
    """

    target: Target
    protocol: str
    answers: Answers
    decision: Decision
    calibrator: Calibrator | None = None
    validation: Answers | None = None
    split_classes: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    split_patients: Mapping[str, int] = field(default_factory=dict)
    learning_curve: tuple[CurvePoint, ...] = ()
    learning_curve_of: str = ""
    search: tuple[Mapping[str, Json], ...] = ()
    recipe_toml: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    picture: PictureGetter | None = None
    heat: HeatGetter | None = None
    heat_says: str = ""
    augmented: tuple[tuple[str, tuple[Array, ...]], ...] = ()
    source: str = ""
    shortcuts: tuple[Mapping[str, Json], ...] = ()
    shift: Shift | None = None
    signed: str | None = None
    structured: tuple[StructuredEvidence, ...] = ()
