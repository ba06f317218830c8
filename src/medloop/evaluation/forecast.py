"""What more labels would bring: a power law through figures at growing numbers of labels.

Error falls as a power of the number of examples over wide ranges (Hestness et al. 2017, arXiv:1712.00409; for medical images
Figueroa et al. 2012, BMC Med Inform Decis Mak 12:8): ``figure = best - b * labels ** -c``. The interval comes from fitting again
figures drawn anew within their own errors, so it says how little a few points tell; it cannot know of a change of patients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medloop.types import Floats

FEWEST = 3
"""Fewer different numbers of labels show no curve."""
_POWERS = np.array([0.15, 0.25, 0.35, 0.5, 0.7, 1.0, 1.4])
_DRAWS = 500
_LEAST_ERROR = 0.002


@dataclass(frozen=True, slots=True)
class Point:
    """A model's figure and the labels it learnt from; ``error``: the figure's standard error, None where unknown."""

    labels: int
    figure: float
    error: float | None = None


@dataclass(frozen=True, slots=True)
class Forecast:
    """The figure expected at ``labels``, with its 95 % interval. ``best``: what it tends to with ever more labels."""

    labels: int
    figure: float
    low: float
    high: float
    best: float


def forecast(points: Sequence[Point], labels: int, *, most: float = 1.0, seed: int = 0) -> Forecast | None:
    """The figure at ``labels``, at most ``most``; None where there are fewer than `FEWEST` different numbers of labels."""
    used = [point for point in points if point.labels > 0]
    if len({point.labels for point in used}) < FEWEST:
        return None
    count = np.array([point.labels for point in used], dtype=np.float64)
    figures = np.array([point.figure for point in used])
    errors = np.array([max(_LEAST_ERROR, point.error or 0.02) for point in used])
    drawn = figures[:, None] + errors[:, None] * np.random.default_rng(seed).standard_normal((len(used), _DRAWS))
    best, there = _fit(count, np.column_stack([figures, drawn]), errors, float(labels), most)
    low, high = np.quantile(there[1:], [0.025, 0.975])
    return Forecast(labels, float(there[0]), float(min(low, there[0])), float(max(high, there[0])), float(best[0]))


def _fit(count: Floats, figures: Floats, errors: Floats, at: float, most: float) -> tuple[Floats, Floats]:
    """``best`` and the figure at ``at`` of each column ``(R,)``: weighted least squares for each power, the best of them, with
    ``b`` not below 0 and ``best`` not above ``most``."""
    weights = 1 / errors**2
    shape = figures.shape[1]
    least, best, there = np.full(shape, np.inf), np.empty(shape), np.empty(shape)
    for power in _POWERS:
        x = (count / count.max()) ** -power
        centre = weights @ x / weights.sum()
        mean = weights @ figures / weights.sum()
        slope = (weights * (x - centre)) @ (figures - mean) / ((weights * (x - centre)) @ (x - centre))
        b = np.maximum(0.0, -slope)
        top = mean + b * centre
        over = top > most
        b = np.where(over, np.maximum(0.0, (weights * x) @ (most - figures) / ((weights * x) @ x)), b)
        top = np.where(over, most, top)
        missed = weights @ (figures - (top - np.outer(x, b))) ** 2
        better = missed < least
        least, best = np.where(better, missed, least), np.where(better, top, best)
        there = np.where(better, top - b * (at / count.max()) ** -power, there)
    return best, there
