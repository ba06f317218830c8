"""From probabilities to decisions: thresholds, operating points, and when to say nothing.

Everything is chosen on out-of-fold probabilities of training data. Decisions aim at balanced accuracy. The promise of
abstention is a bound on selective risk (Geifman and El-Yaniv 2017): among the cases accepted, the share decided wrongly
is at most ``risk``, with the stated certainty, for new cases like those seen. Thresholds are tested from strict to lax
and the testing stops at the first that fails, so the bound needs no further correction (fixed-sequence testing,
Angelopoulos et al. 2021); the levels of risk offered share the error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from medloop.evaluation import intervals, selective
from medloop.types import Array, Floats, Integers, Json, Target, TargetKind

RISKS = (0.05, 0.10, 0.20)
POINTS = (("sensitivity", 0.95), ("specificity", 0.95))
CERTAINTY = 0.95
_ROUNDS = 200
_TILTS = (0.0, 0.25, 0.5, 0.75, 1.0)
_STEPS = 40
_WORTH = 0.5


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """A threshold of the positive probability that reached ``least`` of ``what`` out of fold (None: none did)."""

    what: str
    least: float
    threshold: float | None

    @property
    def name(self) -> str:
        """For instance ``sensitivity_95``."""
        return f"{self.what}_{round(100 * self.least)}"


@dataclass(frozen=True, slots=True)
class Decision:
    """How a model decides: pure data.

    ``thresholds``: of the positive probability, one for binary, one a class for multi-label. ``weights``: multi-class
    decides for the greatest ``weight * probability``. ``abstain_below``: confidence below which it says nothing; None
    where no promise could be made. ``risk``, ``certainty``, ``coverage``: the promise, and the share accepted out of fold.
    """

    kind: str
    thresholds: tuple[float, ...] = ()
    weights: tuple[float, ...] = ()
    abstain_below: float | None = None
    risk: float | None = None
    certainty: float = CERTAINTY
    coverage: float = 1.0
    points: tuple[OperatingPoint, ...] = ()

    def to_json(self) -> Json:
        """Plain JSON."""
        return asdict(self)

    @staticmethod
    def from_json(content: Mapping[str, Json]) -> Decision:
        """The decision that `to_json` wrote."""
        fields = dict(content)
        fields["thresholds"] = tuple(map(float, fields["thresholds"]))
        fields["weights"] = tuple(map(float, fields["weights"]))
        fields["points"] = tuple(OperatingPoint(**point) for point in fields["points"])
        return Decision(**fields)

    @property
    def promise(self) -> str:
        """The promise in words."""
        if self.abstain_below is None or self.risk is None:
            return "No promise about errors could be made from the training cases, so the model always answers."
        return (
            f"Among the cases it answers, at most {100 * self.risk:.0f} % are expected to be wrong (upper bound with "
            f"{100 * self.certainty:.0f} % certainty, for new cases like those it learnt from); it answered "
            f"{100 * self.coverage:.0f} % of the training cases held out in turn."
        )


@dataclass(frozen=True, slots=True, eq=False)
class Decided:
    """What N probabilities come to.

    ``choices``: ``(N,)`` class indices, or ``(N, K)`` bool for multi-label, or None for numbers. ``labels``: as in
    `Prediction`. ``confidence``: ``(N,)`` probability that the whole decision is right (multi-label: of its least
    certain class; numbers: NaN). ``abstain``: ``(N,)`` bool.
    """

    choices: Array | None
    labels: tuple[str, ...]
    confidence: Floats
    abstain: Array


def choose(
    target: Target, probabilities: Floats, values: Array, patients: Integers, seed: int = 0, risks: tuple[float, ...] = RISKS
) -> Decision:
    """Choose thresholds, operating points and abstention from out-of-fold probabilities ``(N, K)``."""
    kind = str(target.kind)
    if target.kind is TargetKind.NUMBER:
        return Decision(kind)
    thresholds: tuple[float, ...] = ()
    weights: tuple[float, ...] = ()
    points: tuple[OperatingPoint, ...] = ()
    if target.kind is TargetKind.BINARY:
        truth = np.asarray(values) == 1
        thresholds = (best_threshold(truth, probabilities[:, 1], patients, seed),)
        points = tuple(operating_point(truth, probabilities[:, 1], what, least) for what, least in POINTS)
    elif target.kind is TargetKind.MULTILABEL:
        known = np.isfinite(values)
        thresholds = tuple(
            best_threshold(values[known[:, k], k] == 1, probabilities[known[:, k], k], patients[known[:, k]], seed)
            for k in range(len(target.classes))
        )
    else:
        weights = class_weights(probabilities, np.asarray(values))
    bare = Decision(kind, thresholds, weights, points=points)
    decided = decide(target, probabilities, bare)
    risk, below, coverage = abstention(decided.confidence, wrong(values, decided), patients, risks)
    return Decision(kind, thresholds, weights, below, risk, CERTAINTY, coverage, points)


def decide(target: Target, probabilities: Floats, decision: Decision) -> Decided:
    """Apply a decision to ``(N, K)`` probabilities."""
    count = len(probabilities)
    if target.kind is TargetKind.NUMBER:
        labels = tuple(f"{number:.6g}" for number in probabilities[:, 0])
        return Decided(None, labels, np.full(count, np.nan), np.zeros(count, dtype=bool))
    if target.kind is TargetKind.MULTILABEL:
        chosen = probabilities >= np.asarray(decision.thresholds)
        confidence = np.where(chosen, probabilities, 1 - probabilities).min(axis=1)
        labels = tuple("|".join(name for name, yes in zip(target.classes, row, strict=True) if yes) for row in chosen)
        return Decided(chosen, labels, confidence, _silent(confidence, decision))
    if target.kind is TargetKind.BINARY:
        chosen = (probabilities[:, 1] >= decision.thresholds[0]).astype(np.int64)
    else:
        chosen = (probabilities * np.asarray(decision.weights)).argmax(axis=1)
    confidence = probabilities[np.arange(count), chosen]
    return Decided(chosen, tuple(target.classes[k] for k in chosen), confidence, _silent(confidence, decision))


def _silent(confidence: Floats, decision: Decision) -> Array:
    below = decision.abstain_below
    return np.zeros(len(confidence), dtype=bool) if below is None else np.asarray(confidence < below)


def wrong(values: Array, decided: Decided) -> Array:
    """``(N,)`` bool: where the decision differs from the truth (multi-label: in any known class)."""
    if decided.choices is None:
        raise ValueError("numbers are not decided")
    if decided.choices.ndim == 2:
        differs: Array = np.isfinite(values) & ((values == 1) != decided.choices)
        return np.asarray(differs.any(axis=1))
    return np.not_equal(values, decided.choices).astype(bool)


def best_threshold(truth: Array, positive: Floats, patients: Integers, seed: int = 0, rounds: int = _ROUNDS) -> float:
    """The threshold of best balanced accuracy, steadied as the median over ``rounds`` resamples of the patients.

    Thresholds lie half-way between neighbouring probabilities; of several equally good ones the nearest to 0.5 is taken.
    0.5 where only one class has cases. ``rounds`` 0: the best on the cases themselves.
    """
    if truth.all() or not truth.any():
        return 0.5
    order = np.argsort(positive, kind="stable")
    ascending = positive[order]
    starts = np.flatnonzero(np.r_[True, ascending[1:] != ascending[:-1]])
    cuts = np.r_[ascending[0], (ascending[starts[1:]] + ascending[starts[1:] - 1]) / 2]
    ones = truth[order].astype(np.float64)[:, None]
    blocks = intervals.weights(patients, seed, rounds) if rounds else iter([np.ones((len(truth), 1))])
    found = []
    for weights in blocks:
        ordered = weights[order]
        yes = np.add.reduceat(ordered * ones, starts, axis=0)
        no = np.add.reduceat(ordered, starts, axis=0) - yes
        usable = (yes.sum(axis=0) > 0) & (no.sum(axis=0) > 0)
        yes, no = yes[:, usable], no[:, usable]
        missed, spared = np.cumsum(yes, axis=0) - yes, np.cumsum(no, axis=0) - no
        gain = spared / no.sum(axis=0) - missed / yes.sum(axis=0)
        best = gain >= gain.max(axis=0) - 1e-12
        found.append(cuts[np.where(best, np.abs(cuts - 0.5)[:, None], np.inf).argmin(axis=0)])
    return float(np.median(np.concatenate(found)))


def operating_point(truth: Array, positive: Floats, what: str, least: float) -> OperatingPoint:
    """The threshold that keeps ``what`` (sensitivity or specificity) at ``least`` or more and gives the most of the other."""
    side = np.sort(positive[truth] if what == "sensitivity" else positive[~truth])
    if len(side) == 0:
        return OperatingPoint(what, least, None)
    spare = int(np.floor(len(side) * (1 - least) + 1e-9))
    if what == "sensitivity":
        return OperatingPoint(what, least, float(side[spare]))
    return OperatingPoint(what, least, float(np.nextafter(side[len(side) - 1 - spare], np.inf)))


def class_weights(probabilities: Floats, values: Integers) -> tuple[float, ...]:
    """Weights ``share ** -tilt`` of the classes; the tilt between 0 and 1 of best balanced accuracy, the least of equals.

    With tilt 1 and true probabilities this is the best decision there is for balanced accuracy.
    """
    count = probabilities.shape[1]
    sizes = np.bincount(values, minlength=count)
    share = np.maximum(sizes, 1) / max(1, len(values))
    best, chosen = -1.0, np.ones(count)
    for tilt in _TILTS:
        weights = share**-tilt
        right = (probabilities * weights).argmax(axis=1) == values
        hits = np.bincount(values, right, count)[sizes > 0] / sizes[sizes > 0]
        if hits.mean() > best + 1e-9:
            best, chosen = float(hits.mean()), weights
    return tuple((chosen / chosen.max()).tolist())


def abstention(
    confidence: Floats, mistakes: Array, patients: Integers, risks: tuple[float, ...] = RISKS
) -> tuple[float | None, float | None, float]:
    """``(risk, threshold, coverage)`` of the strictest risk that can be promised for at least half the cases.

    Else of the level that leaves most cases, else ``(None, None, 1.0)``.
    """
    tail = (1 - CERTAINTY) / len(risks)
    found = []
    for risk in sorted(risks):
        below = bounded_threshold(confidence, mistakes, patients, risk, tail)
        if below is not None:
            coverage = float(np.mean(confidence >= below))
            if coverage >= _WORTH:
                return risk, below, coverage
            found.append((coverage, risk, below))
    if not found:
        return None, None, 1.0
    coverage, risk, below = max(found)
    return risk, below, coverage


def bounded_threshold(confidence: Floats, mistakes: Array, patients: Integers, risk: float, tail: float) -> float | None:
    """The lowest confidence threshold for which the risk among accepted cases is bounded by ``risk``.

    Clopper-Pearson's upper bound with error ``tail``, patients counted as in `intervals.effective_cases`. The grid of
    thresholds depends on the confidences only, never on the mistakes. None where even the strictest fails.
    """
    needed = np.log(tail) / np.log1p(-risk)
    sizes = np.unique(np.linspace(min(2.5 * needed, len(confidence)), len(confidence), _STEPS).astype(np.int64))
    passed = None
    for tested in selective.tests(confidence, mistakes, patients, sizes[sizes >= needed], tail):
        if tested.bound > risk:
            break
        passed = tested.threshold
    return 0.0 if passed is not None and passed <= confidence.min() else passed
