"""Curves and tables that reports draw: pure functions from truths and probabilities to arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from medloop.evaluation import intervals, weighted
from medloop.types import Array, Floats, Integers, Metric


@dataclass(frozen=True, slots=True, eq=False)
class Band:
    """Pointwise 95 % limits over patients, ``(G,)`` each."""

    x: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """A curve; ``band`` is None where there are too few patients for one."""

    x: Floats
    y: Floats
    band: Band | None = None


@dataclass(frozen=True, slots=True)
class Bin:
    """One bin of a reliability curve: mean probability, the share seen with its interval, and how many cases."""

    predicted: float
    seen: Metric
    cases: int


def _steps(truth: Array, scores: Floats) -> tuple[Array, Array, Array]:
    """From the highest score down: order, where runs of equal scores end, and 1 for the positives."""
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.r_[scores[order][1:] != scores[order][:-1], True])
    return order, ends, truth[order].astype(np.float64)[:, None]


def roc(truth: Array, scores: Floats, patients: Integers, seed: int = 0, rounds: int = 200) -> Line:
    """False-positive rate against sensitivity. ``truth`` ``(N,)`` bool with both values present."""
    order, ends, ones = _steps(truth, scores)

    def rates(weights: Floats) -> tuple[Floats, Floats]:
        ordered = weights[order]
        hits, alarms = np.cumsum(ordered * ones, axis=0), np.cumsum(ordered * (1 - ones), axis=0)
        zero = np.zeros((1, weights.shape[1]))
        return (
            np.r_[zero, weighted.divided(alarms[ends], alarms[-1])],
            np.r_[zero, weighted.divided(hits[ends], hits[-1])],
        )

    x, y = rates(np.ones((len(truth), 1)))
    grid = np.linspace(0, 1, 101)
    drawn = _drawn(patients, seed, rounds, lambda block: _interpolated(grid, *rates(block)))
    return _banded(x[:, 0], y[:, 0], grid, drawn)


def precision_recall(truth: Array, scores: Floats, patients: Integers, seed: int = 0, rounds: int = 200) -> Line:
    """Sensitivity (recall) against precision. ``truth`` ``(N,)`` bool with a positive."""
    order, ends, ones = _steps(truth, scores)

    def rates(weights: Floats) -> tuple[Floats, Floats]:
        ordered = weights[order]
        hits, taken = np.cumsum(ordered * ones, axis=0)[ends], np.cumsum(ordered, axis=0)[ends]
        return weighted.divided(hits, hits[-1]), np.divide(hits, taken, out=np.ones_like(hits), where=taken > 0)

    x, y = rates(np.ones((len(truth), 1)))
    grid = np.linspace(0.02, 1, 99)
    drawn = _drawn(patients, seed, rounds, lambda block: _interpolated(grid, *rates(block)))
    return _banded(x[:, 0], y[:, 0], grid, drawn)


def reliability(truth: Array, probabilities: Floats, patients: Integers, bins: int = 10) -> list[Bin]:
    """The shares seen in at most ``bins`` equal-mass bins of the probability."""
    numbers = weighted.equal_mass_bins(probabilities, bins)
    found = []
    for number in np.unique(numbers):
        inside = numbers == number
        seen = intervals.proportion(truth[inside], patients[inside])
        found.append(Bin(float(np.mean(probabilities[inside])), seen, int(inside.sum())))
    return found


def confusion(values: Array, choices: Array, classes: int) -> Integers:
    """``(K, K)`` counts; rows are the truth, columns the decisions."""
    return np.bincount(np.asarray(values) * classes + choices, minlength=classes**2).reshape(classes, classes)


def risk_coverage(confidence: Floats, mistakes: Array) -> Line:
    """The share of cases accepted, most confident first, against the share of mistakes among them. Ties enter together."""
    order = np.argsort(-confidence, kind="stable")
    ends = np.flatnonzero(np.r_[confidence[order][1:] != confidence[order][:-1], True])
    taken = np.arange(1, len(order) + 1)
    share = np.cumsum(mistakes[order]) / taken
    return Line(taken[ends] / len(order), share[ends])


def _drawn(patients: Integers, seed: int, rounds: int, curve: Callable[[Floats], Floats]) -> Floats | None:
    """``(G, rounds)`` resampled curves on the grid, None with too few patients."""
    if len(np.unique(patients)) < intervals.FEWEST_PATIENTS:
        return None
    return np.concatenate([curve(block) for block in intervals.weights(patients, seed, rounds)], axis=1)


def _interpolated(grid: Floats, x: Floats, y: Floats) -> Floats:
    return np.stack([np.interp(grid, x[:, column], y[:, column]) for column in range(x.shape[1])], axis=1)


def _banded(x: Floats, y: Floats, grid: Floats, drawn: Floats | None) -> Line:
    whole = None if drawn is None else drawn[:, np.isfinite(drawn).all(axis=0)]
    if whole is None or whole.shape[1] < 2:
        return Line(x, y)
    low, high = np.quantile(whole, [0.025, 0.975], axis=1)
    return Line(x, y, Band(grid, low, high))
