"""Two models on the same cases, compared pair by pair.

The difference of every figure has a bootstrap interval in which both models see the same resampled patients. P-values
where a test fits: DeLong's for a binary AUC (DeLong et al. 1988, summed by patient as Obuchowski 1997), McNemar's for
accuracy (exact; where patients have several cases, Durkalski et al. 2003).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from scipy import stats

from medloop.evaluation import gains, intervals, weighted
from medloop.evaluation.intervals import Statistic
from medloop.types import Array, Floats, Integers, Json, Target, TargetKind


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """One model's answers: ``probabilities`` ``(N, K)`` (numbers ``(N, 1)``), ``choices`` as in `decisions.Decided`."""

    probabilities: Floats
    choices: Array | None


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure of both models; ``difference`` is b less a, with its 95 % interval."""

    metric: str
    a: float
    b: float
    difference: float
    low: float | None
    high: float | None
    p: float | None
    test: str | None
    says: str

    def to_json(self) -> Json:
        """Plain JSON."""
        return asdict(self)


_TWO = Target(TargetKind.BINARY, ("no", "yes"))
_LOWER_IS_BETTER = {"ece", "brier", "mae", "rmse"}
_LOWER_SO_BEGUN = ("hd95_", "mae_", "diameter_error_", "centre_distance_", "shown_false", "reconstruction_error")


def paired(target: Target, a: Side, b: Side, values: Array, patients: Integers, seed: int = 0) -> list[Difference]:
    """Every figure that both have, b against a. ``values`` and ``patients`` ``(N,)`` (or ``(N, K)``) are those of both."""
    values = np.asarray(values)
    found = []
    first, second = _statistics(target, a, values), _statistics(target, b, values)
    both = {f"a {name}": part for name, part in first.items()} | {f"b {name}": part for name, part in second.items()}
    few = len(np.unique(patients)) < intervals.FEWEST_PATIENTS
    drawn = {} if few else intervals.resample(both, patients, seed)
    tests = _tests(target, a, b, values, patients)
    for name in first:
        one, two = intervals.point(first[name], len(patients)), intervals.point(second[name], len(patients))
        if one is None or two is None:
            continue
        low = high = None
        if drawn:
            apart = drawn[f"b {name}"] - drawn[f"a {name}"]
            apart = apart[np.isfinite(apart)]
            low, high = (float(limit) for limit in np.quantile(apart, [0.025, 0.975]))
        p, test = tests.get(name, (None, None))
        says = _in_words(name, two - one, low, high)
        found.append(Difference(name, one, two, two - one, low, high, p, test, says))
    return found


def paired_means(names: Sequence[str], a: Floats, b: Floats, patients: Integers, seed: int = 0) -> list[Difference]:
    """Figures that each case has for itself (Dice of masks, ...): mean of b less that of a over the cases that both have it for.

    ``a``, ``b``: ``(N, M)``, NaN where undefined. ``patients``: ``(N,)``.
    """
    found = []
    for column, name in enumerate(names):
        both = np.isfinite(a[:, column]) & np.isfinite(b[:, column])
        one, two = a[both, column], b[both, column]
        if not both.any():
            continue
        metric = intervals.bootstrap({name: weighted.mean(two - one)}, patients[both], seed)[name]
        gap = float(np.mean(two - one))
        says = _in_words(name, gap, metric.low, metric.high)
        found.append(Difference(name, float(one.mean()), float(two.mean()), gap, metric.low, metric.high, None, None, says))
    return found


def _in_words(name: str, difference: float, low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return "Too few patients to say."
    if low <= 0 <= high:
        return "No clear difference."
    better = (difference > 0) != (name in _LOWER_IS_BETTER or name.startswith(_LOWER_SO_BEGUN))
    return f"{'b' if better else 'a'} is better."


def _statistics(target: Target, side: Side, values: Array) -> dict[str, Statistic]:
    if target.kind is TargetKind.NUMBER:
        apart = side.probabilities[:, 0] - values
        return {
            "mae": weighted.mean(np.abs(apart)),
            "rmse": weighted.root_mean(apart**2),
            "r2": weighted.r2(values, side.probabilities[:, 0]),
        }
    if side.choices is None:
        raise ValueError("classes are compared with decisions")
    if target.kind is TargetKind.MULTILABEL:
        return _of_labels(side.probabilities, side.choices, values)
    classes = len(target.classes)
    known = [(values == k, side.probabilities[:, k]) for k in range(classes)]
    columns = known[1:] if classes == 2 else known
    parts = {
        "auc": weighted.macro([weighted.auc(truth, chance) for truth, chance in columns]),
        "average_precision": weighted.macro([weighted.average_precision(truth, chance) for truth, chance in columns]),
        "accuracy": weighted.mean(values == side.choices),
    }
    makers = {"balanced_accuracy": weighted.balanced_accuracy, "f1": weighted.f1_macro, "kappa": weighted.kappa}
    parts |= {name: weighted.from_confusion(values, side.choices, classes, maker) for name, maker in makers.items()}
    squares = sum((chance - truth) ** 2 for truth, chance in columns)
    return parts | {"brier": weighted.mean(squares)}


def _of_labels(probabilities: Floats, choices: Array, values: Array) -> dict[str, Statistic]:
    def over_classes(make: Callable[[Array, Floats, Array], Statistic]) -> Statistic:
        parts = []
        for k in range(values.shape[1]):
            keep = np.isfinite(values[:, k])
            parts.append(weighted.within(keep, make(values[keep, k] == 1, probabilities[keep, k], choices[keep, k])))
        return weighted.macro(parts)

    return {
        "auc": over_classes(lambda truth, chance, chosen: weighted.auc(truth, chance)),
        "average_precision": over_classes(lambda truth, chance, chosen: weighted.average_precision(truth, chance)),
        "accuracy": over_classes(lambda truth, chance, chosen: weighted.mean(truth == chosen)),
        "brier": over_classes(lambda truth, chance, chosen: weighted.mean((chance - truth) ** 2)),
    }


def _tests(target: Target, a: Side, b: Side, values: Array, patients: Integers) -> dict[str, tuple[float | None, str]]:
    if target.kind not in (TargetKind.BINARY, TargetKind.MULTICLASS):
        return {}
    right_a, right_b = np.asarray(values == a.choices), np.asarray(values == b.choices)
    tests: dict[str, tuple[float | None, str]] = {"accuracy": (mcnemar(right_a, right_b, patients), "McNemar")}
    truth = np.asarray(values) == 1
    if target.kind is TargetKind.BINARY and truth.any() and not truth.all():
        tests["auc"] = (delong(truth, a.probabilities[:, 1], b.probabilities[:, 1], patients), "DeLong")
    return tests


def delong(truth: Array, first: Floats, second: Floats, patients: Integers) -> float | None:
    """Two-sided p of equal AUCs; None where the difference has no variance but is not 0."""
    one, two = (np.stack([scores, scores], axis=1) for scores in (first, second))
    gain = gains.of_aucs(_TWO, np.asarray(truth, dtype=np.int64), one, two, patients)
    if gain is None or gain.patients < 2:
        return None
    if gain.variance <= 1e-18:
        return 1.0 if abs(gain.difference) < 1e-12 else None
    return float(2 * stats.norm.sf(abs(gain.difference) / np.sqrt(gain.variance)))


def mcnemar(first: Array, second: Array, patients: Integers) -> float | None:
    """Two-sided p of equal accuracy, from which cases each model has right ``(N,)`` bool."""
    gain = np.asarray(second, dtype=np.int64) - np.asarray(first, dtype=np.int64)
    names, member = np.unique(patients, return_inverse=True)
    if len(names) == len(gain):
        better, worse = int((gain > 0).sum()), int((gain < 0).sum())
        return 1.0 if better + worse == 0 else float(stats.binomtest(better, better + worse).pvalue)
    per_patient = np.bincount(member, gain)
    spread = float(per_patient @ per_patient)
    return 1.0 if spread == 0 else float(stats.chi2.sf(per_patient.sum() ** 2 / spread, 1))
