"""Intervals of 95 %, at the level of patients: several pictures of one patient are not independent cases.

Two methods. Proportions (accuracy, sensitivity, specificity): Clopper-Pearson, exact; where patients have several
cases, with the effective number of cases of Korn and Graubard (1998, Survey Methodology 24:193). Everything else: the
percentile bootstrap over patients (Efron and Tibshirani 1993). Resampling is done by weights, many rounds at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
from scipy import stats

from medloop.types import Array, Floats, Integers, Metric

Statistic = Callable[[Floats], Floats]
"""Takes weights ``(N, R)``, how often each of N cases counts in each of R rounds; gives ``(R,)``, NaN where undefined."""

ROUNDS = 1000
FEWEST_PATIENTS = 5
FEW_PATIENTS = f"fewer than {FEWEST_PATIENTS} patients: an interval would say nothing"
RARE = "too few patients of one class for an interval"
_WHOLE = 0.9
_BLOCK = 4_000_000


def weights(patients: Integers, seed: int, rounds: int = ROUNDS) -> Iterator[Floats]:
    """Blocks ``(N, R)`` of weights that together have ``rounds`` columns: patients drawn with replacement."""
    names, member = np.unique(patients, return_inverse=True)
    generator = np.random.default_rng(seed)
    step = max(1, _BLOCK // max(1, len(member)))
    for start in range(0, rounds, step):
        count = min(step, rounds - start)
        drawn = generator.integers(0, len(names), (count, len(names))) + np.arange(count)[:, None] * len(names)
        counts = np.bincount(drawn.ravel(), minlength=count * len(names)).reshape(count, len(names))
        yield np.ascontiguousarray(counts.T.astype(np.float64)[member])


def resample(statistics: Mapping[str, Statistic], patients: Integers, seed: int, rounds: int = ROUNDS) -> dict[str, Floats]:
    """``(rounds,)`` values of each statistic; round r of one and round r of another saw the same patients."""
    parts: dict[str, list[Floats]] = {name: [] for name in statistics}
    for block in weights(patients, seed, rounds):
        for name, statistic in statistics.items():
            parts[name].append(statistic(block))
    return {name: np.concatenate(values) for name, values in parts.items()}


def point(statistic: Statistic, count: int) -> float | None:
    """The statistic of the data itself, None where it is undefined."""
    value = float(statistic(np.ones((count, 1)))[0])
    return value if np.isfinite(value) else None


def bootstrap(
    statistics: Mapping[str, Statistic], patients: Integers, seed: int, reasons: Mapping[str, str] | None = None
) -> dict[str, Metric]:
    """Each statistic with its percentile interval over patients.

    ``reasons`` says why a statistic may be undefined. One that is undefined in more than a tenth of the rounds gets no interval.
    """
    reasons = reasons or {}
    count = len(patients)
    values = {name: point(statistic, count) for name, statistic in statistics.items()}
    known = {name: statistic for name, statistic in statistics.items() if values[name] is not None}
    few = len(np.unique(patients)) < FEWEST_PATIENTS
    drawn = {} if few else resample(known, patients, seed)
    return {name: _metric(value, drawn.get(name), few, reasons.get(name)) for name, value in values.items()}


def _metric(value: float | None, drawn: Floats | None, few: bool, reason: str | None) -> Metric:
    if value is None:
        return Metric(None, reason=reason or "undefined on these cases")
    if few or drawn is None:
        return Metric(value, reason=FEW_PATIENTS)
    whole = drawn[np.isfinite(drawn)]
    if len(whole) < _WHOLE * len(drawn):
        return Metric(value, reason=RARE)
    low, high = np.quantile(whole, [0.025, 0.975])
    return Metric(value, float(min(low, value)), float(max(high, value)))


def proportion(right: Array, patients: Integers) -> Metric:
    """The share of ``right`` ``(N,)`` bool with its Clopper-Pearson interval."""
    if len(right) == 0:
        return Metric(None, reason="no such cases")
    value = float(np.mean(right))
    if len(np.unique(patients)) < FEWEST_PATIENTS:
        return Metric(value, reason=FEW_PATIENTS)
    size = effective_cases(right, patients)
    return Metric(value, lower_bound(value, size, 0.025), upper_bound(value, size, 0.025))


def effective_cases(right: Array, patients: Integers) -> float:
    """How many independent cases the N cases are worth for a proportion: N where each patient has one.

    Otherwise the variance between patients decides (ratio estimate), with the t-correction for few patients. Where
    all are right or all wrong, patients are counted.
    """
    count = len(right)
    _, member = np.unique(patients, return_inverse=True)
    clusters = int(member.max()) + 1
    if clusters == count:
        return float(count)
    share = float(np.mean(right))
    if share in (0.0, 1.0):
        return float(clusters)
    residual = np.bincount(member, np.asarray(right, dtype=np.float64) - share, clusters)
    variance = clusters / (clusters - 1) * float(residual @ residual) / count**2
    if variance == 0.0:
        return float(count)
    size = share * (1 - share) / variance
    correction = (stats.t.ppf(0.975, count - 1) / stats.t.ppf(0.975, clusters - 1)) ** 2
    return float(np.clip(size * correction, 1.0, count))


def lower_bound(share: float, size: float, tail: float) -> float:
    """Clopper-Pearson bound that a true share lies above with probability ``1 - tail``."""
    hits = share * size
    return 0.0 if hits <= 0 else float(stats.beta.ppf(tail, hits, size - hits + 1))


def upper_bound(share: float, size: float, tail: float) -> float:
    """Clopper-Pearson bound that a true share lies below with probability ``1 - tail``."""
    hits = share * size
    return 1.0 if hits >= size else float(stats.beta.ppf(1 - tail, hits + 1, size - hits))
