"""Another size or spacing: averaged where it shrinks (no aliasing), interpolated where it grows."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import cv2
import numpy as np
from pydantic import Field

from medloop.errors import Unreadable
from medloop.prep._grid import moved, scaled
from medloop.types import Array, Image

VERSION = 1

Length: TypeAlias = Annotated[float, Field(gt=0)]
Count: TypeAlias = Annotated[int, Field(ge=1)]
_NATIVE = {"uint8", "uint16", "int16", "float32", "float64"}
_COLUMNS = 16384
_LARGEST = 2**31


def step(
    image: Image,
    *,
    spacing_mm: tuple[Length, Length, Length] | None = None,
    size: tuple[Count, Count, Count] | None = None,
    keep_shape: bool = True,
    grow: bool = True,
    interpolation: Literal["linear", "nearest"] = "linear",
) -> Image:
    """To ``spacing_mm`` where the image's is known, else to ``size`` voxels, both ``(z, y, x)``.

    The extent stays, so a spacing is met to the nearest voxel; the one that results is written down exactly. ``keep_shape``: all
    axes shrink or grow alike until the image fits into ``size`` (a single slice stays single). Without ``grow`` an image that
    fits into ``size`` is left as it is.
    """
    old = image.pixels.shape[2:]
    new = old
    if spacing_mm is not None and image.spacing_mm is not None:
        new = tuple(max(1, round(n * have / want)) for n, have, want in zip(old, image.spacing_mm, spacing_mm, strict=True))
    elif size is not None and (grow or any(n > want for n, want in zip(old, size, strict=True))):
        new = _within(old, size) if keep_shape else size
    if new == old:
        return image
    if np.prod(new, dtype=np.float64) * image.pixels.shape[0] * image.pixels.shape[1] > _LARGEST:
        raise Unreadable(f"the image would have {' x '.join(map(str, new))} voxels")
    return moved(image, _resized(image.pixels, new, nearest=interpolation == "nearest"), scaled(old, new))


def _within(old: tuple[int, ...], size: tuple[int, ...]) -> tuple[int, ...]:
    factor = min(want / have for want, have in zip(size, old, strict=True) if have > 1 or want > 1) if max(old) > 1 else 1.0
    return tuple(have if have == 1 else min(want, max(1, round(have * factor))) for want, have in zip(size, old, strict=True))


def _resized(pixels: Array, new: tuple[int, ...], *, nearest: bool) -> Array:
    times, channels, depth, height, width = pixels.shape
    kind = pixels.dtype if pixels.dtype.name in _NATIVE else np.dtype(np.float64 if pixels.dtype.itemsize > 2 else np.float32)
    planes = pixels.astype(kind, copy=False).reshape(-1, height, width)
    if new[1:] != (height, width):
        planes = np.stack([_plane(plane, new[1], new[2], nearest=nearest) for plane in planes])
    if new[0] != depth:
        columns = planes.reshape(times * channels, depth, -1)
        planes = np.stack([_depth(each, new[0], nearest=nearest) for each in columns])
    if kind != pixels.dtype:
        planes = (np.rint(planes) if pixels.dtype.kind in "iub" else planes).astype(pixels.dtype)
    return planes.reshape(times, channels, *new)


def _plane(plane: Array, height: int, width: int, *, nearest: bool) -> Array:
    """``(Y, X)`` first shrunk by area along the axes that shrink, then grown along those that grow."""
    if nearest:
        return np.asarray(cv2.resize(plane, (width, height), interpolation=cv2.INTER_NEAREST_EXACT))
    low, narrow = min(height, plane.shape[0]), min(width, plane.shape[1])
    if (low, narrow) != plane.shape:
        plane = cv2.resize(plane, (narrow, low), interpolation=cv2.INTER_AREA)
    if (low, narrow) != (height, width):
        plane = cv2.resize(plane, (width, height), interpolation=cv2.INTER_LINEAR)
    return plane


def _depth(columns: Array, depth: int, *, nearest: bool) -> Array:
    """``(Z, K)`` to ``(depth, K)``, some thousand columns at a time."""
    parts = [
        _plane(np.ascontiguousarray(columns[:, at : at + _COLUMNS]), depth, min(_COLUMNS, columns.shape[1] - at), nearest=nearest)
        for at in range(0, columns.shape[1], _COLUMNS)
    ]
    return np.concatenate(parts, axis=1)
