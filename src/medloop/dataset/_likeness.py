"""How alike two thumbnails are, whichever way they are turned: pure functions on arrays of thumbnails.

Flat thumbnails are ``(N, S, S)``, volumes ``(N, S, S, S)``; both go through the same code, with 8 and 48 ways to turn and flip.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from medloop.types import Array, Floats

_COARSE = {2: 16, 3: 8}
_BROAD = 3 / 16
_FINE = 3 / 64
_AT_ONCE = 2048


@dataclass(frozen=True, slots=True, eq=False)
class Turns:
    """All ways to turn by 90° and flip a cube of ``side`` in 2 or 3 dimensions.

    ``places``: ``(G, side**d)``: ``flat[places[g]]`` is the picture turned in way ``g``. ``axes``: ``(G, d)``: which of the old
    axes each new axis is.
    """

    places: NDArray[np.int64]
    axes: NDArray[np.int64]


@lru_cache(maxsize=8)
def turns(side: int, dimensions: int) -> Turns:
    """The 8 (flat) or 48 (volume) ways."""
    grid = np.arange(side**dimensions).reshape((side,) * dimensions)
    places, axes = [], []
    for order in itertools.permutations(range(dimensions)):
        for flips in itertools.product((False, True), repeat=dimensions):
            turned = np.flip(grid.transpose(order), tuple(axis for axis, flip in enumerate(flips) if flip))
            places.append(turned.ravel())
            axes.append(order)
    return Turns(np.array(places), np.array(axes))


@lru_cache(maxsize=256)
def area_means(coarse: int, fine: int) -> Floats:
    """``(coarse, fine)``: each coarse cell is the mean of the fine cells under it, by the share it covers."""
    edges = np.linspace(0, fine, coarse + 1)
    starts = np.arange(fine)
    cover = np.minimum(edges[1:, None], starts + 1) - np.maximum(edges[:-1, None], starts)
    return np.asarray((np.clip(cover, 0, 1) * (coarse / fine)).astype(np.float32))


@lru_cache(maxsize=256)
def smoothing(side: int, share: float) -> Floats:
    """``(side, side)``: a Gaussian whose standard deviation is ``share`` of the side, mirrored at the borders."""
    reach = np.arange(-2 * side, 3 * side)
    weights = np.exp(-0.5 * ((reach[None, :] - np.arange(side)[:, None]) / (share * side)) ** 2)
    weights /= weights.sum(axis=1, keepdims=True)
    folded = reach % (2 * side)
    folded = np.where(folded >= side, 2 * side - 1 - folded, folded)
    matrix = np.zeros((side, side))
    np.add.at(matrix.T, folded, weights.T)
    return np.asarray(matrix.astype(np.float32))


def along_axes(pictures: Floats, matrices: tuple[Floats, ...]) -> Floats:
    """``(N, ...)``: each matrix applied along its axis of the pictures."""
    for axis, matrix in enumerate(matrices, start=1):
        pictures = np.moveaxis(np.moveaxis(pictures, axis, -1) @ matrix.T, -1, axis)
    return pictures


def detail(pictures: Floats, share: float) -> Floats:
    """What is left when everything coarser than ``share`` of the side is taken away."""
    return pictures - along_axes(pictures, tuple(smoothing(side, share) for side in pictures.shape[1:]))


def unit(pictures: Floats) -> Floats:
    """``(N, P)``: rows with mean 0 and length 1, so that a product of two rows is their correlation. Flat rows stay 0."""
    flat = pictures.reshape(len(pictures), -1).astype(np.float32)
    flat = flat - flat.mean(axis=1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.asarray(flat / np.where(length > 1e-3, length, np.inf))


def descriptors(thumbs: Array) -> Floats:
    """``(N, P)`` unit rows: the coarse picture without its broadest shades. Turning a picture only permutes its row."""
    dimensions = thumbs.ndim - 1
    matrix = area_means(_COARSE[dimensions], thumbs.shape[1])
    parts = [np.zeros((0, _COARSE[dimensions] ** dimensions), np.float32)]
    for start in range(0, len(thumbs), _AT_ONCE):
        small = along_axes(thumbs[start : start + _AT_ONCE].astype(np.float32), (matrix,) * dimensions)
        parts.append(unit(detail(small, _BROAD)))
    return np.concatenate(parts)


def turned_alike(rows: Floats, dimensions: int) -> Floats:
    """``(N, P)``: descriptors made equal for all turns of a picture, by sorting the values of places that turn into each other.

    Sorting never moves two rows apart: the product of two sorted rows is at least the best product over all turns.
    """
    orbit = turns(_COARSE[dimensions], dimensions).places.min(axis=0)
    sorted_rows = np.empty_like(rows)
    for first in np.unique(orbit):
        places = np.flatnonzero(orbit == first)
        sorted_rows[:, places] = np.sort(rows[:, places], axis=1)
    return sorted_rows


def turn_scores(a: Floats, b: Floats, dimensions: int) -> Floats:
    """``(K, G)``: correlation of descriptor ``a[k]`` in each way of turning with ``b[k]``."""
    places = turns(_COARSE[dimensions], dimensions).places
    return np.stack([np.einsum("kp,kp->k", a[:, place], b) for place in places], axis=1)


def best_turn(a: Floats, b: Floats, dimensions: int) -> Floats:
    """``(M, N)``: the best correlation of each descriptor of ``a``, turned in any way, with each of ``b``."""
    places = turns(_COARSE[dimensions], dimensions).places
    best = np.full((len(a), len(b)), -1, dtype=np.float32)
    for place in places:
        np.maximum(best, a[:, place] @ b.T, out=best)
    return best


def correlations(a: Array, b: Array, sides: tuple[int, ...]) -> tuple[Floats, Floats]:
    """``(K,)`` each: the correlation of pixels, and of fine detail alone, of aligned thumbnails brought to a size of ``sides``."""
    matrices = tuple(area_means(side, full) for side, full in zip(sides, a.shape[1:], strict=True))
    left, right = (along_axes(part.astype(np.float32), matrices) for part in (a, b))
    whole = np.einsum("kp,kp->k", unit(left), unit(right))
    fine = np.einsum("kp,kp->k", unit(detail(left, _FINE)), unit(detail(right, _FINE)))
    return whole, fine
