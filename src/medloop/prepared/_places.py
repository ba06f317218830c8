"""Where a prepared image's voxels lie, as one short row of numbers kept beside its pixels."""

from __future__ import annotations

import numpy as np

from medloop.prepared.geometry import Geometry
from medloop.types import Array, Floats, Image

VERSION = 1
"""Goes into cache keys: rises whenever the same image would give another row."""
SIZE = 18


def row_of(read: Image, prepared: Image) -> Floats:
    """``(18,)`` float64: the matrix without its last line, shape and spacing as read; NaN for what is not known."""
    matrix = np.eye(4) if prepared.from_voxel is None else prepared.from_voxel
    spacing = (np.nan,) * 3 if read.spacing_mm is None else read.spacing_mm
    return np.concatenate([matrix[:3].ravel(), read.pixels.shape[2:], spacing]).astype(np.float64)


def rows_of(geometry: Geometry) -> Floats:
    """``(N, 18)``: the inverse of `geometry_from`."""
    return np.concatenate([geometry.matrix[:, :3].reshape(-1, 12), geometry.shape, geometry.spacing_mm], axis=1)


def geometry_from(rows: Array) -> Geometry:
    """``(N, 18)`` rows as one geometry."""
    matrix = np.tile(np.eye(4), (len(rows), 1, 1))
    matrix[:, :3] = rows[:, :12].reshape(-1, 3, 4)
    return Geometry(matrix=matrix, shape=rows[:, 12:15].astype(np.int64), spacing_mm=rows[:, 15:].copy())
