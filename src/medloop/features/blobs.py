"""Round spots in volumes: how many dark and bright ones, of what size, how strong, in how bright a place.

Where a volume smoothed at two neighbouring sizes differs most from its surroundings lies a spot of about that size (Lindeberg, IJCV
1998; differences of Gaussians as in Lowe, IJCV 2004). Spots are counted, wherever they lie: a lesion has no fixed place.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np

from medloop.compute import Compute
from medloop.features._contract import Rows, State
from medloop.features._pixels import grey, stacked
from medloop.prepared.arrays import PreparedArrays
from medloop.types import Array, Floats

VERSION = 2
_UNKNOWN_MM = 2.0
"""A voxel's side where it is not known."""
_FINE = 2.2
"""Voxels to a standard deviation of smoothing beyond which every second is enough."""
_CENTRES = np.linspace(0, 256, 17)
_STRENGTHS = np.array([3, 6, 9, 13, 18, 30, 256], np.float64)


@dataclass(frozen=True)
class Params:
    """``sizes_mm``: standard deviations of the smoothing, ascending; a spot's radius is about 1.4 times that."""

    sizes_mm: tuple[float, ...] = (3.5, 5.0, 7.0, 10.0, 14.0, 20.0)


CHOICES: tuple[Params, ...] = (Params(), Params(sizes_mm=(2.0, 2.8, 4.0, 5.6, 8.0, 11.0)))


def suits(arrays: PreparedArrays) -> bool:
    """Volumes of at least 8 voxels a side that have more than two values."""
    return not arrays.binary and min(arrays.shape[1:]) >= 8


def fit(arrays: PreparedArrays, indices: Array, params: Params, seed: int, compute: Compute) -> dict[str, Array]:
    """The voxel's sides ``(z, y, x)`` in mm."""
    del indices, params, seed, compute
    return {"spacing_mm": np.asarray(arrays.spacing_mm or (_UNKNOWN_MM,) * 3, np.float32)}


def extract(batch: Array, params: Params, state: State) -> Rows:
    """``(N, C, Z, Y, X)`` to ``(N, D)``: for each size, dark then bright, the logarithm of one plus how many spots there are of
    each brightness (16 steps) and strength (6 steps)."""
    spacing = np.asarray(state["spacing_mm"], np.float64)
    return stacked(np.log1p(_spots(volume.astype(np.float32), params, spacing)) for volume in grey(batch))


def _spots(volume: Floats, params: Params, spacing_mm: Floats) -> Floats:
    sizes = params.sizes_mm
    counts = []
    fine = _smooth(volume, sizes[0] / spacing_mm)
    for size, following in pairwise(sizes):
        fine, spacing_mm = _thinned(fine, size, spacing_mm)
        coarse = _smooth(fine, np.sqrt(following**2 - size**2) / spacing_mm)
        reach = np.maximum(1, np.rint(size / spacing_mm)).astype(int)
        difference = coarse - fine
        for strength in (difference, -difference):
            spots = (strength > _STRENGTHS[0]) & (strength == _largest(strength, reach))
            counts.append(np.histogram2d(fine[spots], strength[spots], bins=[_CENTRES, _STRENGTHS])[0])
        fine = coarse
    return np.stack(counts)


def _thinned(volume: Floats, size_mm: float, spacing_mm: Floats) -> tuple[Floats, Floats]:
    """Every second voxel along axes that ``size_mm`` of smoothing has made finer than they need be."""
    steps = [2 if size_mm >= _FINE * side and count >= 16 else 1 for side, count in zip(spacing_mm, volume.shape, strict=True)]
    if max(steps) == 1:
        return volume, spacing_mm
    return np.ascontiguousarray(volume[:: steps[0], :: steps[1], :: steps[2]]), spacing_mm * steps


def _smooth(volume: Floats, sigmas: Floats) -> Floats:
    """Gaussian smoothing with ``sigmas`` ``(z, y, x)`` in voxels; the border value goes on outside."""
    deep, high, wide = volume.shape
    edge = cv2.BORDER_REPLICATE
    flat = [cv2.GaussianBlur(layer, (0, 0), float(sigmas[2]), sigmaY=float(sigmas[1]), borderType=edge) for layer in volume]
    taps = 2 * int(np.ceil(3 * sigmas[0])) + 1
    stacked_up = np.stack(flat).reshape(deep, high * wide)
    blurred = cv2.GaussianBlur(stacked_up, (1, taps), 1.0, sigmaY=float(sigmas[0]), borderType=edge)
    return np.asarray(blurred.reshape(deep, high, wide), np.float32)


def _largest(volume: Floats, reach: Array) -> Floats:
    """The largest value within ``reach`` ``(z, y, x)`` voxels."""
    deep, high, wide = volume.shape
    near = np.ones((2 * int(reach[1]) + 1, 2 * int(reach[2]) + 1), np.uint8)
    flat = np.stack([cv2.dilate(layer, near) for layer in volume]).reshape(deep, high * wide)
    return np.asarray(cv2.dilate(flat, np.ones((2 * int(reach[0]) + 1, 1), np.uint8)).reshape(deep, high, wide), np.float32)
