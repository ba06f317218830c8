"""How bright, and where: moments, percentiles, histogram, means of regions, a small copy of the picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medloop.compute import Compute
from medloop.features._contract import Rows, State
from medloop.features._pixels import clean, grid_means, real, stacked
from medloop.prepared.arrays import PreparedArrays
from medloop.types import Array

VERSION = 2
_PERCENTILES = (0, 1, 5, 10, 25, 50, 75, 90, 95, 99, 100)
_SAMPLE = 256
_LEVELS = 4096
_AT_ONCE = 2**19  # values


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
    size = max(1, _AT_ONCE // max(1, batch[0].size))
    groups = [batch[start : start + size] for start in range(0, len(batch), size)]
    return clean(np.concatenate([_describe(group, params, state) for group in groups]))


def _describe(batch: Array, params: Params, state: State) -> Rows:
    low, high = (float(edge) for edge in state["range"])
    columns = []
    for channel in range(batch.shape[1]):
        values = real(batch[:, channel])
        columns.append(stacked(_spread(image, low, high, params.bins) for image in values.reshape(len(values), -1)))
        columns += _places(values, params)
    return np.concatenate(columns, axis=1)


def _spread(values: Rows, low: float, high: float, bins: int) -> Array:
    """Moments, percentiles, histogram from ``low`` to ``high`` and its entropy of ``(n,)`` values, all from 4,096 counts."""
    least, most = float(values.min()), float(values.max())
    step = max(most - least, 1e-6) / (_LEVELS - 1)
    shares = np.bincount(((values - least) * (1 / step) + 0.5).astype(np.int16), minlength=_LEVELS) / len(values)
    levels = least + step * np.arange(_LEVELS)
    mean = shares @ levels
    away = levels - mean
    squares = away**2
    deviation = float(np.sqrt(shares @ squares))
    unit = max(deviation, 1e-6)
    moments = [mean, deviation, shares @ (squares * away) / unit**3, shares @ squares**2 / unit**4]
    ranks = levels[np.searchsorted(np.cumsum(shares), np.array(_PERCENTILES) / 100 * (1 - 1e-9) + 1e-12)]
    bin_of = np.clip((levels - low) * (bins / (high - low)) + 1e-9, 0, bins - 1).astype(np.int64)
    histogram = np.bincount(bin_of, shares, bins)
    entropy = -(histogram * np.log2(np.maximum(histogram, 1e-12))).sum()
    return np.concatenate([moments, ranks, histogram, [entropy]])


def _places(values: Rows, params: Params) -> list[Rows]:
    """Mean and deviation of each region, and the small copy; by the image's own mean and deviation where asked."""
    count = len(values)
    flat = values.reshape(count, -1)
    middle = flat.mean(1, keepdims=True)
    centred = values - middle[:, :, None, None]
    unit = np.maximum(
        np.sqrt(np.einsum("ij,ij->i", centred.reshape(flat.shape), centred.reshape(flat.shape)) / flat.shape[1]), 1e-6
    )
    shift, unit = (0.0, unit[:, None]) if params.standardise else (middle, 1.0)
    columns: list[Rows] = []
    if params.regions:
        cells = tuple(min(params.regions, side) for side in values.shape[1:])
        mean = grid_means(centred, cells).reshape(count, -1)
        spread = np.sqrt(np.maximum(grid_means(centred**2, cells).reshape(count, -1) - mean**2, 0))
        columns += [(mean + shift) / unit, spread / unit]
    if params.copy:
        columns.append((grid_means(centred, (params.copy,) * 3).reshape(count, -1) + shift) / unit)
    return columns
