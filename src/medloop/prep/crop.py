"""Cut empty borders off: air around a patient, black around a radiograph."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from medloop.prep._grid import cut
from medloop.types import Array, Image

VERSION = 2
_AIR_HU = -500.0


def step(
    image: Image,
    *,
    level: Annotated[float, Field(ge=0, lt=1)] = 0.05,
    share: Annotated[float, Field(ge=0, lt=1)] = 0.01,
    margin: Annotated[int, Field(ge=0)] = 2,
    least: Annotated[float, Field(gt=0, le=1)] = 0.25,
) -> Image:
    """Cut rows, columns and slices at the borders in which at most ``share`` of the pixels are not empty.

    Empty means: in CT below -500 HU, elsewhere within ``level`` of the way from the smallest value to the 99th percentile.
    ``margin`` voxels are left around. Nothing is cut along an axis of which less than ``least`` would stay.
    """
    filled = _filled(image, level)
    box = [_extent(filled.mean(axis=tuple(a for a in range(3) if a != axis)), share, margin, least) for axis in range(3)]
    return cut(image, [low for low, _ in box], [high - low for low, high in box])


def _filled(image: Image, level: float) -> Array:
    """``(Z, Y, X)`` bool: where any frame or channel is not empty. Channels that are no colours are each of their own range."""
    pixels = image.pixels
    if image.modality == "CT":
        return np.asarray((pixels > _AIR_HU).any(axis=(0, 1)))
    parts = [pixels] if image.colour else [pixels[:, at : at + 1] for at in range(pixels.shape[1])]
    return np.asarray(np.logical_or.reduce([(part > _limit(part, level)).any(axis=(0, 1)) for part in parts]))


def _limit(pixels: Array, level: float) -> float:
    flat = pixels.reshape(-1)
    low, high = float(pixels.min()), float(np.percentile(flat[:: max(1, flat.size // 200_000)], 99))
    return low + level * (high - low)


def _extent(part: Array, share: float, margin: int, least: float) -> tuple[int, int]:
    used = np.flatnonzero(part > share)
    size = len(part)
    if used.size == 0:
        return 0, size
    low, high = max(0, int(used[0]) - margin), min(size, int(used[-1]) + 1 + margin)
    return (low, high) if high - low >= least * size else (0, size)
