"""What a report shows of masks, boxes, measures and reconstructions: figures, their spread, agreement, pictures, broken rules."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from medloop.evaluation.evidence import Agreement, StructuredEvidence
from medloop.reporting import charts, measured, words
from medloop.reporting.charts import Chart
from medloop.reporting.parts import Figure, Tile
from medloop.reporting.sheets import Picture
from medloop.types import Array, Floats, Metric, Target, TargetKind

_TITLES = {
    TargetKind.MASKS: "Outlines",
    TargetKind.BOXES: "Boxes",
    TargetKind.MEASURES: "Measures",
    TargetKind.RECONSTRUCTION: "Anomaly",
}
_LEGENDS = {
    TargetKind.MASKS: "Filled: what the model found. Lines: what is true, each class in the same colour.",
    TargetKind.BOXES: "Full lines: what the model found, with its score. Dashed: what is true.",
    TargetKind.MEASURES: "",
    TargetKind.RECONSTRUCTION: (
        "Warm: what could be made up worst from what is around it, beginning where one voxel in ten of the training cases is, "
        "full where one in ten thousand is. Lines: true masks, where they are known."
    ),
}
_SPREAD = {TargetKind.MASKS: "dice", TargetKind.BOXES: "map50", TargetKind.RECONSTRUCTION: "reconstruction_error"}
_TOLD = {
    "dice": "Dice {}",
    "map50": "average precision {}",
    "hd95_mm": "borders within {} mm",
    "hd95_px": "borders within {} px",
    "shown_sensitivity": "{} of the findings hit",
    "shown_false": "false alarms: {}",
    "anomaly_auc": "AUC {} inside masks",
    "reconstruction_error": "error {}",
}
"""Figures of a single case that are written below its picture."""
_IN_CURVE = re.compile(r"froc_(?!mean|1$)")
"""Figures that the curve shows."""
_HIGH = 240
_FEWEST = 5
"""A spread over fewer cases is no spread, and so few pairs do not say how well two measures agree."""


@dataclass(frozen=True, slots=True)
class Section:
    """One target, ready for the template. ``by_class``: titles, and rows ``(class, [(value, interval), ...])``."""

    id: str
    title: str
    judged: str
    overall: list[Figure]
    by_class: tuple[list[str], list[tuple[str, list[tuple[str, str]]]]]
    charts: list[Chart]
    of_each: str
    legend: str
    pictures: list[tuple[str, list[Picture]]]
    violations: list[tuple[str, str, str, str]]
    answers: int


def sections(given: Sequence[StructuredEvidence]) -> list[Section]:
    """A section for each target."""
    return [_section(each, number) for number, each in enumerate(given, 1)]


def tiles(given: StructuredEvidence, most: int) -> list[Tile]:
    """The figures for the first screen."""
    if given.target.kind is TargetKind.MEASURES:
        return _tiles_of_measures(given, most)
    chosen = [name for name in words.TILES[given.target.kind] if given.figures.get(name, Metric(None)).value is not None]
    found = []
    for name in chosen[:most]:
        metric, title = given.figures[name], words.term_of(name).title
        found.append(
            Tile(title, words.shown(name, metric.value), words.interval(name, metric), words.tile_says(name, metric, given.target))
        )
    return found


def _tiles_of_measures(given: StructuredEvidence, most: int) -> list[Tile]:
    found = []
    for name, figures in measured.rows(given.target, given.figures)[:most]:
        metric = dict(figures)["mae"]
        if metric.value is not None:
            says = "mean absolute error"
            found.append(Tile(name, words.shown("mae", metric.value), words.interval("mae", metric), says))
    return found


def stems(target: Target, figures: Mapping[str, Metric]) -> tuple[list[str], list[str]]:
    """Names of figures that are not of one class, and what stands before the class in those that are."""
    whole: list[str] = []
    found: dict[str, None] = {}
    for name in figures:
        stem = next((name.removesuffix(f"_{each}") for each in target.classes if name.endswith(f"_{each}")), None)
        if stem is None:
            whole.append(name)
        else:
            found[stem] = None
    return whole, list(found)


def _section(given: StructuredEvidence, number: int) -> Section:
    whole, parts = stems(given.target, given.figures)
    by_class = ([words.term_of(stem).title for stem in parts], _rows(given, parts))
    if given.target.kind is TargetKind.MEASURES:
        whole, by_class = [], _by_measure(given)
    unknown = f" Of {given.unknown} other judged cases the truth is not known." if given.unknown else ""
    return Section(
        id=f"target-{number}",
        title=f"{_TITLES[given.target.kind]}: {words.headline(given.target).split(' ', 1)[1]}",
        judged=f"On {len(given.names)} cases{_labelled(given.target)}.{unknown}",
        overall=[_figure(name, given.figures[name]) for name in whole if not _IN_CURVE.match(name)],
        by_class=by_class,
        of_each="measure" if given.target.kind is TargetKind.MEASURES else "class",
        charts=[*_spread(given, number), *_froc(given, number), *_agreement(given, number)],
        legend=_LEGENDS[given.target.kind],
        pictures=[
            (
                title,
                [Picture.of(each.picture, given.names[each.position], _lines(given, each.position), _HIGH) for each in overlays],
            )
            for title, overlays in given.overlays
            if overlays
        ],
        violations=[(case, each.rule, each.value, each.allowed) for case, each in given.violations],
        answers=len(given.names) + given.unknown,
    )


def _labelled(target: Target) -> str:
    return "; it needs no labels" if target.kind is TargetKind.RECONSTRUCTION else f" whose {target.name} are labelled"


def _figure(name: str, metric: Metric) -> Figure:
    term = words.term_of(name)
    note = metric.reason or "" if metric.low is not None else ""
    return Figure(term.title, words.shown(name, metric.value), words.interval(name, metric), term.means, note)


def _rows(given: StructuredEvidence, parts: Sequence[str]) -> list[tuple[str, list[tuple[str, str]]]]:
    rows = []
    for each in given.target.classes if parts else ():
        metrics = [(stem, given.figures.get(f"{stem}_{each}", Metric(None, reason="not computed"))) for stem in parts]
        rows.append((each, [(words.shown(stem, metric.value), words.interval(stem, metric)) for stem, metric in metrics]))
    return rows


def _by_measure(given: StructuredEvidence) -> tuple[list[str], list[tuple[str, list[tuple[str, str]]]]]:
    told = [
        (name, [(words.shown(figure, metric.value), words.interval(figure, metric)) for figure, metric in figures])
        for name, figures in measured.rows(given.target, given.figures)
    ]
    return [words.term_of(figure).title for figure in measured.FIGURES], told


def _lines(given: StructuredEvidence, position: int) -> tuple[str, ...]:
    """What is written below a picture: the figures of this case."""
    values = [(name, float(given.by_case[name][position])) for name in _TOLD if name in given.by_case]
    lines = [_TOLD[name].format(words.shown(name, value)) for name, value in values if np.isfinite(value)]
    stem = _SPREAD.get(given.target.kind, "")
    single = [(each, given.by_case.get(f"{stem}_{each}")) for each in given.target.classes]
    told = [
        f"{each} {words.shown(stem, float(row[position]))}"
        for each, row in single
        if row is not None and np.isfinite(row[position])
    ]
    return (*lines, *told) if len(given.target.classes) > 1 else tuple(lines)


def _spread(given: StructuredEvidence, number: int) -> list[Chart]:
    stem = _SPREAD.get(given.target.kind)
    if stem is None:
        return []
    names = {f"{stem}_{each}": each for each in given.target.classes} | {f"{stem}_whole": "the whole"}
    if len(given.target.classes) < 2:
        names = {stem: next(iter(given.target.classes), "all")}
    rows = [(title, given.by_case[name]) for name, title in names.items() if name in given.by_case]
    rows = [(title, values) for title, values in rows if np.isfinite(values).sum() >= _FEWEST]
    if not rows:
        return []
    title = words.term_of(stem).title
    says = f"Each dot is a case ({_counts(rows)}); the thick mark is the median, the box holds the middle half."
    return [charts.strip(f"spread-{number}", f"{title}, case by case", says, rows, title)]


def _counts(rows: Sequence[tuple[str, Floats]]) -> str:
    counts = sorted({int(np.isfinite(values).sum()) for _, values in rows})
    return f"{counts[0]} cases" if len(counts) == 1 else f"{counts[0]} to {counts[-1]} cases, where the class is there or was found"


def _froc(given: StructuredEvidence, number: int) -> list[Chart]:
    if not given.froc:
        return []
    says = (
        "The nearer to the upper left corner, the better. A box hits where its centre lies in the finding or they overlap by half."
    )
    return [charts.froc(f"froc-{number}", "Findings hit against false alarms", says, given.froc)]


def _agreement(given: StructuredEvidence, number: int) -> list[Chart]:
    found = []
    for place, each in enumerate(given.agreement):
        known = np.isfinite(each.truth) & np.isfinite(each.found)
        if known.sum() < _FEWEST:
            continue
        found.append(_bland_altman(each, known, f"agreement-{number}-{place}"))
    return found


def _bland_altman(given: Agreement, known: Array, name: str) -> Chart:
    truth, predicted = given.truth[known], given.found[known]
    bias, spread = float(np.mean(predicted - truth)), 1.96 * float(np.std(predicted - truth, ddof=1))
    unit = f" {given.unit}" if given.unit else ""
    says = (
        f"{len(truth)} findings. Mean difference {bias:.3g}{unit}; about 95 of 100 differences lie between {bias - spread:.3g} and "
        f"{bias + spread:.3g}{unit} (Bland and Altman)."
    )
    limits = bias - spread, bias, bias + spread
    shown = f" ({given.unit})" if given.unit else ""
    return charts.bland_altman(name, f"Agreement: {given.name}", says, truth, predicted, limits, shown)
