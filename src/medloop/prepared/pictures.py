"""From one decoded image to the facts that are remembered of it (`Picture`). Pure: no files, no state."""

from __future__ import annotations

import hashlib

import cv2
import numpy as np
from numpy.typing import NDArray

from medloop.cache.pictures import DEPTH, ROW, SIDE, VERSION, Picture, Pictures
from medloop.errors import Unreadable
from medloop.prepared.burnt_in import text_score
from medloop.types import Array, Floats, Image

__all__ = ["ROW", "VERSION", "Picture", "Pictures", "picture_of"]

_WHOLE = (np.uint8, np.int16, np.int32)
_TAIL = 0.005


def picture_of(image: Image) -> Picture:
    """The facts of ``image``. Raises `Unreadable` when it has no pixels."""
    pixels = _finite(image.pixels)
    if pixels.size == 0:
        raise Unreadable("the image has no pixels")
    low, high = float(pixels.min()), float(pixels.max())
    times, _, slices = pixels.shape[:3]
    grey = _grey(pixels, colour=image.colour)
    thumb = _volume_thumb(grey) if times * slices > 1 else _flat_thumb(grey[0])
    return Picture(
        digest=digest_of(pixels, low, high),
        thumb=_stretched(thumb),
        shape=(times, pixels.shape[1], slices, pixels.shape[3], pixels.shape[4]),
        mean=float(pixels.mean(dtype=np.float64)),
        std=float(pixels.std(dtype=np.float64)),
        low=low,
        high=high,
        border=_border(pixels),
        text=text_score(_bytes_of(grey[len(grey) // 2], low, high)),
        uniform=low == high,
    )


def digest_of(pixels: Array, low: float, high: float) -> bytes:
    """16 bytes, equal for equal pixels: three equal channels count as grey, whole numbers as the smallest type that holds them."""
    first = pixels[:, :1]
    if pixels.shape[1] == 3 and np.array_equal(first, pixels[:, 1:2]) and np.array_equal(first, pixels[:, 2:]):
        pixels = first
    whole = pixels.dtype.kind in "biu" or bool(np.array_equal(pixels, np.rint(pixels)))
    kinds = [kind for kind in _WHOLE if whole and np.iinfo(kind).min <= low and high <= np.iinfo(kind).max]
    plain = np.ascontiguousarray(pixels, dtype=kinds[0] if kinds else np.float32)
    state = hashlib.blake2b(f"{plain.dtype.str}{plain.shape}".encode(), digest_size=16)
    state.update(plain.data)
    return state.digest()


def _finite(pixels: Array) -> Array:
    """Booleans as 0 and 1; NaN and infinities as the smallest finite number."""
    if pixels.dtype.kind == "b":
        return pixels.astype(np.uint8)
    if pixels.dtype.kind != "f" or bool(np.isfinite(pixels).all()):
        return pixels
    good = np.isfinite(pixels)
    return np.where(good, pixels, pixels[good].min() if good.any() else 0).astype(pixels.dtype)


def _grey(pixels: Array, *, colour: bool) -> Array:
    """``(T * Z, Y, X)``: luminance of colours, the mean of other channels."""
    times, channels, slices, height, width = pixels.shape
    if channels == 1:
        return pixels.reshape(times * slices, height, width)
    weights = np.array([0.299, 0.587, 0.114]) if colour and channels == 3 else np.full(channels, 1 / channels)
    mixed: Floats = np.tensordot(weights.astype(np.float32), pixels.astype(np.float32), axes=(0, 1))
    return mixed.reshape(times * slices, height, width)


def _shrunk(grey: Array, side: int) -> Floats:
    """``(Y, X)`` to ``(side, side)`` float32: area means where it shrinks, linear where it grows."""
    height, width = grey.shape
    kind = grey.dtype if grey.dtype in (np.uint8, np.uint16, np.int16, np.float32) else np.float32
    small = cv2.resize(grey.astype(kind, copy=False), (min(width, side), min(height, side)), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small.astype(np.float32), (side, side), interpolation=cv2.INTER_LINEAR))


def _flat_thumb(grey: Array) -> Floats:
    return _shrunk(grey, SIDE)


def _volume_thumb(grey: Array) -> Floats:
    """``(D, Y, X)`` to ``(16, 16, 16)`` float32."""
    flat = np.stack([_shrunk(plane, DEPTH) for plane in grey]).reshape(len(grey), -1)
    return np.asarray(_along_depth(flat).reshape(DEPTH, DEPTH, DEPTH))


def _along_depth(flat: Floats) -> Floats:
    """``(D, K)`` to ``(16, K)``."""
    depth = len(flat)
    small = cv2.resize(flat, (flat.shape[1], min(depth, DEPTH)), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (flat.shape[1], DEPTH), interpolation=cv2.INTER_LINEAR))


def _stretched(thumb: Floats) -> NDArray[np.uint8]:
    """To 0..255 with half a percent cut off at both ends, so that a few extreme pixels do not eat the range."""
    low, high = np.quantile(thumb, [_TAIL, 1 - _TAIL])
    if high <= low:
        low, high = thumb.min(), thumb.max()
    return np.asarray(np.rint(np.clip((thumb - low) / max(high - low, 1e-12), 0, 1) * 255).astype(np.uint8))


def _bytes_of(grey: Array, low: float, high: float) -> NDArray[np.uint8]:
    """One slice as bytes: as it is when it already lies in 0..255, otherwise from its range."""
    if grey.dtype == np.uint8:
        return np.asarray(grey)
    if low >= 0 and 64 <= high <= 255:
        return np.asarray(np.rint(grey).astype(np.uint8))
    return np.asarray(np.rint((grey.astype(np.float32) - low) * (255 / max(high - low, 1e-12))).astype(np.uint8))


def _border(pixels: Array) -> float:
    """Mean of the outer frame (a 32nd of each side, at least a pixel)."""
    height, width = pixels.shape[3:]
    high, wide = max(1, height // 32), max(1, width // 32)
    parts = (pixels[..., :high, :], pixels[..., -high:, :], pixels[..., :wide], pixels[..., -wide:])
    return float(np.mean([part.mean(dtype=np.float64) for part in parts]))
