"""Every figure of a model, each with its interval of 95 %.

Definitions. ``auc``: one class against the rest; macro is the plain mean over classes. ``balanced_accuracy``: mean
sensitivity of the classes. ``f1``: macro. ``kappa``: Cohen's, unweighted. ``ece``: 15 equal-mass bins of the
probability of the positive class (binary and multi-label) or of the most probable class (multi-class). ``brier``: mean
squared difference, summed over classes for multi-class (0 to 2), of the positive class else (0 to 1). ``log_loss``: mean of
minus the natural logarithm of the probability given to the truth (cross-entropy).
Multi-label figures are means over classes; what is unknown is left out. Accuracy, sensitivity and specificity have exact
intervals, all else bootstrap intervals (see `intervals`). A class without cases is left out of a mean, and said so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from medloop.evaluation import intervals, weighted
from medloop.evaluation.intervals import Statistic
from medloop.types import Array, Floats, Integers, Metric, Target, TargetKind

_MEANS = {"auc", "average_precision", "balanced_accuracy", "f1"}
_ONE_CLASS = "only one class has cases here"
_LEAST = 1e-9


def score(
    target: Target, values: Array, probabilities: Floats, decisions: Array | None, patients: Integers, seed: int = 0
) -> dict[str, Metric]:
    """All figures for N cases.

    ``values``: truth as in `Dataset.values`. ``probabilities``: ``(N, K)`` calibrated; for numbers ``(N, 1)``, the
    predicted number. ``decisions``: ``(N,)`` class indices, ``(N, K)`` bool for multi-label, None for numbers.
    ``patients``: ``(N,)``; equal numbers are resampled together.
    """
    if target.kind is TargetKind.NUMBER:
        return _numbers(np.asarray(values, dtype=np.float64), np.asarray(probabilities)[:, 0], patients, seed)
    if decisions is None:
        raise ValueError("classes are scored with decisions")
    if target.kind is TargetKind.MULTILABEL:
        return _labels(target, values, probabilities, np.asarray(decisions, dtype=bool), patients, seed)
    if target.kind is TargetKind.BINARY:
        return _binary(values, probabilities[:, 1], decisions, patients, seed)
    return _classes(target, values, probabilities, decisions, patients, seed)


def score_one(target: Target, name: str, values: Array, probabilities: Floats) -> float | None:
    """``auc`` (macro where there are several classes) or ``r2`` alone, without an interval; None where it is undefined."""
    return intervals.point(_statistic(target, name, np.asarray(values), probabilities), len(values))


def score_main(target: Target, values: Array, probabilities: Floats, patients: Integers, seed: int = 0) -> tuple[str, Metric]:
    """The one figure by which models are told apart, with its name and its interval: ``auc``, or ``r2`` for numbers."""
    values = np.asarray(values)
    name = "r2" if target.kind is TargetKind.NUMBER else "auc"
    found = intervals.bootstrap({name: _statistic(target, name, values, probabilities)}, patients, seed, {"auc": _ONE_CLASS})
    if target.kind is TargetKind.BINARY:
        return name, _perfect(found[name], values == 1, patients)
    return name, found[name]


def _statistic(target: Target, name: str, values: Array, probabilities: Floats) -> Statistic:
    """``auc`` or ``r2`` as a function of weights."""
    if name == "r2":
        return weighted.r2(values, probabilities[:, 0])
    if target.kind is TargetKind.BINARY:
        return weighted.auc(values == 1, probabilities[:, 1])
    if target.kind is TargetKind.MULTICLASS:
        return weighted.macro([weighted.auc(values == k, probabilities[:, k]) for k in range(len(target.classes))])
    known = np.isfinite(values)
    rows = [(known[:, k], values[known[:, k], k] == 1, probabilities[known[:, k], k]) for k in range(len(target.classes))]
    return weighted.macro([weighted.within(keep, weighted.auc(truth, p)) for keep, truth, p in rows])


def _binary(values: Array, positive: Floats, decisions: Array, patients: Integers, seed: int) -> dict[str, Metric]:
    truth = np.asarray(values) == 1
    parts = {
        "auc": weighted.auc(truth, positive),
        "average_precision": weighted.average_precision(truth, positive),
        **_agreement(values, decisions, 2),
        "ece": weighted.calibration_error(truth, positive),
        "brier": weighted.mean((positive - truth) ** 2),
        "log_loss": weighted.mean(_surprise(np.where(truth, positive, 1 - positive))),
    }
    drawn = _with_mirrored_ece(parts, patients, seed, {})
    drawn["auc"] = _perfect(drawn["auc"], truth, patients)
    if not truth.any() or truth.all():
        drawn |= dict.fromkeys(("auc", "average_precision", "balanced_accuracy", "f1", "kappa"), Metric(None, reason=_ONE_CLASS))
    right = np.asarray(values) == decisions
    exact = {
        "accuracy": intervals.proportion(right, patients),
        "sensitivity": intervals.proportion(right[truth], patients[truth]),
        "specificity": intervals.proportion(right[~truth], patients[~truth]),
    }
    return _ordered(drawn | exact)


def _classes(
    target: Target, values: Array, probabilities: Floats, decisions: Array, patients: Integers, seed: int
) -> dict[str, Metric]:
    names, count = target.classes, len(target.classes)
    values = np.asarray(values)
    aucs = {name: weighted.auc(values == k, probabilities[:, k]) for k, name in enumerate(names)}
    precisions = {name: weighted.average_precision(values == k, probabilities[:, k]) for k, name in enumerate(names)}
    onehot = values[:, None] == np.arange(count)
    top = probabilities.argmax(axis=1)
    parts: dict[str, Statistic] = {
        "auc": weighted.macro(list(aucs.values())),
        "average_precision": weighted.macro(list(precisions.values())),
        **_agreement(values, decisions, count),
        "ece": weighted.calibration_error(values == top, probabilities[np.arange(len(top)), top]),
        "brier": weighted.mean(((probabilities - onehot) ** 2).sum(axis=1)),
        "log_loss": weighted.mean(_surprise(probabilities[onehot])),
        **{f"auc_{name}": part for name, part in aucs.items()},
        **{f"average_precision_{name}": part for name, part in precisions.items()},
    }
    drawn = _with_mirrored_ece(parts, patients, seed, _absent(names, onehot.any(axis=0), (~onehot).any(axis=0)))
    right = values == decisions
    exact = {"accuracy": intervals.proportion(right, patients)}
    for k, name in enumerate(names):
        inside = values == k
        drawn[f"auc_{name}"] = _perfect(drawn[f"auc_{name}"], inside, patients)
        exact[f"sensitivity_{name}"] = intervals.proportion(right[inside], patients[inside])
        exact[f"specificity_{name}"] = intervals.proportion((np.asarray(decisions) != k)[~inside], patients[~inside])
    return _ordered(drawn | exact)


def _labels(
    target: Target, values: Array, probabilities: Floats, decisions: Array, patients: Integers, seed: int
) -> dict[str, Metric]:
    known = np.isfinite(values)
    per_class: dict[str, dict[str, Statistic]] = {}
    for k, name in enumerate(target.classes):
        keep = known[:, k]
        truth, chance, chosen = values[keep, k] == 1, probabilities[keep, k], decisions[keep, k]
        found = {
            "auc": weighted.auc(truth, chance),
            "average_precision": weighted.average_precision(truth, chance),
            "accuracy": weighted.mean(truth == chosen),
            "balanced_accuracy": weighted.from_confusion(truth, chosen, 2, _both(weighted.balanced_accuracy)),
            "f1": weighted.from_confusion(truth, chosen, 2, weighted.f1_positive),
            "kappa": weighted.from_confusion(truth, chosen, 2, weighted.kappa),
            "ece": weighted.calibration_error(truth, chance),
            "brier": weighted.mean((chance - truth) ** 2),
            "log_loss": weighted.mean(_surprise(np.where(truth, chance, 1 - chance))),
        }
        per_class[name] = {metric: weighted.within(keep, part) for metric, part in found.items()}
    metrics = next(iter(per_class.values()), {})
    parts = {metric: weighted.macro([each[metric] for each in per_class.values()]) for metric in metrics}
    for metric in ("auc", "average_precision", "f1"):
        parts |= {f"{metric}_{name}": each[metric] for name, each in per_class.items()}
    present = ((values == 1) & known).any(axis=0), ((values == 0) & known).any(axis=0)
    drawn = _with_mirrored_ece(parts, patients, seed, _absent(target.classes, *present))
    exact = {}
    for k, name in enumerate(target.classes):
        ones, zeros = values[:, k] == 1, values[:, k] == 0
        drawn[f"auc_{name}"] = _perfect(drawn[f"auc_{name}"], ones[known[:, k]], patients[known[:, k]])
        exact[f"sensitivity_{name}"] = intervals.proportion(decisions[ones, k], patients[ones])
        exact[f"specificity_{name}"] = intervals.proportion(~decisions[zeros, k], patients[zeros])
    return _ordered(drawn | exact)


def _numbers(truth: Floats, predicted: Floats, patients: Integers, seed: int) -> dict[str, Metric]:
    difference = predicted - truth
    parts = {
        "mae": weighted.mean(np.abs(difference)),
        "rmse": weighted.root_mean(difference**2),
        "r2": weighted.r2(truth, predicted),
        "pearson": weighted.pearson(truth, predicted),
        "spearman": weighted.spearman(truth, predicted),
        "bias": weighted.mean(difference),
        "limit_low": weighted.limit_of_agreement(difference, -1),
        "limit_high": weighted.limit_of_agreement(difference, 1),
    }
    same = "all true numbers, or all predicted ones, are the same"
    return intervals.bootstrap(parts, patients, seed, dict.fromkeys(("r2", "pearson", "spearman"), same))


def _surprise(chance: Floats) -> Floats:
    """What each truth costs that was given this probability; no more than for a billionth."""
    return np.asarray(-np.log(np.maximum(chance, _LEAST)))


def _agreement(values: Array, decisions: Array, count: int) -> dict[str, Statistic]:
    makers = {"balanced_accuracy": weighted.balanced_accuracy, "f1": weighted.f1_macro, "kappa": weighted.kappa}
    return {name: weighted.from_confusion(values, decisions, count, maker) for name, maker in makers.items()}


def _both(of: Callable[[Floats], Floats]) -> Callable[[Floats], Floats]:
    """The same where both classes have cases, NaN elsewhere."""
    return lambda confusion: np.where((confusion.sum(axis=1) > 0).all(axis=0), of(confusion), np.nan)


def _absent(names: tuple[str, ...], some: Array, others: Array) -> dict[str, str]:
    """What to say of classes that no case has, of classes that all cases have, and of means that leave them out."""
    reasons: dict[str, str] = {}
    missing = []
    for name, positive, negative in zip(names, some, others, strict=True):
        if not positive or not negative:
            says = f"no case here is '{name}'" if not positive else f"every case here is '{name}'"
            reasons |= {f"{metric}_{name}": says for metric in ("auc", "average_precision", "f1")}
            missing.append(name)
    if missing:
        says = f"left out of the mean, as not both present and absent among these cases: {', '.join(missing)}"
        reasons |= dict.fromkeys(_MEANS, says)
    return reasons


def _perfect(found: Metric, truth: Array, patients: Integers) -> Metric:
    """Where the two groups part perfectly every resample does too; the rarer group's size then bounds the AUC below."""
    if found.value not in (0.0, 1.0) or found.low is None:
        return found
    size = min(len(np.unique(patients[truth])), len(np.unique(patients[~truth])))
    if found.value == 1.0:
        return replace(found, low=intervals.lower_bound(1.0, size, 0.025))
    return replace(found, high=intervals.upper_bound(0.0, size, 0.025))


def _with_mirrored_ece(
    parts: Mapping[str, Statistic], patients: Integers, seed: int, reasons: Mapping[str, str]
) -> dict[str, Metric]:
    """Bootstrap; a resample's calibration error is biased upwards, so its lower limit is the upper one mirrored at the value."""
    found = intervals.bootstrap(parts, patients, seed, reasons)
    for name in _MEANS & reasons.keys():
        found[name] = replace(found[name], reason=found[name].reason or reasons[name])
    ece = found["ece"]
    if ece.value is not None and ece.high is not None:
        found["ece"] = replace(ece, low=max(0.0, 2 * ece.value - ece.high))
    return found


_FIRST = ("auc", "accuracy", "balanced_accuracy", "sensitivity", "specificity", "average_precision", "f1", "kappa", "ece", "brier",
          "log_loss")  # fmt: skip


def _ordered(found: Mapping[str, Metric]) -> dict[str, Metric]:
    first = [name for name in _FIRST if name in found]
    return {name: found[name] for name in [*first, *(name for name in found if name not in _FIRST)]}
