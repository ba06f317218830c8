"""Colour: histograms and moments of the whole picture, its centre, its foreground and its dark, saturated part.

The dark, saturated part is what stains of blood and tissue mark: the nucleus of a cell.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from medloop.compute import Compute
from medloop.features._contract import Rows, State
from medloop.features._pixels import colour, stacked
from medloop.features._stain import cell_and_nucleus
from medloop.prepared.arrays import PreparedArrays
from medloop.types import Array

VERSION = 2
_SPACES = {"hsv": cv2.COLOR_RGB2HSV, "lab": cv2.COLOR_RGB2LAB, "rgb": None}
_TOPS = {"hsv": (180, 256, 256), "lab": (256, 256, 256), "rgb": (256, 256, 256)}
_PERCENTILES = (5, 25, 50, 75, 95)
_VALUES = np.arange(256.0)


@dataclass(frozen=True)
class Params:
    """``spaces``: of hsv, lab, rgb. ``bins``: a channel's histogram. ``joint``: bins a channel of the histogram over all
    three channels together (0: none). ``regions``: of whole, centre, cell, nucleus, rest."""

    spaces: tuple[str, ...] = ("hsv", "lab", "rgb")
    bins: int = 0
    joint: int = 0
    regions: tuple[str, ...] = ("whole", "centre", "cell", "nucleus", "rest")


CHOICES: tuple[Params, ...] = (
    Params(),
    Params(bins=8),
    Params(bins=16, joint=4),
    Params(spaces=("hsv", "lab"), bins=32, regions=("whole", "centre")),
)


def suits(arrays: PreparedArrays) -> bool:
    """Colour pictures."""
    return arrays.colour and arrays.shape[0] == 3 and arrays.shape[1] == 1


def fit(arrays: PreparedArrays, indices: Array, params: Params, seed: int, compute: Compute) -> dict[str, Array]:
    """Nothing is learnt."""
    del arrays, indices, params, seed, compute
    return {}


def extract(batch: Array, params: Params, state: State) -> Rows:
    """``(N, 3, 1, Y, X)`` to ``(N, D)``."""
    del state
    return stacked(_describe(picture, params) for picture in colour(batch))


def _describe(picture: Array, params: Params) -> Array:
    height, width = picture.shape[:2]
    whole = np.ones((height, width), bool)
    centre = np.zeros((height, width), bool)
    centre[height // 4 : height - height // 4, width // 4 : width - width // 4] = True
    cell, nucleus = cell_and_nucleus(picture)
    masks = {"whole": whole, "centre": centre, "cell": cell, "nucleus": nucleus, "rest": cell & ~nucleus}
    places = {name: np.flatnonzero(masks[name]) for name in params.regions}
    columns = []
    for space in params.spaces:
        code = _SPACES[space]
        values = picture if code is None else cv2.cvtColor(picture, code)
        channels = np.ascontiguousarray(values.reshape(-1, 3).T)
        columns += [_region(channels[:, places[name]], _TOPS[space], params) for name in params.regions]
    areas = [mask.mean() for mask in (cell, nucleus)]
    return np.concatenate([*columns, [*areas, areas[1] / max(areas[0], 1e-6)]])


def _region(pixels: NDArray[np.uint8], tops: tuple[int, int, int], params: Params) -> Array:
    """Moments, percentiles and histograms of ``(3, n)`` bytes; zeros where the region is empty."""
    count = pixels.shape[1]
    if not count:
        return np.zeros(3 * (3 + len(_PERCENTILES) + params.bins) + 3 + params.joint**3)
    shares = np.stack([np.bincount(channel, minlength=256) for channel in pixels]) / count
    mean = shares @ _VALUES
    away = _VALUES - mean[:, None]
    deviation = np.sqrt((shares * away**2).sum(1))
    skew = (shares * away**3).sum(1) / np.maximum(deviation, 1) ** 3
    below = np.cumsum(shares, axis=1)
    ranks = [np.searchsorted(line, np.array(_PERCENTILES) / 100 - 1e-9) for line in below]
    values = pixels.astype(np.float32)
    products = (values @ values.T).astype(np.float64) / count - np.outer(mean, mean)
    together = (products / np.maximum(np.outer(deviation, deviation), 1))[np.triu_indices(3, 1)]
    columns = [mean / 255, deviation / 255, skew, np.concatenate(ranks) / 255, together]
    if params.bins:
        cuts = [-(-np.arange(params.bins) * top // params.bins) for top in tops]
        columns += [np.add.reduceat(line, cut) for line, cut in zip(shares, cuts, strict=True)]
    if params.joint:
        scale = [np.arange(256) * params.joint // top for top in tops]
        codes = (scale[0][pixels[0]] * params.joint + scale[1][pixels[1]]) * params.joint + scale[2][pixels[2]]
        columns.append(np.bincount(codes, minlength=params.joint**3) / count)
    return np.concatenate(columns)
