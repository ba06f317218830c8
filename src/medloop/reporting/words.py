"""Figures in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from medloop.types import Metric, Target, TargetKind


@dataclass(frozen=True, slots=True)
class Term:
    """A figure's name and what it means. ``percent``: it is shown as a share of 100."""

    title: str
    means: str
    percent: bool = False


TERMS: Mapping[str, Term] = {
    "auc": Term("AUC", "Chance that a case of the class is ranked above one that is not of it; 0.5 is guessing, 1 is perfect."),
    "accuracy": Term("Accuracy", "Share of decisions that are right.", True),
    "balanced_accuracy": Term(
        "Balanced accuracy", "Mean over the classes of the share found, so rare classes count as much.", True
    ),
    "sensitivity": Term("Sensitivity", "Share of the positive cases that are found.", True),
    "specificity": Term("Specificity", "Share of the negative cases that are recognised.", True),
    "average_precision": Term("Average precision", "Mean share of true alarms as more and more cases are called positive."),
    "f1": Term("F1", "Harmonic mean of precision and sensitivity, mean over classes."),
    "kappa": Term("Cohen's kappa", "Agreement beyond chance; 0 is chance, 1 is full agreement."),
    "ece": Term("Calibration error", "Mean gap between the stated probability and what was seen, in 15 bins of equal size.", True),
    "brier": Term("Brier score", "Mean squared gap between probability and truth; lower is better."),
    "log_loss": Term(
        "Log loss", "Mean of minus the logarithm of the probability given to the truth (cross-entropy); lower is better."
    ),
    "mae": Term("Mean absolute error", "Mean distance between predicted and true number."),
    "rmse": Term("Root mean squared error", "The same, with large errors counted more."),
    "r2": Term("R²", "Share of the variation explained; 0 is as good as always saying the mean."),
    "pearson": Term("Pearson's r", "Linear correlation of predicted and true numbers."),
    "spearman": Term("Spearman's ρ", "Correlation of ranks."),
    "bias": Term("Bias", "Mean of predicted less true (Bland and Altman)."),
    "limit_low": Term("Lower limit of agreement", "Bias less 1.96 standard deviations of the differences."),
    "limit_high": Term("Upper limit of agreement", "Bias plus 1.96 standard deviations of the differences."),
}

TILES: Mapping[TargetKind, tuple[str, ...]] = {
    TargetKind.BINARY: ("auc", "accuracy", "balanced_accuracy", "sensitivity", "specificity", "ece"),
    TargetKind.MULTICLASS: ("auc", "accuracy", "balanced_accuracy", "f1", "kappa", "ece"),
    TargetKind.MULTILABEL: ("auc", "average_precision", "f1", "balanced_accuracy", "accuracy", "ece"),
    TargetKind.NUMBER: ("mae", "rmse", "r2", "pearson", "bias", "spearman"),
}
_UNITS = {"mae", "rmse", "bias", "limit_low", "limit_high"}


def shown(name: str, value: float | None) -> str:
    """A figure as text: shares in percent, the rest with three digits; an en dash where it is unknown."""
    if value is None:
        return "–"
    term = TERMS.get(name.split(" ")[0])
    if term is not None and term.percent:
        return f"{100 * value:.1f} %"
    return f"{value:.3g}" if name in _UNITS else f"{value:.3f}"


def interval(name: str, metric: Metric) -> str:
    """The interval as text, or why there is none."""
    if metric.low is None or metric.high is None:
        return metric.reason or "no interval"
    return f"{shown(name, metric.low).removesuffix(' %')} to {shown(name, metric.high)}"


def tile_says(name: str, metric: Metric, target: Target) -> str:
    """A tile's sentence."""
    if metric.value is None:
        return metric.reason or "not defined on these cases"
    negative, positive = target.classes if target.kind is TargetKind.BINARY else ("", "")
    unit = f" {target.unit}" if target.unit else ""
    of_100 = f"{100 * metric.value:.0f} of 100"
    says = {
        "accuracy": f"{of_100} decisions are right",
        "sensitivity": f"{of_100} ‘{positive}’ cases are found",
        "specificity": f"{of_100} ‘{negative}’ cases are recognised",
        "balanced_accuracy": "share found, mean over the classes",
        "ece": f"probabilities are off by {100 * metric.value:.1f} points on average",
        "mae": f"off by {metric.value:.3g}{unit} on average",
        "r2": f"{100 * metric.value:.0f} % of the variation explained",
        "bias": f"{abs(metric.value):.3g}{unit} too {'high' if metric.value > 0 else 'low'} on average",
        "kappa": "agreement beyond chance",
        "f1": "precision and sensitivity in one",
        "rmse": "as above, large errors count more",
        "pearson": "linear correlation",
        "spearman": "correlation of ranks",
        "average_precision": "precision over all thresholds",
    }
    if name == "auc":
        if target.kind is TargetKind.BINARY:
            return f"ranks a ‘{positive}’ case above a ‘{negative}’ one {of_100} times"
        return f"ranks a case of a class above others {of_100} times, mean over classes"
    return says.get(name, "")


def headline(target: Target) -> str:
    """What was learnt."""
    if target.kind is TargetKind.BINARY:
        return f"Telling ‘{target.classes[1]}’ from ‘{target.classes[0]}’"
    if target.kind is TargetKind.NUMBER:
        return f"Predicting {target.name}{f' ({target.unit})' if target.unit else ''}"
    names = [f"‘{name}’" for name in target.classes]
    told = ", ".join(names[:-1]) + f" and {names[-1]}" if 1 < len(names) <= 6 else f"{len(names)} classes"
    return f"Telling {told} apart" if target.kind is TargetKind.MULTICLASS else f"Finding {told}"


def verdict(target: Target, figures: Mapping[str, Metric]) -> str:
    """How well, in one sentence of plain words."""
    if target.kind is TargetKind.NUMBER:
        error, share = figures.get("mae", Metric(None)), figures.get("r2", Metric(None))
        if error.value is None:
            return "No error could be computed on these cases."
        unit = f" {target.unit}" if target.unit else ""
        told = f"Its predictions are off by {error.value:.3g}{unit} on average{_between('mae', error)}"
        return told + (f" and explain {100 * share.value:.0f} % of the variation." if share.value is not None else ".")
    auc, right = figures.get("auc", Metric(None)), figures.get("accuracy", Metric(None))
    if right.value is None:
        return "No figure could be computed on these cases."
    told = f"It decides {100 * right.value:.0f} of 100 cases rightly{_between('accuracy', right)}"
    if target.kind is TargetKind.MULTILABEL:
        told = f"It decides {100 * right.value:.0f} of 100 labels rightly{_between('accuracy', right)}"
    if auc.value is None:
        return told + "."
    return f"{told}; its AUC is {auc.value:.3f}{_between('auc', auc)}, {_strength(auc)}."


def _between(name: str, metric: Metric) -> str:
    if metric.low is None or metric.high is None:
        return ""
    return f" (95 % interval {interval(name, metric)})"


def _strength(auc: Metric) -> str:
    low = auc.low if auc.low is not None else 0.0
    if low <= 0.5:
        return "which may be no better than guessing"
    bounds = ((0.95, "which separates the classes very well"), (0.85, "which separates them well"), (0.7, "a fair separation"))
    return next((says for bound, says in bounds if low >= bound), "a weak separation")
