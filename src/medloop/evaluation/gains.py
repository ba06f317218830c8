"""How much better one model is than another on the same cases, with the variance of that difference.

AUC: DeLong et al. 1988 (Biometrics 44:837), summed by patient as Obuchowski 1997 (Biometrics 53:567), so that several pictures of
one patient are not counted as independent. Over several classes: the mean of one-against-rest AUCs, whose variance follows from
the same sums. Means (share of right decisions, mean error): the ratio estimate over patients.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import stats

from medloop.types import Array, Floats, Integers, Target, TargetKind

_NOTHING = 1e-18


@dataclass(frozen=True, slots=True)
class Gain:
    """``a`` and ``b``: the figure of each model. ``difference``: b less a, or a less b where less is better, so that above 0 b is
    better. ``patients``: of the rarer side of the rarest class, or all; they limit what is known of the variance. ``most``: no
    patient's own difference can be larger."""

    a: float
    b: float
    difference: float
    variance: float
    patients: int
    most: float = 1.0

    def bound(self, tail: float) -> float | None:
        """The true difference lies above this with probability ``1 - tail`` (Student's t over patients).

        Where all patients differ alike there is no scatter to go by: then as many patients as could have been missed by chance (as
        Clopper and Pearson count) are taken to differ as badly as can be. None where nothing can be said.
        """
        if self.patients < 2:
            return None
        if self.variance <= _NOTHING and self.difference != 0:
            alike = tail ** (1 / self.patients)
            return None if np.isinf(self.most) else float(alike * self.difference - (1 - alike) * self.most)
        return float(self.difference - stats.t.isf(tail, self.patients - 1) * np.sqrt(self.variance))

    def between(self) -> tuple[float, float] | None:
        """The 95 % interval of the difference, or None."""
        low = self.bound(0.025)
        return None if low is None else (low, 2 * self.difference - low)


def of_aucs(target: Target, values: Array, a: Floats, b: Floats, patients: Integers) -> Gain | None:
    """AUC of b against a, mean over the classes that are both present and absent; None where there is none.

    ``values``: truth as in `Dataset.values`. ``a``, ``b``: ``(N, K)`` scores, higher is likelier. ``patients``: ``(N,)``.
    """
    _, member = np.unique(patients, return_inverse=True)
    count = int(member.max()) + 1 if len(member) else 0
    shares = np.zeros(count)
    aucs: list[tuple[float, float]] = []
    fewest = count
    for truth, known, column in _columns(target, np.asarray(values)):
        ones, zeros = np.flatnonzero(truth & known), np.flatnonzero(~truth & known)
        if len(ones) == 0 or len(zeros) == 0:
            continue
        first, second = a[:, column], b[:, column]
        (above_a, below_a), (above_b, below_b) = _placements(ones, zeros, first), _placements(ones, zeros, second)
        aucs.append((float(above_a.mean()), float(above_b.mean())))
        for rows, gained in ((ones, above_b - above_a), (zeros, below_b - below_a)):
            groups = len(np.unique(member[rows]))
            fewest = min(fewest, groups)
            summed = np.bincount(member[rows], gained - gained.mean(), count) / len(rows)
            shares += summed * np.sqrt(groups / max(1, groups - 1))
    if not aucs:
        return None
    one, two = np.mean(aucs, axis=0)
    return Gain(float(one), float(two), float(two - one), float(shares @ shares) / len(aucs) ** 2, fewest)


def _columns(target: Target, values: Array) -> Iterator[tuple[Array, Array, int]]:
    """``(positive, known, column of the scores)`` of each class against the rest; of two classes only the second."""
    for k in range(len(target.classes)):
        if target.kind is TargetKind.BINARY and k == 0:
            continue
        if target.kind is TargetKind.MULTILABEL:
            yield values[:, k] == 1, np.isfinite(values[:, k]), k
        else:
            yield values == k, np.ones(len(values), dtype=bool), k


def _placements(ones: Integers, zeros: Integers, scores: Floats) -> tuple[Floats, Floats]:
    """For each positive the share of negatives below it, and for each negative the share of positives above it; ties half."""
    ordered_one, ordered_zero = np.sort(scores[ones]), np.sort(scores[zeros])
    above = np.searchsorted(ordered_zero, scores[ones]) + np.searchsorted(ordered_zero, scores[ones], side="right")
    below = np.searchsorted(ordered_one, scores[zeros]) + np.searchsorted(ordered_one, scores[zeros], side="right")
    return above / (2 * len(zeros)), 1 - below / (2 * len(ones))


def of_means(a: Floats, b: Floats, patients: Integers, *, less_is_better: bool = False) -> Gain | None:
    """The mean of b against that of a over N cases: ``a``, ``b`` ``(N,)``, shares (errors, where less is better); None without."""
    if len(a) == 0:
        return None
    gained = (a - b if less_is_better else b - a).astype(np.float64)
    _, member = np.unique(patients, return_inverse=True)
    groups = int(member.max()) + 1
    summed = np.bincount(member, gained - gained.mean(), groups) / len(gained)
    variance = groups / max(1, groups - 1) * float(summed @ summed)
    most = np.inf if less_is_better else 1.0
    return Gain(float(np.mean(a)), float(np.mean(b)), float(gained.mean()), variance, groups, most)
