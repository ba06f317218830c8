"""From scores to a mask by thresholds and smallest parts that were learnt on out-of-fold scores, not guessed.

Class k wins a voxel where its share ``p_k / (p_k + r)`` exceeds its threshold, r being the strongest of the others, each multiplied
by ``(1 - t) / t`` of its own threshold t. With one class that is its probability against the threshold, and thresholds of 0.5 are
the plain choice of the highest score. Then connected parts of a class with too few voxels go to the strongest of the others, and
where parts that touch are to be told apart they are cut at their necks (`medloop.targets._apart`).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from medloop.evaluation import overlap, weighted
from medloop.targets import _apart
from medloop.targets._components import parts
from medloop.types import UNKNOWN, Array, Floats, Integers, Json, SpacingMm

_LEVELS = 200
_THRESHOLDS = (np.arange(_LEVELS) + 0.5) / _LEVELS
_SIZES = np.unique(np.r_[0, np.rint(np.geomspace(2, 100_000, 60))]).astype(np.int64)
_ROUNDS = 3
_BLOCK = 1_000_000
_WORTH = 0.0001
"""Gain in mean Dice below which nothing is changed."""
_WORTH_A_CUT, _COST_OF_CUTS = 0.01, 0.002
"""Gain in how well parts answer parts below which nothing is cut, and the most Dice that cuts may cost."""
_CUT = 100
"""Cases on which cutting is tried, about."""


@dataclass(frozen=True, slots=True)
class Cleaning:
    """Of each of K classes the ``thresholds`` from 0 to 1 and the ``smallest`` connected part in voxels of the scores' grid.

    ``before`` and ``after``: mean Dice of the cases it was learnt on without and with it, None where nothing was learnt. ``necks``:
    of each class how narrow a neck is at which parts are cut apart, 0 never (see `medloop.targets._apart`); ``()`` is all 0.
    """

    thresholds: tuple[float, ...]
    smallest: tuple[int, ...]
    before: float | None = None
    after: float | None = None
    necks: tuple[float, ...] = ()

    @staticmethod
    def plain(classes: int) -> Cleaning:
        """The highest score of each voxel, and nothing removed."""
        return Cleaning((0.5,) * classes, (0,) * classes)

    def to_json(self) -> Json:
        """Plain JSON."""
        return asdict(self)

    @staticmethod
    def from_json(content: Json) -> Cleaning:
        """As `to_json` wrote it."""
        return Cleaning(
            tuple(float(each) for each in content["thresholds"]),
            tuple(int(each) for each in content["smallest"]),
            content.get("before"),
            content.get("after"),
            tuple(float(each) for each in content.get("necks", ())),
        )


def clean(scores: Array, cleaning: Cleaning, spacing: SpacingMm | None = None) -> NDArray[np.uint8]:
    """Scores ``(K + 1, Z, Y, X)``, float or uint8, to a mask ``(Z, Y, X)``. ``spacing``: of their grid, for what is cut."""
    return clean_slabs(lambda slab: scores[:, slab], scores.shape[1:], cleaning, spacing)


def clean_slabs(
    look: Callable[[slice], Array], shape: Sequence[int], cleaning: Cleaning, spacing: SpacingMm | None = None
) -> NDArray[np.uint8]:
    """The same where the scores of all voxels are more than memory should hold.

    ``look``: a few slices to their scores ``(K + 1, z, Y, X)``; it is asked again for those with parts that are too small.
    """
    mask = np.empty(tuple(shape), np.uint8)
    for slab in slabs(mask):
        mask[slab] = np.argmax(_strength(look(slab), cleaning.thresholds), axis=0)
    for k, smallest in enumerate(cleaning.smallest, 1):
        if smallest > 1 and (mask == k).any():
            labels, voxels = parts(mask == k)
            small = (voxels < smallest)[labels] & (labels > 0)
            for slab in slabs(mask):
                if (there := small[slab]).any():
                    mask[slab][there] = _rival(_strength(look(slab)[:, there], cleaning.thresholds), k)[0]
    for k, neck in enumerate(cleaning.necks, 1):
        mask[_apart.cuts(mask == k, neck, spacing)] = 0
    return mask


def learn_cleaning(cases: Iterable[tuple[Array, Array]], spacings: Sequence[SpacingMm | None] = ()) -> Cleaning:
    """The cleaning with the highest mean Dice over classes and cases; then parts are cut apart where that makes them more like
    the true ones.

    ``cases``: scores ``(K + 1, Z, Y, X)`` and truth ``(Z, Y, X)`` of each case, scored by models that had not seen it. They pass by
    several times and one at a time, so give what can be iterated anew, such as a list or an object that reads them from disk.
    ``spacings``: of each case's grid, where they are known. Thresholds are changed in turn, that of nothing (of all classes
    together) among them. A change that gains less than a ten-thousandth is not made.
    """
    if isinstance(cases, Iterator):
        raise ValueError("cases pass by several times: give what can be iterated anew")
    classes = next((len(scores) - 1 for scores, _ in cases), 0)
    best = Cleaning.plain(classes)
    for _ in range(_ROUNDS if classes > 1 else 1):
        start = best.thresholds
        for k in range(0 if classes > 1 else 1, classes + 1):
            now = start[k - 1] if k else 0.5
            best = Cleaning(_changed(best.thresholds, k, _best(_by_threshold(cases, best, k), _THRESHOLDS, now)), best.smallest)
        if best.thresholds == start:
            break
    for k in range(1, classes + 1):
        smallest = int(_best(_by_size(cases, best, k), _SIZES, 0))
        best = Cleaning(best.thresholds, (*best.smallest[: k - 1], smallest, *best.smallest[k:]))
    best = _judged(cases, best, classes)
    return best if best.after is None else replace(best, necks=_necks(cases, best, spacings))


def _necks(cases: Iterable[tuple[Array, Array]], cleaning: Cleaning, spacings: Sequence[SpacingMm | None]) -> tuple[float, ...]:
    """Of each class the neck at which parts are cut, in the middle of those that do best; ``()`` where none is.

    Nothing is tried for a class of which no part found lies on several true ones. Of many cases `_CUT` or so are enough.
    """
    classes = range(1, len(cleaning.thresholds) + 1)
    wanted: set[int] = set()
    count = 0
    for scores, truth in cases:
        mask = np.where(truth == UNKNOWN, 0, clean(scores, cleaning))
        wanted |= {k for k in classes if _apart.joined(truth == k, mask == k)}
        count += 1
    necks, every = [0.0] * len(classes), max(1, count // _CUT)
    for k in sorted(wanted):
        tried = []
        for at, ((scores, truth), spacing) in enumerate(zip(cases, spacings or itertools.repeat(None), strict=False)):
            if at % every:
                continue
            mask, true, judged = clean(scores, cleaning) == k, truth == k, truth != UNKNOWN
            cut = [mask & judged & ~each for each in _apart.cuts_at(mask, (0.0, *_apart.NECKS), spacing)]
            tried.append([(_apart.likeness(true, each), _dice(true, each)) for each in cut])
        necks[k - 1] = _neck(*weighted.mean_known(np.array(tried)).T)
    return tuple(necks) if any(necks) else ()


def _dice(truth: Array, found: Array) -> float:
    there = int(truth.sum()) + int(found.sum())
    return 2 * int((truth & found).sum()) / there if there else float("nan")


def _neck(alike: Floats, dice: Floats) -> float:
    """From means ``(S,)`` without cuts and with each of `_apart.NECKS`."""
    good = (alike[1:] >= alike[0] + _WORTH_A_CUT) & (dice[1:] >= dice[0] - _COST_OF_CUTS)
    if not good.any():
        return 0.0
    near = np.flatnonzero(good & (alike[1:] >= alike[1:][good].max() - _WORTH_A_CUT / 2))
    return _apart.NECKS[near[len(near) // 2]]


def _judged(cases: Iterable[tuple[Array, Array]], cleaning: Cleaning, classes: int) -> Cleaning:
    """With what it gains; the plain one where it gains nothing."""
    plain = Cleaning.plain(classes)
    sums = [_Mean(), _Mean()]
    for scores, truth in cases:
        for total, each in zip(sums, (plain, cleaning), strict=True):
            total.add(overlap.dice(overlap.confusion(truth, clean(scores, each), classes))[None])
    before, after = (float(total.over_classes()[0]) if classes else np.nan for total in sums)
    if not np.isfinite(before) or not after > before:
        cleaning, after = plain, before
    if not np.isfinite(before):
        return plain
    return Cleaning(cleaning.thresholds, cleaning.smallest, before, after)


class _Mean:
    """Mean Dice over cases of each of a row of settings, summed as they pass."""

    def __init__(self) -> None:
        self._sum: Floats = np.zeros(())
        self._count: Floats = np.zeros(())

    def add(self, dice: Floats) -> None:
        """One case: ``(S, K)``, NaN where it says nothing."""
        known = np.isfinite(dice)
        self._sum = self._sum + np.where(known, dice, 0.0)
        self._count = self._count + known

    def over_classes(self) -> Floats:
        """``(S,)``: the mean over classes of the mean over cases."""
        return weighted.mean_known(weighted.divided(self._sum, self._count).T)


def _by_threshold(cases: Iterable[tuple[Array, Array]], cleaning: Cleaning, k: int) -> Floats:
    """Mean Dice ``(S,)`` for each threshold of class k, those of the others staying: histograms of shares, no mask is made."""
    mean = _Mean()
    for scores, truth in cases:
        side = len(scores)
        counts = np.zeros((_LEVELS + 1) * side * side, np.int64)
        for slab in slabs(truth):
            judged = truth[slab] != UNKNOWN
            seen = scores[:, slab][:, judged]
            rival, share = _rival(_strength(seen, cleaning.thresholds), k, own=seen[k])
            level = (share * _LEVELS + 0.5).astype(np.int64)
            cell = (level * side + truth[slab][judged]) * side + rival
            counts += np.bincount(cell, minlength=len(counts))
        mean.add(overlap.dice(_moved(counts.reshape(-1, side, side), k)[:-1]))
    return mean.over_classes()


def _by_size(cases: Iterable[tuple[Array, Array]], cleaning: Cleaning, k: int) -> Floats:
    """Mean Dice ``(S,)`` for each smallest part of class k."""
    mean = _Mean()
    for scores, truth in cases:
        side = len(scores)
        mask = _winners(scores, cleaning.thresholds)
        labels, voxels = parts(mask == k)
        judged = (labels > 0) & (truth != UNKNOWN)
        step = np.searchsorted(_SIZES, voxels, side="right")[labels[judged]] - 1
        cell = (step * side + truth[judged]) * side + _rival(_strength(scores[:, judged], cleaning.thresholds), k)[0]
        counts = np.bincount(cell, minlength=len(_SIZES) * side * side).reshape(-1, side, side)
        rest = overlap.confusion(truth, np.where(labels > 0, UNKNOWN, mask), side - 1)
        rest[:, 0] -= np.bincount(truth[judged], minlength=side)
        mean.add(overlap.dice(rest + _moved(np.concatenate([np.zeros((1, side, side), np.int64), counts]), k)[:-1]))
    return mean.over_classes()


def _moved(counts: Integers, k: int) -> Integers:
    """Voxels by (level, truth, rival) to the confusion matrix of each level: those above it are k, the others their rival's."""
    lost = np.cumsum(counts, axis=0)
    lost[:, :, k] += (lost[-1] - lost).sum(axis=2)
    return lost


def _winners(scores: Array, thresholds: tuple[float, ...]) -> NDArray[np.uint8]:
    """The class ``(Z, Y, X)`` that wins each voxel, before parts are looked at."""
    mask = np.empty(scores.shape[1:], np.uint8)
    for slab in slabs(mask):
        mask[slab] = np.argmax(_strength(scores[:, slab], thresholds), axis=0)
    return mask


def slabs(volume: Array) -> Iterator[slice]:
    """A few slices at a time, so that memory does not grow with the volume."""
    step = max(1, _BLOCK // max(1, volume[0].size))
    return (slice(start, min(start + step, len(volume))) for start in range(0, len(volume), step))


def _strength(scores: Array, thresholds: tuple[float, ...]) -> Floats:
    """Scores ``(K + 1, ...)`` as they compete: times ``(1 - t) / t``, that of nothing as it is."""
    odds = np.array([1.0, *((1 - each) / each for each in thresholds)], np.float32)
    return np.asarray(scores.astype(np.float32) * odds.reshape(-1, *(1,) * (scores.ndim - 1)))


def _rival(strength: Floats, k: int, own: Array | None = None) -> tuple[Integers, Floats]:
    """Of ``(K + 1, n)`` the strongest that is not k, and the share of k against it (of its score as it is: ``own``)."""
    others = strength.copy()
    others[k] = -1
    rival = others.argmax(axis=0)
    against = np.take_along_axis(others, rival[None], axis=0)[0]
    mine = strength[k] if own is None else own.astype(np.float32)
    return rival, np.divide(mine, mine + against, out=np.zeros_like(against), where=mine + against > 0)


def _best(means: Floats, settings: Array, now: float) -> float:
    """The setting with the highest mean; of those as good, the one nearest to what is now."""
    if not np.isfinite(means).any():
        return now
    near = np.flatnonzero(means >= np.nanmax(means) - _WORTH)
    return float(settings[near[np.argmin(np.abs(settings[near] - now))]])


def _changed(thresholds: tuple[float, ...], k: int, value: float) -> tuple[float, ...]:
    """With that of class k; for nothing (0) those of all classes follow, as its own score stays as it is."""
    if k:
        return (*thresholds[: k - 1], value, *thresholds[k:])
    odds = value / (1 - value)
    return tuple(1 / (1 + odds * (1 - each) / each) for each in thresholds)
