"""Choose frames of time and slices of a volume."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from medloop.errors import Unreadable
from medloop.prep._grid import moved, scaled, shifted
from medloop.types import Array, Image, Integers

VERSION = 1


def step(
    image: Image,
    *,
    frames: Literal["all", "first", "middle", "mean", "maximum", "spread", "sequence"] = "middle",
    slices: Literal["all", "middle", "spread"] = "all",
    count: Annotated[int, Field(ge=1)] = 4,
) -> Image:
    """One frame (or their mean or maximum) and all or some slices; ``spread`` takes ``count`` of them at equal distances.

    ``sequence``: ``count`` frames of a flat picture in motion, at equal distances, become its slices: a network that reads a volume
    slice by slice then reads time. Slices that are times have no place in the image. Raises `Unreadable` for a volume in motion.

    Spread slices keep place and spacing: the spacing becomes the distance between those taken. A shorter axis gives repeats.
    """
    return _slices(_frames(image, frames, count), slices, count)


def _frames(image: Image, frames: str, count: int) -> Image:
    pixels = image.pixels
    times = pixels.shape[0]
    if frames == "all" or (times == 1 and frames not in ("spread", "sequence")):
        return image
    if frames == "sequence":
        return _sequence(image, count)
    if frames == "mean":
        return replace(image, pixels=_as(pixels.mean(axis=0, keepdims=True, dtype=np.float64), pixels))
    if frames == "maximum":
        return replace(image, pixels=pixels.max(axis=0, keepdims=True))
    where = {"first": np.array([0]), "middle": np.array([times // 2])}.get(frames)
    return replace(image, pixels=pixels[_spread(times, count) if where is None else where])


def _sequence(image: Image, count: int) -> Image:
    if image.pixels.shape[2] > 1:
        raise Unreadable("a volume in motion has no room for its frames: take one of them with frames = 'middle'")
    taken = image.pixels[_spread(image.pixels.shape[0], count)]
    slices = np.ascontiguousarray(taken.transpose(2, 1, 0, 3, 4))
    return replace(image, pixels=slices, affine_lps=None, from_voxel=np.full((4, 4), np.nan))


def _slices(image: Image, slices: str, count: int) -> Image:
    pixels = image.pixels
    depth, height, width = pixels.shape[2:]
    if slices == "all" or depth == 1:
        return image
    if slices == "middle":
        return moved(image, np.ascontiguousarray(pixels[:, :, depth // 2 : depth // 2 + 1]), shifted((depth // 2, 0, 0)))
    taken = np.ascontiguousarray(pixels[:, :, _spread(depth, count)])
    return moved(image, taken, scaled((depth, height, width), (count, height, width), (depth / count, 1, 1)))


def _spread(size: int, count: int) -> Integers:
    """``count`` positions in the middles of equal parts of ``size``."""
    return np.clip(np.rint((np.arange(count) + 0.5) * size / count - 0.5), 0, size - 1).astype(np.int64)


def _as(values: Array, like: Array) -> Array:
    """In the type of ``like``, rounded where that is whole numbers."""
    return (np.rint(values) if like.dtype.kind in "iu" else values).astype(like.dtype)
