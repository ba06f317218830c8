"""Histograms of oriented gradients in pictures and volumes.

Pictures: Dalal and Triggs, CVPR 2005, computed by OpenCV. Volumes: gradients projected on the axes through the faces of an
icosahedron, after Kläser, Marszałek and Schmid, BMVC 2008.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from medloop.compute import Compute
from medloop.features._contract import Rows, State
from medloop.features._pixels import bytes_of, clean, grey, real, scaled, stacked
from medloop.prepared.arrays import PreparedArrays
from medloop.types import Array

VERSION = 2
_SOLID_GRID = 4  # cells along a volume: columns grow with the third power


@dataclass(frozen=True)
class Params:
    """``grids``: cells along the longer side, one descriptor each; at most 4 for volumes. ``cell``: pixels a cell of a
    picture (0: what is nearest to its own size, 8 to 16). ``block``: cells along a block's side. ``signed``: light to
    dark differs from dark to light. ``each``: the channels one by one instead of grey."""

    grids: tuple[int, ...] = (7,)
    cell: int = 0
    block: int = 2
    bins: int = 18
    signed: bool = True
    each: bool = False


CHOICES: tuple[Params, ...] = (
    Params(),
    Params(grids=(4, 7)),
    Params(grids=(7, 14)),
    Params(bins=9, signed=False),
    Params(cell=4, bins=9, signed=False),
    Params(grids=(4, 7), each=True),
)


def suits(arrays: PreparedArrays) -> bool:
    """Any image of at least 8 pixels a side."""
    return min(arrays.shape[2:]) >= 8


def fit(arrays: PreparedArrays, indices: Array, params: Params, seed: int, compute: Compute) -> dict[str, Array]:
    """Nothing is learnt."""
    del arrays, indices, params, seed, compute
    return {}


def extract(batch: Array, params: Params, state: State) -> Rows:
    """``(N, C, Z, Y, X)`` to ``(N, D)``."""
    del state
    volume = batch.shape[2] > 1
    channels = [batch[:, channel : channel + 1] for channel in range(batch.shape[1])] if params.each else [batch]
    columns = [_volumes(channel, params) if volume else _pictures(channel, params) for channel in channels]
    return clean(np.concatenate(columns, axis=1))


def _cells(sides: tuple[int, ...], grid: int, block: int) -> tuple[int, ...]:
    """Cells along each side: ``grid`` along the longest, as many as fit along the others, at least a block."""
    longest = max(sides)
    return tuple(max(block, round(grid * side / longest)) for side in sides)


def _pictures(batch: Array, params: Params) -> Rows:
    pictures = grey(batch)[:, 0]
    return np.concatenate([_at_grid(pictures, grid, params) for grid in params.grids], axis=1)


def _at_grid(pictures: Array, grid: int, params: Params) -> Rows:
    height, width = pictures.shape[1:]
    rows, columns = _cells((height, width), grid, params.block)
    cell = params.cell or int(np.clip(round(max(height, width) / grid), 8, 16))
    describe = descriptor((columns * cell, rows * cell), cell, params)
    found = np.empty((len(pictures), describe.getDescriptorSize()), np.float32)
    for place, picture in enumerate(pictures):
        found[place] = np.ravel(describe.compute(scaled(picture, columns * cell, rows * cell)))
    return found


def descriptor(size: tuple[int, int], cell: int, params: Params) -> cv2.HOGDescriptor:
    """OpenCV's descriptor of a window of ``size`` (width, height) in pixels, blocks one cell apart."""
    side = params.block * cell
    return cv2.HOGDescriptor(
        size, (side, side), (cell, cell), (cell, cell), params.bins, 1, -1, cv2.HOGDescriptor_L2Hys, 0.2, True, 64, params.signed
    )


def _volumes(batch: Array, params: Params) -> Rows:
    solid = bytes_of(batch) if batch.dtype.kind == "f" else batch
    volumes = real(solid).mean(axis=1)
    grids = sorted({min(grid, _SOLID_GRID) for grid in params.grids})
    return stacked(np.concatenate([_volume(volume, grid, params) for grid in grids]) for volume in volumes)


def _volume(volume: Rows, grid: int, params: Params) -> Rows:
    """Block-normalised cell histograms of one volume ``(Z, Y, X)``."""
    axes = _axes(params.signed)
    cells = tuple(min(count, side) for count, side in zip(_cells(volume.shape, grid, params.block), volume.shape, strict=True))
    votes = _votes(volume, axes, params.signed)
    histogram = votes
    for axis, count in enumerate(cells):
        edges = np.linspace(0, volume.shape[axis], count + 1).round().astype(int)[:-1]
        histogram = np.add.reduceat(histogram, edges, axis=axis)
    windows = np.lib.stride_tricks.sliding_window_view(histogram, (params.block,) * 3, axis=(0, 1, 2))
    blocks = windows.reshape(*windows.shape[:3], -1).reshape(-1, len(axes) * params.block**3)
    return _l2_hys(blocks).ravel()


def _votes(volume: Rows, axes: Rows, signed: bool) -> Rows:
    """Gradient magnitude shared among the axes it points along, ``(Z, Y, X, axes)``."""
    slopes = [np.gradient(volume, axis=axis) for axis in range(3)]
    gradient = np.stack(slopes, axis=-1).astype(np.float32).reshape(-1, 3)
    magnitude = np.linalg.norm(gradient, axis=1)
    seen = np.flatnonzero(magnitude > 1e-6)
    unit = gradient[seen] / magnitude[seen, None]
    along = unit @ axes.T
    if not signed:
        along = np.abs(along)
    along = np.maximum(along - _NEIGHBOUR, 0)
    along *= (magnitude[seen] / np.maximum(np.linalg.norm(along, axis=1), 1e-6))[:, None]
    votes = np.zeros((len(gradient), len(axes)), np.float32)
    votes[seen] = along
    return votes.reshape(*volume.shape, len(axes))


def _l2_hys(blocks: Rows) -> Rows:
    blocks = blocks / np.sqrt((blocks**2).sum(1, keepdims=True) + 1e-10)
    blocks = np.minimum(blocks, 0.2)
    clipped: Rows = (blocks / np.sqrt((blocks**2).sum(1, keepdims=True) + 1e-10)).astype(np.float32)
    return clipped


_NEIGHBOUR = np.float32(np.sqrt(5) / 3)
"""Cosine between the axes of two neighbouring faces: a vector exactly on one axis gives its neighbours nothing."""


def _axes(signed: bool) -> Rows:
    """Unit vectors through the 20 faces of an icosahedron (``signed``), or the 10 of them that are not opposite."""
    golden = (1 + np.sqrt(5)) / 2
    corners = [(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]
    edges = [
        tuple(np.roll((0.0, first / golden, second * golden), turn)) for turn in range(3) for first in (-1, 1) for second in (-1, 1)
    ]
    axes = np.array(corners + edges, np.float32) / np.float32(np.sqrt(3))
    if signed:
        return axes
    return axes[[axis[np.flatnonzero(np.abs(axis) > 1e-6)[0]] > 0 for axis in axes]]
