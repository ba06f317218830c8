"""How the model came about: would more labels help, and what the search tried."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from medloop.evaluation.evidence import CurvePoint
from medloop.reporting import charts, words
from medloop.reporting.charts import Chart
from medloop.types import Json

_HELPS, _HELPS_LITTLE = 0.01, 0.003
_MOST_TRIALS = 25
_LONG = ("history",)
"""Columns that have a chart of their own."""
_SCORES = ("score", "validation", "value", "auc")


def more_labels(points: Sequence[CurvePoint], stand_in: str = "") -> str:
    """Would more labels help? From the last step of the learning curve, per doubling of the cases.

    ``stand_in``: the family whose curve it is, where the model itself would have taken too long.
    """
    told = _more_labels(points)
    if not stand_in or len(points) < 2:
        return told
    return (
        f"{told} This is the curve of the {stand_in} model, which is quicker: there was no time to learn the model itself so often."
    )


def _more_labels(points: Sequence[CurvePoint]) -> str:
    known = [(point.cases, point.value.value, point) for point in points if point.value.value is not None]
    if len(known) < 2:
        return "There was no time, or there were too few cases, to measure whether more labels would help."
    (fewer, before, _), (more, after, last) = known[-2], known[-1]
    title = words.TERMS[last.metric].title if last.metric in words.TERMS else last.metric
    told = f"from {fewer} to {more} training cases its {title} went from {before:.3f} to {after:.3f}"
    gain = (after - before) / max(math.log2(more / fewer), 1e-9)
    low = last.value.low
    if gain >= _HELPS:
        sure = " The step is no larger than the uncertainty of the figure, though." if low is not None and low <= before else ""
        return f"More labels would probably help: {told}.{sure}"
    if gain >= _HELPS_LITTLE:
        return f"More labels would help a little at most: {told}."
    return f"More labels of the same kind would probably not help: {told}. Other images, views or features might."


def learning(points: Sequence[CurvePoint]) -> Chart | None:
    """The learning curve."""
    known = [point for point in points if point.value.value is not None]
    if len(known) < 2:
        return None
    name = known[-1].metric
    title = words.TERMS[name].title if name in words.TERMS else name
    says = "Learnt from growing parts of the training patients, judged on other training patients. Bars: 95 % intervals."
    return charts.learning("learning", "Learning curve", says, known, title)


def search(trials: Sequence[Mapping[str, Json]]) -> tuple[Chart | None, list[str], list[list[str]]]:
    """A chart of the search, and the best trials as a table: columns and rows."""
    name = next((key for key in _SCORES if any(_number(trial.get(key)) is not None for trial in trials)), None)
    if name is None:
        return None, *table(list(trials[:_MOST_TRIALS]))
    scored = [(trial, value) for trial in trials if (value := _number(trial.get(name))) is not None]
    best = [trial for trial, _ in sorted(scored, key=lambda pair: -pair[1])[:_MOST_TRIALS]]
    chart = None
    if len(scored) >= 3:
        says = f"{len(trials)} configurations were tried; each dot is one, judged by cross-validation on training cases only."
        chart = charts.search("search", "The search", says, [value for _, value in scored], "cross-validated figure")
    return chart, *table(best)


def _number(value: Json) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


def table(rows: Sequence[Mapping[str, Json]]) -> tuple[list[str], list[list[str]]]:
    """Column names and rows of text, from rows of data."""
    names = [name for name in dict.fromkeys(name for row in rows for name in row) if name not in _LONG]
    return names, [[_text(row.get(name)) for name in names] for row in rows]


def _text(value: Json) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_text(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_text, value))
    return str(value)
