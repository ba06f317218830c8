"""The parts that a report of figures is made of: tiles, tables, charts and pictures, ready for the templates."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from medloop.evaluation import curves, decisions, intervals
from medloop.evaluation.curves import Line
from medloop.evaluation.decisions import OperatingPoint
from medloop.evaluation.evidence import Answers, Evidence
from medloop.reporting import charts, words
from medloop.reporting.charts import Chart
from medloop.reporting.sheets import Picture
from medloop.types import Array, Floats, Json, Metric, Target, TargetKind

MISTAKES, RIGHTS = 12, 6
_MOST_CURVES = 8


@dataclass(frozen=True, slots=True)
class Tile:
    """A big figure."""

    title: str
    value: str
    interval: str
    says: str


@dataclass(frozen=True, slots=True)
class Figure:
    """A row of the table of figures."""

    title: str
    value: str
    interval: str
    means: str
    note: str


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of the confusion matrix: count, share of its row, and how strongly it is shaded (0 to 1)."""

    count: int
    share: str
    shade: float
    right: bool


def tiles(target: Target, figures: Mapping[str, Metric]) -> list[Tile]:
    """The figures of the first screen."""
    return [
        Tile(
            words.TERMS[name].title,
            words.shown(name, figures[name].value),
            words.interval(name, figures[name]) if figures[name].value is not None else "",
            words.tile_says(name, figures[name], target),
        )
        for name in words.TILES[target.kind]
        if name in figures
    ]


def overall(figures: Mapping[str, Metric]) -> list[Figure]:
    """Every figure that is not of one class."""
    return [
        Figure(
            term.title,
            words.shown(name, figures[name].value),
            words.interval(name, figures[name]),
            term.means,
            figures[name].reason or "" if figures[name].low is not None else "",
        )
        for name, term in words.TERMS.items()
        if name in figures
    ]


def by_class(target: Target, figures: Mapping[str, Metric]) -> tuple[list[str], list[tuple[str, list[tuple[str, str]]]]]:
    """Titles and rows ``(class, [(value, interval), ...])`` of the figures of single classes."""
    stems = [stem for stem in words.TERMS if any(f"{stem}_{name}" in figures for name in target.classes)]
    rows = []
    for name in target.classes:
        found = [(stem, figures.get(f"{stem}_{name}", Metric(None, reason="not computed"))) for stem in stems]
        rows.append((name, [(words.shown(stem, metric.value), words.interval(stem, metric)) for stem, metric in found]))
    return [words.TERMS[stem].title for stem in stems], rows if stems else []


def ranking(evidence: Evidence) -> list[Chart]:
    """ROC and precision-recall curves."""
    roc: dict[str, Line] = {}
    precision: dict[str, Line] = {}
    answers = evidence.answers
    for name, truth, scores, patients in columns(evidence.target, answers):
        if truth.any() and not truth.all() and len(roc) < _MOST_CURVES:
            roc[name] = curves.roc(truth, scores, patients)
            precision[name] = curves.precision_recall(truth, scores, patients)
    if not roc:
        return []
    band = " Shaded: 95 % of resamples of the patients." if len(roc) <= 2 and next(iter(roc.values())).band else ""
    return [
        charts.lines(
            "roc", "ROC curve", f"The nearer to the upper left corner, the better; the dotted line is guessing.{band}", roc,
            "false alarms among negatives", "sensitivity", diagonal=True,
        ),
        charts.lines(
            "pr", "Precision and sensitivity", f"The nearer to the upper right corner, the better.{band}", precision,
            "sensitivity (recall)", "precision: true among alarms",
        ),
    ]  # fmt: skip


def columns(target: Target, answers: Answers) -> Iterator[tuple[str, Array, Floats, Array]]:
    """``(class, truth, probability, patients)`` of each class against the rest, known labels only (binary: the positive class)."""
    values = np.asarray(answers.values)
    for k, name in enumerate(target.classes):
        if target.kind is TargetKind.BINARY and k == 0:
            continue
        keep = np.isfinite(values[:, k]) if target.kind is TargetKind.MULTILABEL else np.ones(len(values), dtype=bool)
        truth = values[keep, k] == 1 if target.kind is TargetKind.MULTILABEL else values == k
        yield name, truth, answers.probabilities[keep, k], answers.patients[keep]


def calibration(evidence: Evidence, figures: Mapping[str, Metric]) -> Chart | None:
    """The reliability curve."""
    target, answers = evidence.target, evidence.answers
    if target.kind is TargetKind.NUMBER or target.kind.structured or len(answers) == 0:
        return None
    if target.kind is TargetKind.MULTICLASS:
        top = answers.probabilities.argmax(axis=1)
        truth, stated = np.asarray(answers.values) == top, answers.probabilities.max(axis=1)
        patients, of = answers.patients, "the most likely class"
    else:
        parts = list(columns(target, answers))
        truth, stated, patients = (np.concatenate([part[at] for part in parts]) for at in (1, 2, 3))
        of = f"‘{target.classes[1]}’" if target.kind is TargetKind.BINARY else "each class"
    if len(truth) == 0:
        return None
    bins = curves.reliability(truth, stated, patients)
    ece = figures.get("ece", Metric(None))
    says = "Points on the dotted line: of cases given 70 %, 70 % are so. Bars are 95 % intervals; below, how often each was stated."
    if ece.value is not None:
        says += f" The mean gap is {100 * ece.value:.1f} points."
    return charts.reliability(
        "reliability", "Can its probabilities be taken at their word?", says, bins, stated, f"stated for {of}", "seen"
    )


def confusion(target: Target, answers: Answers) -> list[list[Cell]]:
    """The confusion matrix, rows are the truth; empty where it does not apply."""
    if target.kind not in (TargetKind.BINARY, TargetKind.MULTICLASS) or answers.decided.choices is None:
        return []
    counts = curves.confusion(answers.values, answers.decided.choices, len(target.classes))
    rows = []
    for k, row in enumerate(counts):
        total = int(row.sum())
        shares = row / total if total else np.zeros(len(row))
        rows.append(
            [
                Cell(int(count), f"{100 * share:.0f} %" if total else "–", float(share), k == j)
                for j, (count, share) in enumerate(zip(row, shares, strict=True))
            ]
        )
    return rows


def operating_points(evidence: Evidence) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """``(what was aimed for, threshold, [(sensitivity, interval), (specificity, interval)])`` on these cases, binary only."""
    if evidence.target.kind is not TargetKind.BINARY or not evidence.decision.thresholds:
        return []
    truth, positive = np.asarray(evidence.answers.values) == 1, evidence.answers.probabilities[:, 1]
    own = OperatingPoint("balanced accuracy", 0.0, evidence.decision.thresholds[0])
    rows = []
    for point in (own, *evidence.decision.points):
        if point.threshold is None:
            continue
        aim = "best balanced accuracy (used)" if point is own else f"{point.what} of at least {100 * point.least:.0f} %"
        called = positive >= point.threshold
        found = [
            intervals.proportion(called[truth], evidence.answers.patients[truth]),
            intervals.proportion(~called[~truth], evidence.answers.patients[~truth]),
        ]
        told = [(words.shown("accuracy", metric.value), words.interval("accuracy", metric)) for metric in found]
        rows.append((aim, f"{100 * point.threshold:.1f} %", told))
    return rows


def abstention(evidence: Evidence) -> tuple[Chart | None, str]:
    """The curve of mistakes against cases answered, and what the model's own threshold does here."""
    answers = evidence.answers
    if evidence.target.kind is TargetKind.NUMBER or evidence.target.kind.structured or len(answers) == 0:
        return None, ""
    mistakes = decisions.wrong(answers.values, answers.decided)
    line = curves.risk_coverage(answers.decided.confidence, mistakes)
    accepted = ~answers.decided.abstain
    says = evidence.decision.promise
    chosen = None
    if accepted.any() and evidence.decision.abstain_below is not None:
        risk = intervals.proportion(mistakes[accepted], answers.patients[accepted])
        chosen = float(accepted.mean()), float(mistakes[accepted].mean())
        says += (
            f" Here it answered {accepted.sum()} of {len(answers)} cases ({100 * chosen[0]:.0f} %) and was wrong in "
            f"{words.shown('accuracy', risk.value)} of those ({words.interval('accuracy', risk)})."
        )
    return charts.abstention("abstention", "Wrong answers against cases answered", "", line, chosen), says


def cases_to_see(evidence: Evidence) -> tuple[list[Picture], list[Picture]]:
    """The worst mistakes and the most confident rights, as pictures."""
    if evidence.picture is None or evidence.target.kind.structured or len(evidence.answers) == 0:
        return [], []
    worst, best = _positions(evidence)
    heat = _heat(evidence, worst, best)
    return [_picture(evidence, k, heat) for k in worst], [_picture(evidence, k, heat) for k in best]


def augmented(evidence: Evidence) -> list[list[Picture]]:
    """A row for each training case: the picture as it is, then changed copies."""
    rows = []
    for name, found in evidence.augmented:
        words = ["as it is", *(f"copy {number}" for number in range(1, len(found)))]
        rows.append([Picture.of(each, name if number == 0 else "", (words[number],)) for number, each in enumerate(found)])
    return rows


def _heat(evidence: Evidence, worst: Array, best: Array) -> Mapping[int, Array]:
    """Pictures of where the model looked, mistakes and right answers in turn: time may run out."""
    if evidence.heat is None:
        return {}
    pairs = itertools.zip_longest(worst.tolist(), best.tolist())
    order = [each for pair in pairs for each in pair if each is not None]
    return evidence.heat(np.array(list(dict.fromkeys(order)), np.int64))


def _positions(evidence: Evidence) -> tuple[Array, Array]:
    answers = evidence.answers
    if evidence.target.kind is TargetKind.NUMBER:
        order = np.argsort(-np.abs(answers.probabilities[:, 0] - answers.values), kind="stable")
        return order[:MISTAKES], order[::-1][:RIGHTS]
    wrong = decisions.wrong(answers.values, answers.decided)
    surest = np.argsort(-answers.decided.confidence, kind="stable")
    right = surest[~wrong[surest]]
    if answers.decided.choices is not None and answers.decided.choices.ndim == 1:
        chosen = answers.decided.choices[right]
        turn = np.zeros(len(right), dtype=np.int64)
        for k in np.unique(chosen):
            turn[chosen == k] = np.arange(int((chosen == k).sum()))
        right = right[np.argsort(turn, kind="stable")]
    return surest[wrong[surest]][:MISTAKES], right[:RIGHTS]


def _picture(evidence: Evidence, position: int, heat: Mapping[int, Array]) -> Picture:
    answers, target = evidence.answers, evidence.target
    found = evidence.picture(int(position)) if evidence.picture is not None else None
    value = answers.values[position]
    if target.kind is TargetKind.NUMBER:
        unit = f" {target.unit}" if target.unit else ""
        lines: tuple[str, ...] = (f"true {value:.4g}{unit}", f"predicted {answers.probabilities[position, 0]:.4g}{unit}")
    elif target.kind is TargetKind.MULTILABEL:
        truth = "|".join(name for name, yes in zip(target.classes, value, strict=True) if yes == 1)
        lines = (f"is {truth or 'none'}", f"said {answers.decided.labels[position] or 'none'}")
    else:
        sure = 100 * float(answers.decided.confidence[position])
        lines = (f"is {target.classes[int(value)]}", f"said {answers.decided.labels[position]}, {sure:.0f} %")
    picture, looked = Picture.of(found, answers.names[position], lines), heat.get(int(position))
    return picture if looked is None else picture.with_beside(looked, "where the model looked")


def subgroup_charts(target: Target, figures: Mapping[str, Metric], rows: Sequence[Mapping[str, Json]]) -> list[Chart]:
    """One forest plot of the main figure over all subgroups."""
    name = "mae" if target.kind is TargetKind.NUMBER else "auc"
    points = [
        (f"{row['attribute']}: {row['group']} ({row['cases']})", metric_of(row["figures"][name]))
        for row in rows
        if name in row.get("figures", {})
    ]
    if not points:
        return []
    whole = figures.get(name, Metric(None)).value
    title = f"{words.TERMS[name].title} by subgroup"
    return [charts.forest("subgroups", title, "Dashed: all cases. Bars: 95 % intervals.", points, whole, words.TERMS[name].title)]


def metric_of(content: Metric | Mapping[str, Json]) -> Metric:
    """A metric from itself or from its JSON."""
    return content if isinstance(content, Metric) else Metric(**content)


def regression(evidence: Evidence, figures: Mapping[str, Metric]) -> list[Chart]:
    """Scatter and Bland-Altman plots of numbers."""
    if evidence.target.kind is not TargetKind.NUMBER or len(evidence.answers) == 0:
        return []
    truth, predicted = np.asarray(evidence.answers.values, dtype=np.float64), evidence.answers.probabilities[:, 0]
    unit = f" ({evidence.target.unit})" if evidence.target.unit else ""
    found = [charts.scatter("scatter", "Predicted against true", "On the dotted line they agree.", truth, predicted, unit)]
    limits = [figures.get(name, Metric(None)).value for name in ("limit_low", "bias", "limit_high")]
    low, bias, high = limits
    if low is not None and bias is not None and high is not None:
        says = f"Mean difference {bias:.3g}; about 95 of 100 differences lie between {low:.3g} and {high:.3g}."
        found.append(
            charts.bland_altman("bland-altman", "Agreement (Bland and Altman)", says, truth, predicted, (low, bias, high), unit)
        )
    return found
