"""How well masks cover each other: Dice and intersection over union of each class, case by case.

Dice (1945): twice the common voxels over the sum of both; IoU: the common voxels over those of either. All is computed from the
confusion matrix of each case's voxels, so that masks need not be held. Voxels of unknown truth are not judged. A case that has a
class neither in truth nor in answer says nothing of that class (NaN); where only the answer has it, both are 0. A figure is the
mean over cases; without a class in its name the mean over classes of that. ``whole``: all classes joined into one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from medloop.evaluation import intervals, weighted
from medloop.evaluation.intervals import Statistic
from medloop.types import UNKNOWN, Array, Floats, Integers, Metric

WHOLE = "whole"


def confusion(truth: Array, answer: Array, classes: int) -> Integers:
    """``(K + 1, K + 1)`` voxels of one case, rows are the truth. An answer of `UNKNOWN` counts as nothing found."""
    side = classes + 1
    judged = truth != UNKNOWN
    found = np.where(answer == UNKNOWN, 0, answer)[judged].astype(np.int64)
    return np.bincount(truth[judged].astype(np.int64) * side + found, minlength=side * side).reshape(side, side)


def dice(confusions: Array) -> Floats:
    """``(..., K + 1, K + 1)`` to ``(..., K)``: of each class."""
    common, either = _common(confusions)
    return weighted.divided(2 * common, common + either)


def rivals(a: Array, b: Array) -> tuple[Floats, Floats]:
    """Two answers to one case, each ``(1 + K,)``: Dice in all and of each class, from confusions ``(K + 1, K + 1)``.

    In all: the mean over the classes that the truth or either answer has. Who finds nothing of a class that is not there is right
    (1), who finds some is wrong (0), for otherwise false answers would cost nothing; where nobody has anything both are right. Of
    each class: NaN where the truth does not have it.
    """
    there = a.sum(axis=1)[1:] > 0
    meant = there | (a.sum(axis=0)[1:] > 0) | (b.sum(axis=0)[1:] > 0)
    told = [np.nan_to_num(dice(each), nan=1.0) for each in (a, b)]
    one, two = (np.r_[each[meant].mean() if meant.any() else 1.0, np.where(there, each, np.nan)] for each in told)
    return one, two


def iou(confusions: Array) -> Floats:
    """``(..., K + 1, K + 1)`` to ``(..., K)``: of each class."""
    return weighted.divided(*_common(confusions))


def joined(confusions: Array) -> Array:
    """All classes as one: ``(..., K + 1, K + 1)`` to ``(..., 2, 2)``."""
    nothing = confusions[..., 0, 0]
    wrong = confusions[..., 0, 1:].sum(axis=-1)
    missed = confusions[..., 1:, 0].sum(axis=-1)
    return np.stack([np.stack([nothing, wrong], -1), np.stack([missed, confusions[..., 1:, 1:].sum(axis=(-2, -1))], -1)], -2)


def parts(classes: Sequence[str]) -> tuple[str, ...]:
    """What figures are told of: every class and, where there are several, all of them joined."""
    return (*classes, WHOLE) if len(classes) > 1 and WHOLE not in classes else tuple(classes)


def score(classes: Sequence[str], confusions: Array, patients: Integers, seed: int = 0) -> dict[str, Metric]:
    """``dice``, ``iou``, ``dice_<class>``, ``iou_<class>`` and, of several classes, ``dice_whole``, ``iou_whole``.

    ``confusions``: ``(N, K + 1, K + 1)``, a matrix for each case. ``patients``: ``(N,)``; equal numbers are resampled together.
    """
    names = parts(classes)
    whole = joined(confusions)
    statistics: dict[str, Statistic] = {}
    for name, figure in (("dice", dice), ("iou", iou)):
        values = np.concatenate([figure(confusions), figure(whole)], axis=1)[:, : len(names)]
        each = [known_mean(column) for column in values.T]
        statistics[name] = weighted.macro(each[: len(classes)])
        statistics |= {f"{name}_{part}": statistic for part, statistic in zip(names, each, strict=True)}
    return intervals.bootstrap(statistics, patients, seed, _absent(names, statistics))


def known_mean(values: Floats) -> Statistic:
    """The mean of the cases ``(N,)`` that are not NaN."""
    known = np.isfinite(values)
    return weighted.within(known, weighted.mean(values[known]))


def left_out(metric: Metric, count: int, of: int) -> Metric:
    """A mean that ``count`` of so many cases are left out of, because only one of truth and answer has the class: told."""
    if not count:
        return metric
    says = f"without {count} of {of} cases where only one of truth and answer has it"
    return replace(metric, reason=f"{metric.reason}; {says}" if metric.reason else says)


def _absent(names: Sequence[str], statistics: dict[str, Statistic]) -> dict[str, str]:
    says = {name: f"no case here has '{name}'" for name in names}
    return {key: says.get(key.partition("_")[2], "no case here has any of the classes") for key in statistics}


def _common(confusions: Array) -> tuple[Array, Array]:
    """Voxels of each class in both, and in either."""
    both = np.diagonal(confusions, axis1=-2, axis2=-1)[..., 1:]
    return both, confusions.sum(axis=-1)[..., 1:] + confusions.sum(axis=-2)[..., 1:] - both
