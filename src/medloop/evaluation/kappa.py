"""How far readers agree beyond chance: Cohen's kappa of two, Fleiss' kappa of any number, with intervals.

Cohen (Educ Psychol Meas 1960), unweighted; Fleiss (Psychol Bull 1971), where cases may have been read by different numbers of
readers. 1: always agreed, 0: as often as by chance. Intervals by the bootstrap over patients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from medloop.evaluation import intervals, weighted
from medloop.evaluation.intervals import Statistic
from medloop.types import Array, Floats, Integers, Metric

_NONE = "no case was read by two"
_SAME = "all said the same of every case, so that chance alone would agree as well"
_ROUNDS_SEED = 0


def cohen(first: Sequence[str], second: Sequence[str], patients: Integers, seed: int = _ROUNDS_SEED) -> Metric:
    """Cohen's kappa of two readings of each case; ``patients``: ``(N,)``, of one patient resampled together."""
    if len(first) == 0:
        return Metric(None, reason=_NONE)
    names, member = np.unique(np.array([*first, *second], dtype=np.str_), return_inverse=True)
    one, two = member[: len(first)], member[len(first) :]
    statistic = weighted.from_confusion(one, two, len(names), weighted.kappa)
    return intervals.bootstrap({"kappa": statistic}, patients, seed, {"kappa": _SAME})["kappa"]


def fleiss(readings: Sequence[Sequence[str]], patients: Integers, seed: int = _ROUNDS_SEED) -> Metric:
    """Fleiss' kappa of cases that several readers read, each case's answers in any order; cases with one answer do not count."""
    read = np.array([len(each) >= 2 for each in readings], np.bool_)
    if not read.any():
        return Metric(None, reason=_NONE)
    kept = [each for each in readings if len(each) >= 2]
    names = {name: place for place, name in enumerate(sorted({name for each in kept for name in each}))}
    counts = np.zeros((len(kept), len(names)))
    for row, each in enumerate(kept):
        for name in each:
            counts[row, names[name]] += 1
    found = intervals.bootstrap({"kappa": _fleiss(counts)}, np.asarray(patients)[read], seed, {"kappa": _SAME})
    return found["kappa"]


def agreed(first: Sequence[str], second: Sequence[str], patients: Integers) -> Metric:
    """The share of cases of which both say the same, with its exact interval."""
    same = np.array([one == two for one, two in zip(first, second, strict=True)], np.bool_)
    return intervals.proportion(same, patients) if len(same) else Metric(None, reason=_NONE)


def pairs(answers: Mapping[str, Mapping[int, str]]) -> list[tuple[str, str, list[int]]]:
    """Every two readers and the cases that both read, from each reader's answers by case."""
    names = sorted(answers)
    every = [(one, two) for place, one in enumerate(names) for two in names[place + 1 :]]
    return [(one, two, shared) for one, two in every if (shared := sorted(answers[one].keys() & answers[two].keys()))]


def _fleiss(counts: Array) -> Statistic:
    """From ``(N, K)`` how many readers gave each answer."""
    readers = counts.sum(axis=1, keepdims=True)
    alike = ((counts * (counts - 1)).sum(axis=1, keepdims=True)) / (readers * (readers - 1))
    shares = counts / readers

    def value(weights: Floats) -> Floats:
        total = weights.sum(axis=0)
        seen = weighted.divided((weights * alike).sum(axis=0), total)
        chance = (weighted.divided(shares.T @ weights, total) ** 2).sum(axis=0)
        return weighted.divided(seen - chance, np.where(chance < 1 - 1e-12, 1 - chance, 0.0))

    return value
