"""Intensities as 8 (or 16) bits: CT in Hounsfield windows, MR and others by percentiles, colour and 8-bit grey as they are."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal, TypeAlias

import numpy as np
from pydantic import Field

from medloop.errors import Unreadable
from medloop.types import Array, Image

VERSION = 1

Window: TypeAlias = tuple[float, float]
_SAMPLE = 200_000
_EMPTY, _BELOW, _ABOVE = 0.05, 3.0, 5.0


def step(
    image: Image,
    *,
    method: Literal["auto", "window", "percentiles", "range", "tissue"] = "auto",
    windows: Annotated[list[Window], Field(min_length=1)] = [(-160.0, 240.0)],  # noqa: B006 - never changed
    percentiles: Window = (0.5, 99.5),
    bits: Literal[8, 16] = 8,
) -> Image:
    """uint8 (or uint16) pixels from 0 to the type's largest value.

    ``auto``: CT by ``windows``, images of 8 bits as they are (two values 0 and 1 included), everything else by ``percentiles``.
    ``windows``: ``(low, high)`` in the pixels' own units (HU in CT); each window becomes a channel. ``percentiles``: of each
    channel (of all channels together in colour), the rest is cut off. ``range``: from the smallest to the largest value.
    ``tissue``: of each channel by mean and standard deviation of all that is not empty (above 5 % of the way from the smallest
    value to the 99th percentile), from 3 of them below to 5 above; what is empty becomes 0. So two brains in MR are alike whatever
    the scanner's scale, and what is brighter than nearly all of them is not cut off.
    """
    pixels = image.pixels
    if method == "auto" and pixels.dtype in (np.uint8, np.bool_) and bits == 8:
        return replace(image, pixels=pixels.astype(np.uint8, copy=False))
    if method == "window" or (method == "auto" and image.modality == "CT" and not image.colour):
        if len(windows) > 1 and pixels.shape[1] > 1:
            raise Unreadable(f"several windows need an image of one channel, this one has {pixels.shape[1]}")
        parts = [_mapped(pixels, low, high, bits) for low, high in windows]
    elif method == "tissue":
        parts = [_tissue(pixels[:, at : at + 1], bits) for at in range(pixels.shape[1])]
    else:
        groups = [pixels] if image.colour else [pixels[:, at : at + 1] for at in range(pixels.shape[1])]
        ends = (0.0, 100.0) if method == "range" else percentiles
        parts = [_mapped(group, *_ends(group, ends), bits) for group in groups]
    return replace(image, pixels=np.concatenate(parts, axis=1), window=None)


def _mapped(pixels: Array, low: float, high: float, bits: int) -> Array:
    kind = np.uint8 if bits == 8 else np.uint16
    top = float(np.iinfo(kind).max)
    values = np.subtract(pixels, np.float32(low), dtype=np.float32)
    values *= np.float32(top / max(high - low, 1e-20))
    np.clip(np.rint(values, out=values), 0, top, out=values)
    return values.astype(kind)


def _tissue(pixels: Array, bits: int) -> Array:
    low, high = _ends(pixels, (0.0, 99.0))
    empty = pixels <= low + _EMPTY * (high - low)
    inside = pixels[~empty].astype(np.float64)
    if not inside.size:
        return _mapped(pixels, low, high, bits)
    mean, spread = inside.mean(), max(float(inside.std()), 1e-9)
    found = _mapped(pixels, float(mean - _BELOW * spread), float(mean + _ABOVE * spread), bits)
    found[empty] = 0
    return found


def _ends(pixels: Array, ends: Window) -> Window:
    flat = pixels.reshape(-1)
    low, high = np.percentile(flat[:: max(1, flat.size // _SAMPLE)], ends)
    if high <= low:
        low, high = pixels.min(), pixels.max()
    return float(low), float(high)
