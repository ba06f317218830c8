"""Figures in plain words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from medloop.reporting import measured
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

STRUCTURED: Mapping[str, Term] = {
    "dice": Term("Dice", "Twice what outline and truth share over the sum of both; 1 is the same. Mean over cases and classes."),
    "dice_whole": Term("Dice of the whole", "The same with all classes joined into one."),
    "iou": Term("Intersection over union", "What outline and truth share over what either covers."),
    "iou_whole": Term("Intersection over union of the whole", "The same with all classes joined into one."),
    "hd95_mm": Term("Hausdorff 95 % (mm)", "95 of 100 points of either border are no farther than this from the other."),
    "hd95_px": Term(
        "Hausdorff 95 % (px)", "As far 95 of 100 points of either border are from the other, at most; sizes in mm are not known."
    ),
    "hd95_mm_whole": Term("Hausdorff 95 % of the whole (mm)", "The same with all classes joined into one."),
    "hd95_px_whole": Term("Hausdorff 95 % of the whole (px)", "The same with all classes joined into one."),
    "surface_dice": Term("Surface Dice", "Share of both borders that lie within 2 mm of each other."),
    "surface_dice_whole": Term("Surface Dice of the whole", "The same with all classes joined into one."),
    "surface_dice_px": Term("Surface Dice (px)", "Share of both borders that lie within 2 pixels of each other."),
    "surface_dice_px_whole": Term("Surface Dice of the whole (px)", "The same with all classes joined into one."),
    "map50": Term(
        "Average precision at 0.5", "Mean precision over all sensitivities; a box counts where it overlaps a true one by half."
    ),
    "map": Term("Average precision at 0.5 to 0.95", "The same, mean over ever stricter overlaps (as COCO)."),
    "froc_mean": Term("Sensitivity, mean over 1/8 to 8 false alarms a case", "Share of the findings that are hit (FROC).", True),
    "froc_1": Term("Sensitivity at 1 false alarm a case", "Share of the findings that are hit.", True),
    "shown_sensitivity": Term("Sensitivity as shown", "Share of the findings that are hit by the boxes that are shown.", True),
    "shown_false": Term("False alarms as shown", "Boxes shown a case that hit nothing."),
    "centre_distance_mm": Term("Distance of the centres (mm)", "Of findings that are hit, mean."),
    "centre_distance_px": Term("Distance of the centres (px)", "Of findings that are hit, mean."),
    "diameter_error_mm": Term("Error of the diameter (mm)", "How far off the longest diameter is, mean over what is found."),
    "icc": Term("Intraclass correlation", "Agreement of single measurements (absolute, two-way); 1 is perfect."),
    "diameter_error_px": Term("Error of the diameter (px)", "How far off the longest diameter is, mean over what is found."),
    "anomaly_auc": Term(
        "AUC of the anomaly map", "Chance that a voxel of a true mask is more unusual than one outside; 0.5 is luck."
    ),
    "reconstruction_error": Term(
        "Error of the reconstruction", "How far hidden parts are from what was made up of them, in deviations of the image's grey."
    ),
}
"""Figures of masks, boxes, measures and reconstructions."""

TILES: Mapping[TargetKind, tuple[str, ...]] = {
    TargetKind.BINARY: ("auc", "accuracy", "balanced_accuracy", "sensitivity", "specificity", "ece"),
    TargetKind.MULTICLASS: ("auc", "accuracy", "balanced_accuracy", "f1", "kappa", "ece"),
    TargetKind.MULTILABEL: ("auc", "average_precision", "f1", "balanced_accuracy", "accuracy", "ece"),
    TargetKind.NUMBER: ("mae", "rmse", "r2", "pearson", "bias", "spearman"),
    TargetKind.MASKS: ("dice", "dice_whole", "hd95_mm", "hd95_px", "surface_dice", "surface_dice_px"),
    TargetKind.BOXES: ("map50", "map", "froc_1", "shown_sensitivity", "diameter_error_mm", "diameter_error_px"),
    TargetKind.RECONSTRUCTION: ("anomaly_auc", "reconstruction_error"),
}
_TOLD = 3
_VERBS = {
    TargetKind.MASKS: "Outlining",
    TargetKind.BOXES: "Finding",
    TargetKind.MEASURES: "Measuring",
    TargetKind.RECONSTRUCTION: "Marking",
}
_THINGS = {
    TargetKind.MASKS: "kinds of tissue",
    TargetKind.BOXES: "kinds of findings",
    TargetKind.MEASURES: "sizes",
    TargetKind.RECONSTRUCTION: "what training images did not show",
}
_UNITS = {"mae", "rmse", "bias", "limit_low", "limit_high", "shown_false"}
_IN_UNITS = re.compile(r"(?<!surface_dice)_(mm|mm2|ml|px)(_|$)")


def shown(name: str, value: float | None) -> str:
    """A figure as text: shares in percent, the rest with three digits; an en dash where it is unknown."""
    if value is None:
        return "–"
    name = name.split(" ")[0]
    if term_of(name).percent:
        return f"{100 * value:.1f} %"
    return f"{value:.3g}" if name in _UNITS or _IN_UNITS.search(name) else f"{value:.3f}"


def term_of(name: str) -> Term:
    """A figure's title and meaning; of one that is not known here its name in words."""
    return TERMS.get(name) or STRUCTURED.get(name) or Term(name.replace("_", " ").capitalize(), "")


def interval(name: str, metric: Metric) -> str:
    """The interval as text, or why there is none."""
    if metric.low is None or metric.high is None:
        return metric.reason or "no interval"
    return f"{shown(name, metric.low).removesuffix(' %')} to {shown(name, metric.high)}"


def tile_says(name: str, metric: Metric, target: Target) -> str:
    """A tile's sentence."""
    if metric.value is None:
        return metric.reason or "not defined on these cases"
    if name in STRUCTURED:
        return STRUCTURED[name].means
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
    if target.kind.structured:
        return f"{_VERBS[target.kind]} {_several(target.classes, _THINGS[target.kind])}"
    names = [f"‘{name}’" for name in target.classes]
    told = ", ".join(names[:-1]) + f" and {names[-1]}" if 1 < len(names) <= 6 else f"{len(names)} classes"
    return f"Telling {told} apart" if target.kind is TargetKind.MULTICLASS else f"Finding {told}"


def _several(names: Sequence[str], what: str) -> str:
    told = [f"‘{name}’" for name in names]
    if len(told) > 6 or not told:
        return f"{len(told)} {what}" if told else what
    return told[0] if len(told) == 1 else ", ".join(told[:-1]) + f" and {told[-1]}"


def structured_verdict(target: Target, figures: Mapping[str, Metric]) -> str:
    """How well masks, boxes or measures are found, in one sentence."""
    if target.kind is TargetKind.MEASURES:
        return _verdict_of_measures(target, figures)
    if target.kind is TargetKind.RECONSTRUCTION:
        return _verdict_of_anomaly(figures)
    name = next((each for each in TILES[target.kind] if each in figures), "")
    main = figures.get(name, Metric(None))
    if main.value is None:
        return f"No figure of {target.name} could be computed on these cases."
    between = _between(name, main)
    if target.kind is TargetKind.MASKS:
        return f"Its outlines cover the true ones with a Dice of {main.value:.3f}{between}."
    hits = figures.get("froc_1", Metric(None))
    told = f"Its boxes reach an average precision of {main.value:.3f}{between}"
    more = f"; with one false alarm a case it finds {100 * hits.value:.0f} of 100 findings" if hits.value is not None else ""
    return f"{told}{more}."


def _verdict_of_anomaly(figures: Mapping[str, Metric]) -> str:
    """How well the unusual tells what is outlined, or else how far off the made-up image is."""
    told, error = (figures.get(name, Metric(None)) for name in ("anomaly_auc", "reconstruction_error"))
    if told.value is not None:
        between = _between("anomaly_auc", told)
        return f"Its anomaly map tells what is outlined from the rest with an AUC of {told.value:.3f}{between}."
    if error.value is None:
        return "No image could be made up again."
    between = _between("reconstruction_error", error)
    return f"What it makes up of hidden parts is off by {error.value:.3f} deviations of the image's grey{between}."


def _verdict_of_measures(target: Target, figures: Mapping[str, Metric]) -> str:
    """How far off the first few measures are."""
    told = []
    for name, unit in measured.named(target):
        metric = figures.get(measured.key("mae", name, unit), Metric(None))
        if metric.value is not None:
            told.append(f"{name} by {metric.value:.3g}{f' {unit}' if unit else ''}{_between('mae', metric)}")
    more = f", and {len(told) - _TOLD} more" if len(told) > _TOLD else ""
    return f"Its measures are off on average: {'; '.join(told[:_TOLD])}{more}." if told else "No measure could be compared."


def verdict(target: Target, figures: Mapping[str, Metric]) -> str:
    """How well, in one sentence of plain words."""
    if target.kind.structured:
        return structured_verdict(target, figures)
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
