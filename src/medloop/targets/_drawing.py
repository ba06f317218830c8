"""Masks drawn on pictures, in colours that people with colour blindness tell apart (Okabe and Ito 2008)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medloop.types import UNKNOWN, Array

COLOURS = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167))
_COVER = 0.45
_CROSS = ndimage.generate_binary_structure(2, 1)


def colour(number: int) -> tuple[int, int, int]:
    """Red, green and blue of the class with this position, 0 for the first; they begin again after the seventh."""
    return COLOURS[number % len(COLOURS)]


def filled(rgb: Array, mask: Array) -> NDArray[np.uint8]:
    """``rgb`` ``(Y, X, 3)`` uint8 with each class of ``mask`` ``(Y, X)`` laid over it, so that the picture shows through."""
    drawn = rgb.astype(np.float32)
    for value in _values(mask):
        inside = mask == value
        drawn[inside] = (1 - _COVER) * drawn[inside] + _COVER * np.array(colour(value - 1), np.float32)
    return np.asarray(np.rint(drawn), np.uint8)


def contoured(rgb: Array, mask: Array) -> NDArray[np.uint8]:
    """``rgb`` with the border of each class of ``mask``, one pixel wide and inside it, with a dark line around it to stand out."""
    drawn = np.array(rgb, np.uint8)
    borders = {value: (mask == value) & ~ndimage.binary_erosion(mask == value, _CROSS) for value in _values(mask)}
    for value, border in borders.items():
        around = ndimage.binary_dilation(border, _CROSS) & (mask != value)
        drawn[around] = drawn[around] // 2
    for value, border in borders.items():
        drawn[border] = colour(value - 1)
    return drawn


def _values(mask: Array) -> list[int]:
    return [int(value) for value in np.unique(mask) if value not in (0, UNKNOWN)]
