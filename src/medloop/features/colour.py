"""Colour: histograms and moments of the whole picture, its centre, its foreground and its dark, saturated part.

The dark, saturated part is what stains of blood and tissue mark: the nucleus of a cell.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from medloop.compute import Compute
from medloop.features._contract import Rows, State
from medloop.features._pixels import colour, stacked
from medloop.features._stain import cell_and_nucleus
from medloop.prepared.arrays import PreparedArrays
from medloop.types import Array

VERSION = 1
_SPACES = {"hsv": cv2.COLOR_RGB2HSV, "lab": cv2.COLOR_RGB2LAB, "rgb": None}
_TOPS = {"hsv": (180, 256, 256), "lab": (256, 256, 256), "rgb": (256, 256, 256)}
_PERCENTILES = (5, 25, 50, 75, 95)


@dataclass(frozen=True)
class Params:
    """``spaces``: of hsv, lab, rgb. ``bins``: a channel's histogram. ``joint``: bins a channel of the histogram over all
    three channels together (0: none). ``regions``: of whole, centre, cell, nucleus, rest."""

    spaces: tuple[str, ...] = ("hsv", "lab", "rgb")
    bins: int = 16
    joint: int = 4
    regions: tuple[str, ...] = ("whole", "centre", "cell", "nucleus", "rest")


CHOICES: tuple[Params, ...] = (
    Params(),
    Params(bins=8, joint=0),
    Params(bins=0, joint=0),
    Params(spaces=("hsv", "lab"), bins=32, joint=0, regions=("whole", "centre")),
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
    columns = []
    for space in params.spaces:
        code = _SPACES[space]
        values = picture if code is None else cv2.cvtColor(picture, code)
        columns += [_region(values[masks[name]], _TOPS[space], params) for name in params.regions]
    areas = [mask.mean() for mask in (cell, nucleus)]
    return np.concatenate([*columns, [*areas, areas[1] / max(areas[0], 1e-6)]])


def _region(pixels: Array, tops: tuple[int, int, int], params: Params) -> Array:
    """Moments, percentiles and histograms of ``(n, 3)`` pixels; zeros where the region is empty."""
    columns = [np.zeros(3 * (3 + len(_PERCENTILES)) + 3)]
    if len(pixels):
        values = pixels.astype(np.float64)
        mean, deviation = values.mean(0), values.std(0)
        skew = (((values - mean) / np.maximum(deviation, 1e-6)) ** 3).mean(0)
        ranks = np.percentile(values, _PERCENTILES, axis=0)
        centred = (values - mean) / np.maximum(deviation, 1e-6)
        together = (centred.T @ centred / len(values))[np.triu_indices(3, 1)]
        columns = [np.concatenate([mean / 255, deviation / 255, skew, ranks.ravel() / 255, together])]
    if params.bins:
        columns += [
            _shares(pixels[:, channel].astype(np.int64) * params.bins // tops[channel], params.bins) for channel in range(3)
        ]
    if params.joint:
        codes = (pixels.astype(np.int64) * params.joint // np.array(tops)) @ [params.joint**2, params.joint, 1]
        columns.append(_shares(codes, params.joint**3))
    return np.concatenate(columns)


def _shares(codes: Array, bins: int) -> Array:
    counts: Array = np.bincount(codes.astype(np.int64), minlength=bins) / max(len(codes), 1)
    return counts
