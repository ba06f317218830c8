"""What the ladder tried: how good, how long, how large, what was chosen and why not the others; and how training went."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from medloop.reporting import charts, parts, words
from medloop.reporting.charts import Chart
from medloop.types import Json


@dataclass(frozen=True, slots=True)
class Row:
    """A family that was tried or left out, as text."""

    name: str
    figure: str
    interval: str
    seconds: str
    size: str
    speed: str
    reason: str
    chosen: bool


@dataclass(frozen=True, slots=True)
class Ladder:
    """The families in order from simple to dear. ``title``: of the figure that they are compared by."""

    title: str
    chart: Chart | None
    rows: tuple[Row, ...]


def ladder(rows: Sequence[Mapping[str, Json]]) -> Ladder | None:
    """The ladder of a result; None where there is none."""
    if not rows:
        return None
    name = next((str(row["metric"]) for row in rows if row.get("metric")), "auc")
    title = words.term_of(name).title
    return Ladder(title, _chart(rows, title), tuple(_row(row, name) for row in rows))


def losses(trials: Sequence[Mapping[str, Json]]) -> list[Chart]:
    """How the loss fell, epoch by epoch, for the trainings among the trials (with cross-validation: of the model kept)."""
    found = []
    for number, trial in enumerate(each for each in trials if each.get("history") and each.get("fold", "all") == "all"):
        lines = dict(_lines(trial["history"]))
        if not lines:
            continue
        what = str(trial.get("rung") or trial.get("member") or "network")
        says = "Mean over the folds, each thin line one fold; the validation cases of a fold were not learnt from in it."
        found.append(charts.losses(f"loss-{number}", f"Loss while training: {what}", says, lines))
    return found


def weights(trials: Sequence[Mapping[str, Json]]) -> list[Chart]:
    """How much each target's loss counted, epoch by epoch, where a network learns several."""
    found = []
    for number, trial in enumerate(each for each in trials if each.get("history") and each.get("fold", "all") == "all"):
        rows = [row for row in trial["history"] if row.get("weights")]
        names = list(dict.fromkeys(name for row in rows for name in row["weights"]))
        if len(names) < 2:
            continue
        curves = {name: _by_fold(rows, name) for name in names}
        says = "How much the loss of each target counts in the sum, epoch by epoch. Thin: one fold."
        found.append(charts.losses(f"weights-{number}", "Weights of the losses", says, curves, "weight"))
    return found


def _by_fold(rows: Sequence[Mapping[str, Json]], name: str) -> list[list[tuple[float, float]]]:
    folds: dict[Json, list[tuple[float, float]]] = {}
    for row in rows:
        if name in row["weights"]:
            folds.setdefault(row.get("fold"), []).append((float(row["epoch"]), float(row["weights"][name])))
    return list(folds.values())


def _chart(rows: Sequence[Mapping[str, Json]], title: str) -> Chart | None:
    known = [row for row in rows if row.get("validation")]
    if len(known) < 2:
        return None
    points = [(f"{_short(row)}{' ◂ chosen' if row.get('chosen') else ''}", parts.metric_of(row["validation"])) for row in known]
    best = next((parts.metric_of(row["validation"]).value for row in known if row.get("chosen")), None)
    says = "Each judged on the same folds of the training cases. Bars: 95 % intervals. Dashed: what was chosen."
    return charts.forest("ladder", "From simple to dear", says, points, best, title)


def _row(row: Mapping[str, Json], name: str) -> Row:
    metric = parts.metric_of(row["validation"]) if row.get("validation") else None
    seconds, size, speed = (row.get(key) for key in ("seconds", "size_mb", "images_per_second"))
    return Row(
        name=_name(row),
        figure="–" if metric is None else words.shown(name, metric.value),
        interval="" if metric is None else words.interval(name, metric),
        seconds=f"{seconds:.0f} s" if seconds else "–",
        size=_size(size) if size is not None else "–",
        speed=f"{speed:.0f}/s" if speed else "–",
        reason=str(row.get("reason") or ""),
        chosen=bool(row.get("chosen")),
    )


def _name(row: Mapping[str, Json]) -> str:
    how = str(row.get("how") or "")
    if how.startswith("average"):
        return how
    return f"{row['family']} ({how})" if how else str(row["family"])


def _short(row: Mapping[str, Json]) -> str:
    return "average" if str(row.get("how") or "").startswith("average") else _name(row)


def _size(megabytes: float) -> str:
    return f"{1000 * megabytes:.0f} kB" if megabytes < 1 else f"{megabytes:.1f} MB"


def _lines(history: Sequence[Mapping[str, Json]]) -> Iterator[tuple[str, list[list[tuple[float, float]]]]]:
    """For the training and the validation loss the curve of each fold: ``(epoch, loss)`` points."""
    for key, label in (("loss", "training cases"), ("validation_loss", "validation cases")):
        folds: dict[Json, list[tuple[float, float]]] = {}
        for row in history:
            value = row.get(key)
            if isinstance(value, (int, float)) and np.isfinite(value) and row.get("fold") != "all":
                folds.setdefault(row.get("fold"), []).append((float(row["epoch"]), float(value)))
        if folds:
            yield label, list(folds.values())
