"""Statistics as functions of weights, so that a thousand resamples cost a few matrix operations.

Each maker takes the data once and gives an `intervals.Statistic`: weights ``(N, R)`` to values ``(R,)``, NaN where a
round has nothing to compute with. With all weights 1 the value is the usual one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from medloop.evaluation.intervals import Statistic
from medloop.types import Array, Floats

BINS = 15


def divided(upper: Array, lower: Array) -> Floats:
    """``upper / lower``, NaN where ``lower`` is 0."""
    upper, lower = np.broadcast_arrays(np.asarray(upper, dtype=np.float64), np.asarray(lower, dtype=np.float64))
    result: Floats = np.divide(upper, lower, out=np.full(upper.shape, np.nan), where=lower != 0)
    return result


def mean_known(rows: Array) -> Floats:
    """The mean over the first axis of what is not NaN; NaN where nothing is known."""
    known = np.isfinite(rows)
    return divided(np.where(known, rows, 0.0).sum(axis=0), known.sum(axis=0))


def within(keep: Array, statistic: Statistic) -> Statistic:
    """The statistic of the cases where ``keep`` ``(N,)`` is true."""
    return lambda weights: statistic(weights[keep])


def macro(parts: Sequence[Statistic]) -> Statistic:
    """The mean of several statistics over those that are defined."""
    return lambda weights: mean_known(np.stack([part(weights) for part in parts]))


def _ties(scores: Array) -> tuple[Array, Array]:
    """The ascending order of the scores and where each run of equal scores starts in it."""
    order = np.argsort(scores, kind="stable")
    ascending = scores[order]
    return order, np.flatnonzero(np.r_[True, ascending[1:] != ascending[:-1]])


def _summed(ordered: Floats, starts: Array) -> Floats:
    """Rows summed by runs; without ties every row is a run."""
    if len(starts) == len(ordered):
        return ordered
    sums: Floats = np.add.reduceat(ordered, starts, axis=0)
    return sums


def auc(positive: Array, scores: Array) -> Statistic:
    """Area under the ROC curve, ties counted half. ``positive`` ``(N,)`` bool."""
    if len(scores) == 0:
        return _nothing
    order, starts = _ties(scores)
    truth = positive[order].astype(np.float64)[:, None]

    def value(weights: Floats) -> Floats:
        ordered = weights[order]
        ones = _summed(ordered * truth, starts)
        zeros = _summed(ordered, starts) - ones
        below = np.cumsum(zeros, axis=0) - zeros / 2
        return divided((ones * below).sum(axis=0), ones.sum(axis=0) * zeros.sum(axis=0))

    return value


def average_precision(positive: Array, scores: Array) -> Statistic:
    """Mean precision over the positives, without interpolation (as scikit-learn)."""
    if len(scores) == 0:
        return _nothing
    order, starts = _ties(-scores)
    truth = positive[order].astype(np.float64)[:, None]

    def value(weights: Floats) -> Floats:
        ordered = weights[order]
        found = _summed(ordered * truth, starts)
        taken = np.cumsum(_summed(ordered, starts), axis=0)
        precision = np.divide(np.cumsum(found, axis=0), taken, out=np.zeros_like(taken), where=taken > 0)
        return divided((found * precision).sum(axis=0), found.sum(axis=0))

    return value


def mean(values: Array) -> Statistic:
    """The mean of ``(N,)`` values."""
    row = np.asarray(values, dtype=np.float64)
    return lambda weights: divided(row @ weights, weights.sum(axis=0))


def root_mean(squares: Array) -> Statistic:
    """The root of the mean of ``(N,)`` squares."""
    inner = mean(squares)
    return lambda weights: np.sqrt(inner(weights))


def from_confusion(truth: Array, decided: Array, classes: int, of: Callable[[Floats], Floats]) -> Statistic:
    """A function of the confusion matrix. ``of`` takes ``(K, K, R)``, rows are the truth, and gives ``(R,)``."""
    cell = np.asarray(truth) * classes + np.asarray(decided)
    member = (cell[None, :] == np.arange(classes * classes)[:, None]).astype(np.float64)
    return lambda weights: of((member @ weights).reshape(classes, classes, -1))


def balanced_accuracy(confusion: Floats) -> Floats:
    """Mean sensitivity of the classes that have cases."""
    return mean_known(divided(_diagonal(confusion), confusion.sum(axis=1)))


def f1_macro(confusion: Floats) -> Floats:
    """Mean F1 of the classes that have cases or decisions."""
    return mean_known(divided(2 * _diagonal(confusion), confusion.sum(axis=1) + confusion.sum(axis=0)))


def f1_positive(confusion: Floats) -> Floats:
    """F1 of the second of two classes; undefined without cases of it."""
    cases = confusion[1].sum(axis=0)
    return np.where(cases > 0, divided(2 * confusion[1, 1], cases + confusion[:, 1].sum(axis=0)), np.nan)


def kappa(confusion: Floats) -> Floats:
    """Cohen's kappa, unweighted."""
    total = confusion.sum(axis=(0, 1))
    agreed = divided(_diagonal(confusion).sum(axis=0), total)
    chance = divided((confusion.sum(axis=1) * confusion.sum(axis=0)).sum(axis=0), total**2)
    return divided(agreed - chance, 1 - chance)


def _diagonal(confusion: Floats) -> Floats:
    return np.moveaxis(np.diagonal(confusion), -1, 0)


def equal_mass_bins(probabilities: Array, bins: int = BINS) -> Array:
    """``(N,)`` bin numbers: at most ``bins`` bins of as equal size as ties allow (equal probabilities share a bin)."""
    order, starts = _ties(probabilities)
    middle = starts + np.diff(np.r_[starts, len(order)]) / 2
    of_run = np.minimum((middle * bins / max(1, len(order))).astype(np.int64), bins - 1)
    numbers = np.empty(len(order), dtype=np.int64)
    numbers[order] = np.repeat(of_run, np.diff(np.r_[starts, len(order)]))
    return numbers


def calibration_error(positive: Array, probabilities: Array) -> Statistic:
    """Expected calibration error: mean over `BINS` equal-mass bins of |observed share - mean probability|, by bin weight."""
    if len(probabilities) == 0:
        return _nothing
    numbers = equal_mass_bins(probabilities)
    excess = positive.astype(np.float64) - probabilities
    member = (numbers[None, :] == np.unique(numbers)[:, None]).astype(np.float64)

    def value(weights: Floats) -> Floats:
        return divided(np.abs((member * excess) @ weights).sum(axis=0), weights.sum(axis=0))

    return value


def r2(truth: Array, predicted: Array) -> Statistic:
    """Share of the variance explained; negative where the mean would have done better."""
    truth, squares = np.asarray(truth, dtype=np.float64), (np.asarray(truth) - predicted) ** 2

    def value(weights: Floats) -> Floats:
        centre = divided(truth @ weights, weights.sum(axis=0))
        spread = (weights * (truth[:, None] - centre) ** 2).sum(axis=0)
        return 1 - divided(squares @ weights, np.where(spread > 1e-300, spread, 0.0))

    return value


def pearson(first: Array, second: Array) -> Statistic:
    """Pearson's correlation."""
    first, second = np.asarray(first, dtype=np.float64)[:, None], np.asarray(second, dtype=np.float64)[:, None]
    return lambda weights: _correlation(np.broadcast_to(first, weights.shape), np.broadcast_to(second, weights.shape), weights)


def spearman(first: Array, second: Array) -> Statistic:
    """Spearman's rank correlation: ranks are those of the resampled cases."""
    rank_first, rank_second = _ranks(first), _ranks(second)
    return lambda weights: _correlation(rank_first(weights), rank_second(weights), weights)


def _ranks(values: Array) -> Statistic:
    order, starts = _ties(np.asarray(values))
    sizes = np.diff(np.r_[starts, len(order)])

    def ranks(weights: Floats) -> Floats:
        runs = _summed(weights[order], starts)
        result = np.empty_like(weights)
        result[order] = np.repeat(np.cumsum(runs, axis=0) - runs / 2, sizes, axis=0)
        return result

    return ranks


def _correlation(first: Array, second: Array, weights: Floats) -> Floats:
    total = weights.sum(axis=0)
    first = first - divided((first * weights).sum(axis=0), total)
    second = second - divided((second * weights).sum(axis=0), total)
    spread = np.sqrt((weights * first**2).sum(axis=0) * (weights * second**2).sum(axis=0))
    scale = 1e-12 * np.maximum(1e-300, total)
    return divided((weights * first * second).sum(axis=0), np.where(spread > scale, spread, 0.0))


def limit_of_agreement(differences: Array, side: int) -> Statistic:
    """Bland and Altman's limit: mean difference plus ``side`` (-1 or 1) times 1.96 standard deviations."""
    row = np.asarray(differences, dtype=np.float64)

    def value(weights: Floats) -> Floats:
        total = weights.sum(axis=0)
        centre = divided(row @ weights, total)
        variance = divided((weights * (row[:, None] - centre) ** 2).sum(axis=0), total - 1)
        return centre + side * 1.96 * np.sqrt(variance)

    return value


def _nothing(weights: Floats) -> Floats:
    return np.full(weights.shape[1], np.nan)
