"""Masks and maps of flat pictures as PNG (ISO/IEC 15948): one byte a pixel."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from medloop.types import UNKNOWN

COLOURS = ((0, 0, 0), (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167))
"""Of nothing and of the first classes: the colours of Okabe and Ito (2008), which nearly everybody can tell apart."""
_COLOUR = 0x1000000
_UNKNOWN_COLOUR = (128, 128, 128)


def mask_bytes(mask: NDArray[np.uint8], values: Sequence[int] | None = None) -> bytes:
    """A PNG of ``mask`` ``(Y, X)``, 0 for none and k + 1 for the k-th class.

    ``values``: what none of the classes and each class are written as, K + 1 numbers as a mask's file holds them: 0 to 255 for
    greys, ``0x1RRGGBB`` for colours. Without them 0 to K are written, with a palette that shows them in `COLOURS`.
    Raises `ValueError` for a mask with other values.
    """
    if mask.ndim != 2:
        raise ValueError("a PNG is flat")
    if values is not None:
        picture = Pillow.fromarray(_translated(mask, values))
    else:
        picture = Pillow.fromarray(np.ascontiguousarray(mask, dtype=np.uint8)).convert("P")
        picture.putdata(mask.ravel())
        picture.putpalette(_palette())
    return _bytes(picture)


def map_bytes(steps: NDArray[np.uint8]) -> bytes:
    """A PNG of a map ``(Y, X)`` as greys."""
    if steps.ndim != 2:
        raise ValueError("a PNG is flat")
    return _bytes(Pillow.fromarray(steps))


def _bytes(picture: Pillow.Image) -> bytes:
    out = io.BytesIO()
    picture.save(out, "PNG", optimize=True)
    return out.getvalue()


def _translated(mask: NDArray[np.uint8], values: Sequence[int]) -> NDArray[np.uint8]:
    if not all(0 <= value <= 255 or _COLOUR <= value < 2 * _COLOUR for value in values):
        raise ValueError("a PNG has greys of 0 to 255 and colours")
    table = np.full(256, -1, np.int64)
    table[: len(values)] = values
    found = table[mask]
    if (found < 0).any():
        raise ValueError("the mask has a value without a class")
    if max(values) < _COLOUR:
        return np.asarray(found.astype(np.uint8))
    channels = [np.where(found < _COLOUR, found, found >> shift & 255) for shift in (16, 8, 0)]
    return np.stack(channels, axis=-1).astype(np.uint8)


def _palette() -> list[int]:
    rows = [COLOURS[0], *(COLOURS[1 + number % (len(COLOURS) - 1)] for number in range(255))]
    rows[UNKNOWN] = _UNKNOWN_COLOUR
    return [part for row in rows for part in row]
