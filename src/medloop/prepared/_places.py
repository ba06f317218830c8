"""Where a prepared image's voxels lie, as one short row of numbers kept beside its pixels."""

from __future__ import annotations

import numpy as np

from medloop.prepared.geometry import Geometry
from medloop.types import Array, Floats, Image

VERSION = 1
"""Goes into cache keys: rises whenever the same image would give another row."""
SIZE = 30


def row_of(read: Image, prepared: Image) -> Floats:
    """``(30,)`` float64: matrix and affine without their last lines, shape and spacing; NaN for what is not known."""
    matrix = np.eye(4) if prepared.from_voxel is None else prepared.from_voxel
    affine = np.full((4, 4), np.nan) if read.affine_lps is None else read.affine_lps
    spacing = (np.nan,) * 3 if read.spacing_mm is None else read.spacing_mm
    return np.concatenate([matrix[:3].ravel(), affine[:3].ravel(), read.pixels.shape[2:], spacing]).astype(np.float64)


def geometry_from(rows: Array) -> Geometry:
    """``(N, 30)`` rows as one geometry."""
    return Geometry(
        matrix=_squared(rows[:, :12]),
        shape=rows[:, 24:27].astype(np.int64),
        spacing_mm=rows[:, 27:].copy(),
        affine_lps=_squared(rows[:, 12:24]),
    )


def _squared(rows: Array) -> Floats:
    out = np.tile(np.eye(4), (len(rows), 1, 1))
    out[:, :3] = rows.reshape(-1, 3, 4)
    return out
