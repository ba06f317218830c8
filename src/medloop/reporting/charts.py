"""Charts as inline SVG that follow the page's colours, light or dark.

Figures are made and drawn here, without matplotlib's global state. Colours are written as markers and replaced by the
page's CSS variables; text stays text, so it can be read aloud, searched and copied.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from medloop.evaluation.curves import Bin, Line
from medloop.evaluation.evidence import CurvePoint
from medloop.types import Array, Floats, Metric

Axes: TypeAlias = Any

INK, QUIET, LINE, PAPER = "#010203", "#040506", "#070809", "#0a0b0c"
SERIES = ("#0d0e01", "#0d0e02", "#0d0e03", "#0d0e04", "#0d0e05", "#0d0e06", "#0d0e07", "#0d0e08")
_DOTS, _FALSE = 400, 8.0
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (2, 2)), (0, (6, 2, 1, 2)))
_VARIABLES = {INK: "ink", QUIET: "quiet", LINE: "line", PAPER: "paper"} | {mark: f"c{k + 1}" for k, mark in enumerate(SERIES)}
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "medloop",
    "font.size": 10,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "grid.color": LINE,
    "grid.linewidth": 0.7,
    "axes.grid": True,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 9,
}


@dataclass(frozen=True, slots=True)
class Chart:
    """An inline SVG with its title and what it says in words."""

    svg: str
    title: str
    says: str


def _draw(figure: Figure, name: str, title: str, says: str) -> Chart:
    """The figure as SVG; ``name`` makes its ids unique on the page."""
    buffer = io.StringIO()
    FigureCanvasSVG(figure).print_svg(buffer, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.S)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r"url\(#", f"url(#{name}-", text)
    text = re.sub(r'href="#', f'href="#{name}-', text)
    for mark, variable in _VARIABLES.items():
        text = text.replace(mark, f"var(--{variable})")
    text = re.sub(r"font: (\S+) [^;\"]*", r"font-size: \1", text)
    text = re.sub(r"<[^>]*>", lambda tag: re.sub(r"\d+\.\d{3,}", lambda number: f"{float(number.group()):.2f}", tag.group()), text)
    box = re.search(r'viewBox="([^"]+)"', text)
    view = box.group(1) if box else "0 0 1 1"
    label = html.escape(f"{title}. {says}".strip(), quote=True)
    head = f'<svg class="chart" role="img" aria-label="{label}" viewBox="{view}" xmlns:xlink="http://www.w3.org/1999/xlink">'
    return Chart(re.sub(r"<svg[^>]*>", lambda _: head, text, count=1), title, says)


def _figure(width: float = 4.8, height: float = 4.0, rows: Sequence[float] = (1,)) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.patch.set_alpha(0)
    grid = figure.add_gridspec(len(rows), 1, height_ratios=list(rows))
    axes = [figure.add_subplot(grid[row, 0]) for row in range(len(rows))]
    for each in axes:
        each.patch.set_alpha(0)
    return figure, axes


def _unit_square(axes: Axes, x: str, y: str) -> None:
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xlabel=x, ylabel=y)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f} %"))


def lines(name: str, title: str, says: str, curves: Mapping[str, Line], x: str, y: str, *, diagonal: bool = False) -> Chart:
    """Curves in the unit square with their bands (bands only where there are at most two curves)."""
    with mpl.rc_context(_STYLE):
        figure, (axes,) = _figure()
        if diagonal:
            axes.plot([0, 1], [0, 1], color=QUIET, linewidth=0.8, linestyle=(0, (2, 3)))
        for number, (label, line) in enumerate(curves.items()):
            colour = SERIES[number % len(SERIES)]
            if line.band is not None and len(curves) <= 2:
                axes.fill_between(line.band.x, line.band.low, line.band.high, color=colour, alpha=0.15, linewidth=0)
            axes.plot(*_thinned(line.x, line.y), color=colour, linewidth=1.8, linestyle=DASHES[number // 2 % 4], label=label)
        _unit_square(axes, x, y)
        if len(curves) > 1:
            axes.legend(loc="lower right" if diagonal else "lower left")
        return _draw(figure, name, title, says)


def _thinned(x: Floats, y: Floats, most: int = 400) -> tuple[Floats, Floats]:
    """At most so many points of a curve, its ends kept."""
    if len(x) <= most:
        return x, y
    chosen = np.unique(np.linspace(0, len(x) - 1, most).astype(np.int64))
    return x[chosen], y[chosen]


def reliability(name: str, title: str, says: str, bins: Sequence[Bin], probabilities: Floats, x: str, y: str) -> Chart:
    """Observed share against stated probability with intervals, over a histogram of the probabilities."""
    with mpl.rc_context(_STYLE):
        figure, (axes, below) = _figure(4.8, 4.6, rows=(4, 1))
        axes.plot([0, 1], [0, 1], color=QUIET, linewidth=0.8, linestyle=(0, (2, 3)))
        for each in bins:
            if each.seen.low is not None and each.seen.high is not None:
                axes.plot([each.predicted] * 2, [each.seen.low, each.seen.high], color=SERIES[0], linewidth=1.2)
        axes.plot(
            [b.predicted for b in bins],
            [b.seen.value for b in bins],
            "o-",
            color=SERIES[0],
            markersize=5,
            linewidth=1,
            clip_on=False,
        )
        _unit_square(axes, "", y)
        counts, _, _ = below.hist(probabilities, bins=np.linspace(0, 1, 21), color=SERIES[0], alpha=0.55)
        _unit_square(below, x, "cases")
        below.set_ylim(0, 1.1 * float(counts.max()))
        below.yaxis.set_major_locator(MaxNLocator(2, integer=True))
        below.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))
        return _draw(figure, name, title, says)


def abstention(name: str, title: str, says: str, line: Line, chosen: tuple[float, float] | None) -> Chart:
    """The share of mistakes against the share of cases answered; ``chosen`` marks the model's own point."""
    with mpl.rc_context(_STYLE):
        figure, (axes,) = _figure(4.8, 3.6)
        axes.plot(*_thinned(line.x, line.y), color=SERIES[0], linewidth=1.8)
        if chosen is not None:
            axes.plot(*chosen, "o", color=SERIES[1], markersize=8)
            axes.annotate("this model", chosen, xytext=(-6, 10), textcoords="offset points", ha="right")
        _unit_square(axes, "share of cases answered, surest first", "wrong among them")
        axes.set_ylim(0, max(0.05, 1.15 * float(line.y.max())))
        return _draw(figure, name, title, says)


def learning(name: str, title: str, says: str, points: Sequence[CurvePoint], label: str) -> Chart:
    """The figure against the number of training cases, with intervals."""
    with mpl.rc_context(_STYLE):
        figure, (axes,) = _figure(4.8, 3.6)
        for each in points:
            if each.value.low is not None:
                axes.plot([each.cases] * 2, [each.value.low, each.value.high], color=SERIES[0], linewidth=1.2)
        known = [each for each in points if each.value.value is not None]
        axes.plot([p.cases for p in known], [p.value.value for p in known], "o-", color=SERIES[0], markersize=6)
        axes.set_xscale("log")
        axes.set_xticks([p.cases for p in known], [str(p.cases) for p in known])
        axes.minorticks_off()
        axes.set(xlabel="training cases (each step on the axis multiplies)", ylabel=label)
        return _draw(figure, name, title, says)


def against_labels(name: str, title: str, says: str, rows: Sequence[Mapping[str, float]], goal: float) -> Chart:
    """AUC of labels asked for beside that of labels taken at random, by the number of labels; bands: lowest to highest seed."""
    with mpl.rc_context(_STYLE):
        figure, (axes,) = _figure(6.4, 4.0)
        x = [row["labels"] for row in rows]
        for number, (key, label) in enumerate((("asked", "asked for"), ("random", "at random"))):
            low, high = ([row[f"{key}_{end}"] for row in rows] for end in ("low", "high"))
            axes.fill_between(x, low, high, color=SERIES[number], alpha=0.15, linewidth=0)
            axes.plot(x, [row[key] for row in rows], color=SERIES[number], linestyle=DASHES[number], linewidth=1.8, label=label)
        axes.axhline(goal, color=QUIET, linewidth=0.8, linestyle=(0, (2, 3)), label="goal")
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.minorticks_off()
        middle = sorted(row["random"] for row in rows)[len(rows) // 5]
        axes.set_ylim(min(middle, goal) - 0.02, 1.002)
        axes.set(xlabel="labels (each step on the axis multiplies)", ylabel="AUC on the test split")
        axes.legend(loc="lower right")
        return _draw(figure, name, title, says)


def search(name: str, title: str, says: str, values: Sequence[float], label: str) -> Chart:
    """Each trial's figure, and the best so far."""
    with mpl.rc_context(_STYLE):
        figure, (axes,) = _figure(4.8, 3.2)
        numbers = np.arange(1, len(values) + 1)
        axes.plot(numbers, values, "o", color=QUIET, markersize=3.5, label="trial")
        axes.step(numbers, np.maximum.accumulate(values), where="post", color=SERIES[0], linewidth=1.8, label="best so far")
        spread = np.quantile(values, [0.1, 1.0])
        axes.set_ylim(spread[0] - 0.15 * (spread[1] - spread[0]) - 1e-3, spread[1] + 0.1 * (spread[1] - spread[0]) + 1e-3)
        axes.set(xlabel="trial", ylabel=label)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.legend(loc="lower right")
        return _draw(figure, name, title, says)


def losses(
    name: str, title: str, says: str, curves: Mapping[str, Sequence[Sequence[tuple[float, float]]]], label: str = "loss"
) -> Chart:
    """Loss (or what ``label`` says) by epoch: under each name the curves ``(epoch, loss)`` of several trainings, thin, and their
    mean."""
    with mpl.rc_context(_STYLE):
        figure, (axes,) = _figure(4.8, 3.2)
        for number, (what, each) in enumerate(curves.items()):
            by_epoch: dict[float, list[float]] = {}
            colour, dash = SERIES[number % len(SERIES)], DASHES[number % len(DASHES)]
            for points in each:
                axes.plot(*zip(*points, strict=True), color=colour, linewidth=0.7, alpha=0.4)
                for epoch, loss in points:
                    by_epoch.setdefault(epoch, []).append(loss)
            epochs = sorted(by_epoch)
            means = [float(np.mean(by_epoch[epoch])) for epoch in epochs]
            axes.plot(epochs, means, color=colour, linewidth=1.8, linestyle=dash, marker="o", markersize=3, label=what)
        axes.set(xlabel="epoch", ylabel=label)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.legend(loc="best")
        return _draw(figure, name, title, says)


def forest(name: str, title: str, says: str, rows: Sequence[tuple[str, Metric]], whole: float | None, label: str) -> Chart:
    """One figure by group with its interval; the dashed line is the figure of all cases."""
    with mpl.rc_context(_STYLE):
        figure, (axes,) = _figure(4.8, 0.9 + 0.34 * len(rows))
        for number, (_, metric) in enumerate(rows):
            if metric.low is not None:
                axes.plot([metric.low, metric.high], [number] * 2, color=SERIES[0], linewidth=1.4)
            if metric.value is not None:
                axes.plot(metric.value, number, "o", color=SERIES[0], markersize=6)
        if whole is not None:
            axes.axvline(whole, color=QUIET, linewidth=1, linestyle=(0, (4, 3)))
        axes.set_yticks(range(len(rows)), [text for text, _ in rows])
        axes.set(ylim=(len(rows) - 0.4, -0.6), xlabel=label)
        axes.grid(axis="y", visible=False)
        return _draw(figure, name, title, says)


def strip(name: str, title: str, says: str, rows: Sequence[tuple[str, Floats]], label: str) -> Chart:
    """Each case as a dot, a row for each name; the long mark is the median, the box holds the middle half."""
    with mpl.rc_context(_STYLE):
        figure, (axes,) = _figure(4.8, 1.0 + 0.55 * len(rows))
        for number, (_, given) in enumerate(rows):
            values = np.sort(given[np.isfinite(given)])
            chosen = np.unique(np.linspace(0, len(values) - 1, min(len(values), _DOTS)).astype(np.int64))
            spread = 0.26 * np.sin(2.4 * np.arange(len(chosen)))  # as good as random, and the same each time
            axes.plot(values[chosen], number + spread, "o", color=SERIES[0], alpha=0.45, markersize=3.5, markeredgewidth=0)
            low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
            axes.plot([low, high, high, low, low], number + 0.36 * np.array([-1, -1, 1, 1, -1]), color=QUIET, linewidth=0.9)
            axes.plot([middle] * 2, [number - 0.42, number + 0.42], color=SERIES[1], linewidth=2.2)
        axes.set_yticks(range(len(rows)), [text for text, _ in rows])
        axes.set(ylim=(len(rows) - 0.45, -0.55), xlabel=label)
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.grid(axis="y", visible=False)
        return _draw(figure, name, title, says)


def froc(name: str, title: str, says: str, curves: Mapping[str, Line]) -> Chart:
    """Sensitivity against false alarms a case, up to `_FALSE` of them."""
    with mpl.rc_context(_STYLE):
        figure, (axes,) = _figure(4.8, 3.6)
        for number, (label, line) in enumerate(curves.items()):
            inside = line.x <= _FALSE
            x, y = _thinned(np.r_[line.x[inside], _FALSE], np.r_[line.y[inside], line.y[inside].max(initial=0.0)])
            dash = DASHES[number // 2 % len(DASHES)]
            axes.plot(x, y, color=SERIES[number % len(SERIES)], linewidth=1.8, linestyle=dash, label=label, drawstyle="steps-post")
        axes.set(xlim=(0, _FALSE), ylim=(0, 1.02), xlabel="false alarms a case", ylabel="findings hit")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f} %"))
        if len(curves) > 1:
            axes.legend(loc="lower right")
        return _draw(figure, name, title, says)


def scatter(name: str, title: str, says: str, truth: Floats, predicted: Floats, unit: str) -> Chart:
    """Predicted against true numbers."""
    with mpl.rc_context(_STYLE):
        figure, (axes,) = _figure()
        ends = [float(min(truth.min(), predicted.min())), float(max(truth.max(), predicted.max()))]
        axes.plot(ends, ends, color=QUIET, linewidth=0.8, linestyle=(0, (2, 3)))
        _dots(axes, truth, predicted)
        axes.set(xlabel=f"true{unit}", ylabel=f"predicted{unit}")
        return _draw(figure, name, title, says)


def bland_altman(
    name: str, title: str, says: str, truth: Floats, predicted: Floats, limits: tuple[float, float, float], unit: str
) -> Chart:
    """Difference against mean; ``limits``: lower limit of agreement, bias, upper limit."""
    with mpl.rc_context(_STYLE):
        figure, (axes,) = _figure()
        _dots(axes, (truth + predicted) / 2, predicted - truth)
        for height, dash in zip(limits, ((0, (4, 3)), "-", (0, (4, 3))), strict=True):
            axes.axhline(height, color=SERIES[1], linewidth=1.2, linestyle=dash)
            axes.annotate(
                f"{height:.3g}",
                (1, height),
                xycoords=("axes fraction", "data"),
                xytext=(-2, 3),
                textcoords="offset points",
                ha="right",
            )
        axes.set(xlabel=f"mean of true and predicted{unit}", ylabel=f"predicted less true{unit}")
        return _draw(figure, name, title, says)


def _dots(axes: Axes, x: Array, y: Array, most: int = 1500) -> None:
    """Points, of very many an even choice."""
    chosen = np.unique(np.linspace(0, len(x) - 1, min(len(x), most)).astype(np.int64))
    axes.plot(x[chosen], y[chosen], "o", color=SERIES[0], alpha=0.55, markersize=4, markeredgewidth=0)


def course(
    name: str,
    title: str,
    says: str,
    lines: Mapping[str, Sequence[tuple[int, float]]],
    axes_say: tuple[Sequence[str], str],
) -> Chart:
    """Something week by week: under each name points ``(number of the week, value)``. ``axes_say``: the weeks' names, the label."""
    weeks, label = axes_say
    with mpl.rc_context(_STYLE):
        figure, (axes,) = _figure(4.8, 3.2)
        for number, (what, points) in enumerate(lines.items()):
            colour, dash = SERIES[number % len(SERIES)], DASHES[number // 2 % len(DASHES)]
            axes.plot(*zip(*points, strict=True), color=colour, linewidth=1.8, linestyle=dash, marker="o", markersize=3, label=what)
        step = max(1, len(weeks) // 6)
        axes.set_xticks(range(0, len(weeks), step), [weeks[at].split("-")[1] for at in range(0, len(weeks), step)])
        axes.set(xlabel="week", ylabel=label, ylim=(0, None))
        if len(lines) > 1:
            axes.legend(loc="best")
        return _draw(figure, name, title, says)


def growth(
    name: str,
    title: str,
    says: str,
    points: Sequence[tuple[int, Metric]],
    expected: tuple[int, Metric] | None,
    label: str,
) -> Chart:
    """A figure against the number of labels, with intervals; ``expected``: a forecast, as an open dot."""
    with mpl.rc_context(_STYLE):
        figure, (axes,) = _figure(4.8, 3.6)
        for number, (labels, metric) in enumerate([*points, *([expected] if expected else [])]):
            forecast = number == len(points)
            colour = SERIES[1] if forecast else SERIES[0]
            if metric.low is not None and metric.high is not None:
                axes.plot([labels] * 2, [metric.low, metric.high], color=colour, linewidth=1.2)
            axes.plot(labels, metric.value, "o", color=colour, markersize=6, markerfacecolor="none" if forecast else colour)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.set(xlabel="labels learnt from", ylabel=label)
        return _draw(figure, name, title, says)
