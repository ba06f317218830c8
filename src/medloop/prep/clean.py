"""Remove what carries no picture: values that are not numbers, uniform frames, uniform slices at the ends of a volume."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from medloop.errors import Unreadable
from medloop.prep._grid import cut
from medloop.types import Array, Image

VERSION = 1


def step(image: Image, *, frames: bool = True, slices: bool = False) -> Image:
    """NaN and infinities become the smallest finite value; uniform frames (``frames``) and end slices (``slices``) are removed.

    Uniform slices between others stay: taking them out would move the rest. Raises `Unreadable` when nothing is left.
    """
    pixels = _finite(image.pixels)
    if pixels.size == 0 or bool(pixels.min() == pixels.max()):
        raise Unreadable("every pixel has the same value")
    image = replace(image, pixels=pixels)
    if frames and pixels.shape[0] > 1:
        image = replace(image, pixels=np.ascontiguousarray(pixels[_alive(pixels, 0)]))
    if slices and pixels.shape[2] > 1:
        used = np.flatnonzero(_alive(image.pixels, 2))
        _, _, _, height, width = image.pixels.shape
        if used.size:
            image = cut(image, (int(used[0]), 0, 0), (int(used[-1] - used[0]) + 1, height, width))
    return image


def _finite(pixels: Array) -> Array:
    if pixels.dtype.kind != "f":
        return pixels
    good = np.isfinite(pixels)
    if good.all():
        return pixels
    if not good.any():
        raise Unreadable("no pixel is a number (all are NaN or infinite)")
    return np.where(good, pixels, pixels[good].min()).astype(pixels.dtype)


def _alive(pixels: Array, axis: int) -> Array:
    """Which entries of ``axis`` are not uniform (each channel by itself)."""
    rest = tuple(each for each in range(5) if each not in (axis, 1))
    spread: Array = (pixels.max(axis=rest) > pixels.min(axis=rest)).any(axis=1 if axis == 0 else 0)
    return spread
