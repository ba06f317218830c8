"""How bright, and where: moments, percentiles, histogram, means of regions, a small copy of the picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medloop.compute import Compute
from medloop.features._contract import Rows, State
from medloop.features._pixels import clean, grid_means, real
from medloop.prepared.arrays import PreparedArrays
from medloop.types import Array

VERSION = 1
_PERCENTILES = (0, 1, 5, 10, 25, 50, 75, 90, 95, 99, 100)
_SAMPLE = 256


@dataclass(frozen=True)
class Params:
    """``bins``: of the histogram. ``regions``: a mean and a deviation for each cell of a grid of so many a side. ``copy``:
    side of the small copy (0: none). ``standardise``: regions and copy after each image's own mean and deviation are
    taken out."""

    bins: int = 16
    regions: int = 4
    copy: int = 0
    standardise: bool = True


CHOICES: tuple[Params, ...] = (Params(), Params(copy=14), Params(copy=14, standardise=False), Params(regions=8, copy=28))


def suits(arrays: PreparedArrays) -> bool:
    """Any image with more than two values."""
    return not arrays.binary


def fit(arrays: PreparedArrays, indices: Array, params: Params, seed: int, compute: Compute) -> dict[str, Array]:
    """The range of the histogram: the type's own for whole numbers, otherwise from a sample of the training images."""
    del params, compute
    if arrays.dtype.kind in "ui" or len(indices) == 0:
        return {"range": np.array([0, 1], np.float32)}
    draw = np.random.default_rng(seed).permutation(len(indices))[:_SAMPLE]
    values = [np.percentile(real(arrays.take(np.asarray(indices)[[place]])), [0.5, 99.5]) for place in np.sort(draw)]
    low, high = np.min(values), np.max(values)
    return {"range": np.array([low, max(high, low + 1e-6)], np.float32)}


def extract(batch: Array, params: Params, state: State) -> Rows:
    """``(N, C, Z, Y, X)`` to ``(N, D)``: the same columns for each channel."""
    low, high = (float(edge) for edge in state["range"])
    columns = []
    for channel in range(batch.shape[1]):
        values = real(batch[:, channel])
        columns += [_moments(values), _histogram(values, low, high, params.bins), *_places(values, params)]
    return clean(np.concatenate(columns, axis=1))


def _moments(values: Rows) -> Rows:
    flat = values.reshape(len(values), -1)
    mean, deviation = flat.mean(1), flat.std(1)
    centred = (flat - mean[:, None]) / np.maximum(deviation, 1e-6)[:, None]
    squares = centred * centred
    skew, tails = (np.einsum("ij,ij->i", squares, other) / flat.shape[1] for other in (centred, squares))
    ordered = np.sort(flat, axis=1)
    ranks = ordered[:, np.rint(np.array(_PERCENTILES) / 100 * (flat.shape[1] - 1)).astype(int)].T
    return np.column_stack([mean, deviation, skew, tails, *ranks]).astype(np.float32)


def _histogram(values: Rows, low: float, high: float, bins: int) -> Rows:
    """Shares and, in the last column, their entropy."""
    flat = values.reshape(len(values), -1)
    codes = np.clip(((flat - low) * (bins / (high - low))).astype(np.int64), 0, bins - 1)
    codes += np.arange(len(flat))[:, None] * bins
    shares = np.bincount(codes.ravel(), minlength=len(flat) * bins).reshape(len(flat), bins) / flat.shape[1]
    entropy = -(shares * np.log2(np.maximum(shares, 1e-12))).sum(1)
    return np.column_stack([shares, entropy]).astype(np.float32)


def _places(values: Rows, params: Params) -> list[Rows]:
    count = len(values)
    if params.standardise:
        flat = values.reshape(count, -1)
        axes = (slice(None), None, None, None)
        values = (values - flat.mean(1)[axes]) / np.maximum(flat.std(1), 1e-6)[axes]
    columns: list[Rows] = []
    if params.regions:
        cells = tuple(min(params.regions, side) for side in values.shape[1:])
        mean = grid_means(values, cells)
        spread = np.sqrt(np.maximum(grid_means(values**2, cells) - mean**2, 0))
        columns += [mean.reshape(count, -1), spread.reshape(count, -1)]
    if params.copy:
        columns.append(grid_means(values, (params.copy,) * 3).reshape(count, -1))
    return columns
