"""Exact and near copies among pictures.

A copy is what a person would call the same picture, also when it was turned by 90°, flipped, saved again as JPEG or scaled.
Descriptors of thumbnails only propose pairs. A pair counts after it has been aligned and compared at the finest size that both
pictures have, at most 64 pixels a side (16 for volumes): the correlation of the pixels must reach 0.98, and that of fine detail
alone 0.85 to 0.95, because round cells or chests are alike in the large without being the same picture.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from medloop.cache.pictures import DEPTH, SIDE, Pictures
from medloop.compute.local import Compute, Died
from medloop.dataset import _likeness as likeness
from medloop.progress import QUIET, Progress
from medloop.types import Array, Floats, ImageRef, Integers

SAME_PIXELS = 0.98
"""Correlation of the pixels that a near copy must reach."""
SAME_DETAIL = (0.95, 0.85)
"""Correlation of fine detail that a near copy must reach at up to 20, and from 48, pixels a side: the fewer, the more."""
_FEW_AND_MANY = (20, 48)
_PROPOSED = 0.93
_TIE = 0.03
_TILE = 1024
_CROWDED = 0.004
_MOST = 32
_CHUNK = 1024
_FEWEST_PIXELS = 196
_ALL_PAIRS = 400


@dataclass(frozen=True, slots=True)
class Pair:
    """Two copies of one picture, ``a < b``: positions in the collection. ``kind``: ``exact`` (equal pixels) or ``near``."""

    a: int
    b: int
    kind: str
    correlation: float


@dataclass(frozen=True, slots=True, eq=False)
class Proposals:
    """K pairs to be looked at: positions ``a`` and ``b`` in the thumbnails, and the way (of `likeness.turns`) to turn ``a``."""

    a: Integers
    b: Integers
    turn: Integers


def find(pictures: Pictures, refs: Sequence[ImageRef], *, compute: Compute, tell: Progress = QUIET) -> list[Pair]:
    """All exact and near copies, exact ones first.

    Pictures of one grey are left out. Slices of one series are not copies of each other, unless the same file lies in two
    folders. Of more than 20 equal pictures each is paired with the first only; of a crowd of near copies each is
    paired with its 32 nearest: `groups` joins them all.
    """
    same = _same_pixels(pictures)
    first = np.array(sorted(members[0] for members in same.values()), dtype=np.int64)
    exact = [
        pair for members in same.values() for pair in _each_with_each(members, members) if not _one_series(refs, *pair, exact=True)
    ]
    near: dict[tuple[int, int], float] = {}
    for volume in (False, True):
        rows = first[pictures.volumes[first] == volume]
        for a, b, correlation in _near(pictures, rows, compute=compute, tell=tell):
            for pair in _each_with_each(same[bytes(pictures.digests[a])], same[bytes(pictures.digests[b])]):
                if not _one_series(refs, *pair, exact=False):
                    near[pair] = correlation
    found = [Pair(a, b, "exact", 1.0) for a, b in sorted(exact)]
    return found + [Pair(a, b, "near", correlation) for (a, b), correlation in sorted(near.items())]


def groups(pairs: Sequence[Pair], count: int) -> NDArray[np.int64]:
    """``(count,)``: equal numbers for pictures that are linked by pairs, directly or through others."""
    a = np.array([pair.a for pair in pairs], dtype=np.int64)
    b = np.array([pair.b for pair in pairs], dtype=np.int64)
    links = coo_array((np.ones(len(a), dtype=np.int8), (a, b)), shape=(count, count))
    return np.asarray(connected_components(links, directed=False)[1], dtype=np.int64)


def propose(thumbs: Array) -> Proposals:
    """Pairs of thumbnails ``(N, S, S)`` or ``(N, S, S, S)`` that may be the same picture, in bounded memory."""
    dimensions = thumbs.ndim - 1
    rows = likeness.descriptors(thumbs)
    keys = likeness.turned_alike(rows, dimensions)
    blocks = [_block(rows, keys, start, dimensions) for start in range(0, len(rows), _TILE)]
    parts = [np.concatenate(part) if part else np.zeros(0, np.int64) for part in zip(*blocks, strict=True)] or [
        np.zeros(0, np.int64)
    ] * 3
    return Proposals(*parts)


def confirm(proposals: Proposals, thumbs: Array, sizes: Array, *, compute: Compute, tell: Progress = QUIET) -> Floats:
    """``(K,)``: the pixel correlation of each proposal that is a copy, NaN for the others.

    ``sizes``: ``(N, d)``, the pictures' own sizes; pairs are compared at the finest size that both have.
    """
    answers = np.full(len(proposals.a), np.nan)
    jobs = list(_jobs(proposals, thumbs, sizes))
    work = ((thumbs[proposals.a[at]], thumbs[proposals.b[at]], proposals.turn[at], sides) for at, sides in jobs)
    results = compute.map(_compare, work, label="Comparing likely copies", total=len(jobs), tell=tell)
    for (at, _), result in zip(jobs, results, strict=True):
        if not isinstance(result, Died):
            answers[at] = result
    return answers


def _near(pictures: Pictures, rows: Integers, *, compute: Compute, tell: Progress) -> Iterator[tuple[int, int, float]]:
    """``(a, b, correlation)`` of near copies among these rows, all flat or all volumes."""
    rows = rows[~pictures.uniform[rows]]
    if len(rows) < 2:
        return
    shapes = pictures.shapes[rows]
    if pictures.volumes[rows[0]]:
        thumbs: Array = pictures.thumbs[rows].reshape(-1, DEPTH, DEPTH, DEPTH)
        sizes = np.column_stack([shapes[:, 0] * shapes[:, 2], shapes[:, 3:]])
    else:
        thumbs = pictures.thumbs[rows].reshape(-1, SIDE, SIDE)
        sizes = shapes[:, 3:]
    proposals = propose(thumbs)
    answers = confirm(proposals, thumbs, sizes, compute=compute, tell=tell)
    for at in np.flatnonzero(~np.isnan(answers)):
        yield int(rows[proposals.a[at]]), int(rows[proposals.b[at]]), float(min(1.0, answers[at]))


def _block(rows: Floats, keys: Floats, start: int, dimensions: int) -> tuple[Integers, Integers, Integers]:
    """Proposals between ``_TILE`` rows from ``start`` and all after them: at most 32 a row, in every way that is near the best."""
    found = []
    for other in range(start, len(rows), _TILE):
        a, b = np.nonzero(_likely(rows, keys, start, other, dimensions))
        a, b = a + start, b + other
        for at in range(0, len(a), _CHUNK):
            part = slice(at, at + _CHUNK)
            scores = likeness.turn_scores(rows[a[part]], rows[b[part]], dimensions)
            good = scores.max(axis=1) >= _PROPOSED
            found.append((a[part][good], b[part][good], scores[good]))
    if not found:
        return (np.zeros(0, np.int64),) * 3
    a, b, scores = (np.concatenate(part) for part in zip(*found, strict=True))
    best = scores.max(axis=1)
    order = np.lexsort((-best, a))
    rank = np.arange(len(order)) - np.searchsorted(a[order], a[order])
    kept = order[rank < _MOST]
    pair, turn = np.nonzero(scores[kept] >= np.maximum(best[kept, None] - _TIE, _PROPOSED))
    return a[kept][pair], b[kept][pair], turn


def _likely(rows: Floats, keys: Floats, start: int, other: int, dimensions: int) -> NDArray[np.bool_]:
    """Which pairs of two tiles may be alike in some turn. Where sorting leaves too many, every turn is tried, as whole products."""
    here, there = slice(start, start + _TILE), slice(other, other + _TILE)
    likely = np.asarray(keys[here] @ keys[there].T >= _PROPOSED)
    if start == other:
        likely = np.triu(likely, 1)
    if likely.sum() <= _CROWDED * likely.size:
        return likely
    best = np.where(likely, likeness.best_turn(rows[here], rows[there], dimensions), -1)
    most = min(_MOST, best.shape[1])
    return np.asarray(best >= np.maximum(np.partition(best, -most, axis=1)[:, [-most]], _PROPOSED))


def _jobs(proposals: Proposals, thumbs: Array, sizes: Array) -> Iterator[tuple[Integers, tuple[int, ...]]]:
    """Positions of proposals that are compared at one size, with that size, at most ``_CHUNK`` at once."""
    if not len(proposals.a):
        return
    axes = likeness.turns(thumbs.shape[1], thumbs.ndim - 1).axes[proposals.turn]
    turned = np.take_along_axis(sizes[proposals.a], axes, axis=1)
    common = np.minimum(np.minimum(turned, sizes[proposals.b]), thumbs.shape[1])
    for sides in np.unique(common, axis=0):
        if np.prod(sides) < _FEWEST_PIXELS:
            continue
        at = np.flatnonzero((common == sides).all(axis=1))
        for start in range(0, len(at), _CHUNK):
            yield at[start : start + _CHUNK], tuple(int(side) for side in sides)


def _compare(job: tuple[Array, Array, Integers, tuple[int, ...]]) -> Floats:
    """``(K,)``: the pixel correlation of the pairs that pass both measures, NaN for the others."""
    a, b, turn, sides = job
    places = likeness.turns(a.shape[1], a.ndim - 1).places[turn]
    turned = np.take_along_axis(a.reshape(len(a), -1), places, axis=1).reshape(a.shape)
    whole, fine = likeness.correlations(turned, b, sides)
    needed = np.interp(min(sides), _FEW_AND_MANY, SAME_DETAIL)
    return np.where((whole >= SAME_PIXELS) & (fine >= needed), whole, np.nan)


def _same_pixels(pictures: Pictures) -> dict[bytes, list[int]]:
    """Positions by digest, pictures of one grey left out."""
    same: dict[bytes, list[int]] = defaultdict(list)
    for position, (digest, uniform) in enumerate(zip(pictures.digests, pictures.uniform, strict=True)):
        if not uniform:
            same[digest.tobytes()].append(position)
    return same


def _each_with_each(left: Sequence[int], right: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Ordered pairs of the members of two groups, or within one; of large groups only those with a first member."""
    if left == right:
        yield from combinations(left, 2) if len(left) ** 2 <= _ALL_PAIRS else ((left[0], other) for other in left[1:])
        return
    few = len(left) * len(right) <= _ALL_PAIRS
    for a, b in product(left, right) if few else [(left[0], right[0])]:
        yield min(a, b), max(a, b)


def _one_series(refs: Sequence[ImageRef], a: int, b: int, *, exact: bool) -> bool:
    """Whether both are parts of one series or file, which are alike by nature. The same pixels in another folder are a copy."""
    left, right = refs[a], refs[b]
    if left.series is not None and left.series == right.series:
        return not exact or Path(left.files[0]).parent == Path(right.files[0]).parent
    return left.reader != "npz" and left.files == right.files
