"""From the prepared grid back to the image as it was read: masks, maps and boxes."""

from __future__ import annotations

import numpy as np

from medloop.errors import Unreadable
from medloop.prepared._sampling import linear, nearest
from medloop.prepared.geometry import Geometry
from medloop.types import Array, Floats

_CORNERS = np.array(np.meshgrid([0, 1], [0, 1], [0, 1], indexing="ij")).reshape(3, 8).T


def mask_as_read(mask: Array, geometry: Geometry, row: int) -> Array:
    """A mask on the grid of image ``row`` as read.

    Labels ``(Z, Y, X)`` of whole numbers: the nearest one, 0 outside what was prepared. Scores ``(K + 1, Z, Y, X)`` from 0 to 1, or
    uint8 from 0 to 255: linear, float32 from 0 to 1; outside only channel 0, the background, is 1. Raises `Unreadable` where the
    prepared voxels have no place in the image.
    """
    back, shape = _back(geometry, row)
    return nearest(mask, back, shape) if mask.ndim == 3 else _scores(mask, back, shape)


def slab_as_read(scores: Array, geometry: Geometry, row: int, slab: slice) -> Floats:
    """Of scores, as `mask_as_read` gives them, only the slices ``slab`` (from one, up to another) of the image as read."""
    return _scores(scores, *_back(geometry, row, slab))


def map_as_read(values: Floats, geometry: Geometry, row: int, outside: float = 0.0, slab: slice | None = None) -> Floats:
    """A map ``(Z, Y, X)`` of measurements (an anomaly map, one score) on the grid as read, or these slices of it: linear, float32.

    Raises `Unreadable`.
    """
    back, shape = _back(geometry, row, slab)
    return linear(values, back, shape, outside)


def boxes_as_read(boxes: Array, geometry: Geometry, row: int) -> Array:
    """Boxes ``(n, 6)`` ``z0, y0, x0, z1, y1, x1``, edges in prepared voxels, in voxels of image ``row`` as read.

    Where the image was turned, the box around the turned box. NaN where the prepared voxels have no place in the image.
    """
    return _boxes(boxes, geometry.matrix[row])


def boxes_as_prepared(boxes: Array, geometry: Geometry, row: int) -> Array:
    """The inverse of `boxes_as_read`. They may lie partly or wholly outside the prepared voxels (`medloop.prepared.boxes`)."""
    matrix = geometry.matrix[row]
    return _boxes(boxes, np.linalg.inv(matrix) if np.isfinite(matrix).all() else matrix)


def _back(geometry: Geometry, row: int, slab: slice | None = None) -> tuple[Floats, tuple[int, ...]]:
    """From the grid as read, or these slices of it, to the prepared one; and the shape of that grid or slices."""
    matrix = geometry.matrix[row]
    if not np.isfinite(matrix).all():
        raise Unreadable("its prepared slices are moments in time, which have no place in it")
    back, (deep, high, wide) = np.linalg.inv(matrix), geometry.shape[row].tolist()
    if slab is None:
        return back, (deep, high, wide)
    moved = np.eye(4)
    moved[2, 3] = slab.start
    return back @ moved, (slab.stop - slab.start, high, wide)


def _scores(scores: Array, back: Floats, shape: tuple[int, ...]) -> Floats:
    """``(K + 1, *shape)`` float32 from 0 to 1."""
    out = np.empty((len(scores), *shape), np.float32)
    for channel, part in enumerate(scores):
        values = part.astype(np.float32) / np.float32(255) if part.dtype == np.uint8 else part
        out[channel] = linear(values, back, shape, outside=float(channel == 0))
    return out


def _boxes(boxes: Array, matrix: Floats) -> Array:
    """Edges are half a voxel before the first centre and half a voxel behind the last."""
    edges = np.asarray(boxes, np.float64).reshape(-1, 2, 3)[:, :, ::-1]
    corners = edges[:, _CORNERS, [0, 1, 2]]
    moved = (corners - 0.5) @ matrix[:3, :3].T + matrix[:3, 3] + 0.5
    return np.concatenate([moved.min(axis=1)[:, ::-1], moved.max(axis=1)[:, ::-1]], axis=1)
