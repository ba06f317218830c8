"""Another size or spacing: linear interpolation, widened to a weighted mean where the image shrinks, so that nothing aliases."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
from pydantic import Field

from medloop.errors import Unreadable
from medloop.prep._grid import moved, scaled
from medloop.types import Array, Floats, Image

VERSION = 1

Length: TypeAlias = Annotated[float, Field(gt=0)]
Count: TypeAlias = Annotated[int, Field(ge=1)]
Band: TypeAlias = tuple[slice, slice, Floats]
"""Which new voxels are made of which old ones, and with what weights."""
_LARGEST = 2**31
_BAND = 16
_KEPT = 32
"""Tables of weights kept: images of one collection are of few sizes."""


def step(
    image: Image,
    *,
    spacing_mm: tuple[Length, Length, Length] | None = None,
    size: tuple[Count, Count, Count] | None = None,
    keep_shape: bool = True,
    grow: bool = True,
    interpolation: Literal["linear", "nearest"] = "linear",
) -> Image:
    """To ``spacing_mm`` where the image's is known, else to ``size`` voxels, both ``(z, y, x)``. The middle stays in place.

    ``spacing_mm`` is met exactly; the extent becomes the nearest whole number of voxels. With ``size`` the extent stays;
    ``keep_shape``: all axes shrink or grow alike until the image fits into ``size`` (a single slice stays single). Without
    ``grow`` an image that fits into ``size`` is left as it is.
    """
    old = image.pixels.shape[2:]
    if spacing_mm is not None and image.spacing_mm is not None:
        factor = tuple(want / have for want, have in zip(spacing_mm, image.spacing_mm, strict=True))
        new = tuple(max(1, round(n / times)) for n, times in zip(old, factor, strict=True))
    elif size is not None and (grow or any(n > want for n, want in zip(old, size, strict=True))):
        new = _within(old, size) if keep_shape else size
        factor = tuple(n / m for n, m in zip(old, new, strict=True))
    else:
        return image
    if new == old and np.allclose(factor, 1, rtol=0, atol=1e-3):
        return image
    if np.prod(new, dtype=np.float64) * image.pixels.shape[0] * image.pixels.shape[1] > _LARGEST:
        raise Unreadable(f"the image would have {' x '.join(map(str, new))} voxels")
    pixels = _resampled(image.pixels, new, factor, nearest=interpolation == "nearest")
    return moved(image, pixels, scaled(old, new, factor))


def _within(old: tuple[int, ...], size: tuple[int, ...]) -> tuple[int, ...]:
    factor = min((want / have for want, have in zip(size, old, strict=True) if have > 1), default=1.0)
    return tuple(have if have == 1 else min(want, max(1, round(have * factor))) for want, have in zip(size, old, strict=True))


def _resampled(pixels: Array, new: tuple[int, ...], factor: tuple[float, ...], *, nearest: bool) -> Array:
    """One axis after the other, the one that shrinks most first."""
    kind = np.float64 if pixels.dtype.itemsize > 2 and pixels.dtype != np.float32 else np.float32
    values = pixels
    for axis in sorted(range(3), key=lambda each: -factor[each]):
        length = pixels.shape[2 + axis]
        if new[axis] == length and abs(factor[axis] - 1) <= 1e-3:
            continue
        if nearest:
            where = _where(new[axis], length, factor[axis])
            values = values.take(np.clip(np.rint(where), 0, length - 1).astype(np.int64), axis=2 + axis)
        else:
            values = _weighted(values.astype(kind, copy=False), _bands(new[axis], length, factor[axis], kind), 2 + axis)
    if values.dtype != pixels.dtype:
        values = (np.rint(values) if pixels.dtype.kind in "iub" else values).astype(pixels.dtype)
    return np.ascontiguousarray(values)


def _where(new: int, length: int, factor: float) -> Floats:
    """``(new,)``: the place of each new voxel among the ``length`` old ones."""
    return np.asarray((np.arange(new) - (new - 1) / 2) * factor + (length - 1) / 2)


@lru_cache(maxsize=_KEPT)
def _bands(new: int, length: int, factor: float, kind: type[np.floating[Any]]) -> tuple[Band, ...]:
    """How much each old voxel counts for each new one, a few new ones at a time; beyond the border the border voxel counts."""
    reach = max(1.0, factor)
    at = np.clip(_where(new, length, factor), 0, length - 1)[:, None]
    weights: Floats = np.maximum(0.0, 1 - np.abs(np.arange(length) - at) / reach)
    weights = np.asarray(weights / weights.sum(axis=1, keepdims=True)).astype(kind)
    found = []
    for start in range(0, new, _BAND):
        rows = slice(start, min(start + _BAND, new))
        used = np.flatnonzero(weights[rows].any(axis=0))
        old = slice(int(used[0]), int(used[-1]) + 1)
        found.append((rows, old, np.ascontiguousarray(weights[rows, old])))
    return tuple(found)


def _weighted(values: Array, bands: tuple[Band, ...], axis: int) -> Array:
    """Weights applied along ``axis`` of ``(T, C, Z, Y, X)``. Far-off voxels weigh nothing, so they are not multiplied at all."""
    before, length, after = values.shape[:axis], values.shape[axis], values.shape[axis + 1 :]
    out = np.empty((*before, bands[-1][0].stop, *after), values.dtype)
    if not after:
        for rows, old, weights in bands:
            out[..., rows] = values[..., old] @ weights.T
        return out
    flat, into = values.reshape(math.prod(before), length, -1), out.reshape(math.prod(before), out.shape[axis], -1)
    for rows, old, weights in bands:
        np.matmul(weights, flat[:, old], out=into[:, rows])
    return out
