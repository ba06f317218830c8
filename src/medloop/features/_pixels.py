"""Pixels as the features want them: finite, grey or colour bytes, planes of a volume."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

from medloop.features._contract import Rows
from medloop.types import Array

_RED_GREEN_BLUE = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601 luma


def clean(rows: Array) -> Rows:
    """Rows as float32 with 0 for what is not a number: a ratio of a blank picture (0/0) says nothing, so it counts as none."""
    limit = float(np.sqrt(np.finfo(np.float32).max))
    told: Rows = np.nan_to_num(np.clip(rows, -limit, limit), nan=0.0).astype(np.float32, copy=False)
    return told


def finite(pixels: Array) -> Rows:
    """Pixels as float32; what is not finite is no measurement and counts as 0, and nothing is beyond a million."""
    values = np.nan_to_num(pixels.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    limited: Rows = np.clip(values, -1e6, 1e6, out=values)
    return limited


def real(batch: Array) -> Rows:
    """Float32 of the same shape: whole numbers as a share of their type's range (0 to 1), floats as they are, finite."""
    if batch.dtype.kind in "ui":
        return batch.astype(np.float32) / np.float32(np.iinfo(batch.dtype).max)
    return finite(batch)


def bytes_of(batch: Array) -> NDArray[np.uint8]:
    """uint8 of the same shape; other types are stretched, each image by itself, from its 0.5th to its 99.5th percentile."""
    if batch.dtype == np.uint8:
        return batch
    values = finite(batch)
    flat = values.reshape(len(values), -1)
    low, high = np.percentile(flat, [0.5, 99.5], axis=1).astype(np.float32)
    flat_pictures = high - low <= 1e-6 * np.maximum(np.abs(high), 1)
    low = np.where(flat_pictures, flat.min(1), low)
    high = np.where(flat_pictures, flat.max(1), high)
    range_ = np.where(high > low, high - low, 1)
    scaled = (flat - low[:, None]) * (255 / range_)[:, None]
    rounded: NDArray[np.uint8] = np.clip(np.rint(scaled), 0, 255).astype(np.uint8).reshape(batch.shape)
    return rounded


def grey(batch: Array) -> NDArray[np.uint8]:
    """``(N, C, Z, Y, X)`` to grey bytes ``(N, Z, Y, X)``: luma of three channels, the mean of any other number."""
    pixels = bytes_of(batch)
    channels = pixels.shape[1]
    if channels == 1:
        return np.ascontiguousarray(pixels[:, 0])
    weights = _RED_GREEN_BLUE if channels == 3 else np.full(channels, 1 / channels, np.float32)
    mixed = np.zeros((len(pixels), *pixels.shape[2:]), np.float32)
    for channel, weight in enumerate(weights):
        mixed += weight * pixels[:, channel]
    return np.rint(mixed).astype(np.uint8)


def colour(batch: Array) -> NDArray[np.uint8]:
    """``(N, 3, Z, Y, X)`` to colour bytes ``(N, Y, X, 3)`` of the middle slice."""
    middle = bytes_of(batch[:, :, batch.shape[2] // 2])
    return np.ascontiguousarray(np.moveaxis(middle, 1, -1))


def planes(volumes: Array, per_axis: int) -> list[Array]:
    """Planes across each axis of ``(N, Z, Y, X)``: three of ``(N, per_axis, h, w)``; a picture is its own only plane."""
    if volumes.shape[1] == 1:
        return [volumes]
    cut: list[Array] = []
    for axis in (1, 2, 3):
        size = volumes.shape[axis]
        where = np.unique(np.rint((np.arange(per_axis) + 0.5) / per_axis * size - 0.5).astype(int))
        cut.append(np.ascontiguousarray(np.moveaxis(volumes.take(where, axis=axis), axis, 1)))
    return cut


def scaled(picture: Array, width: int, height: int) -> Array:
    """One picture ``(h, w)`` or ``(h, w, c)`` in another size: averaged when it shrinks, smooth when it grows."""
    if picture.shape[:2] == (height, width):
        return picture
    shrinks = width * height < picture.shape[0] * picture.shape[1]
    resized: Array = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return resized


def stacked(rows: Iterable[Array]) -> Rows:
    """One clean row an image."""
    return clean(np.stack([np.asarray(row, np.float32).ravel() for row in rows]))


def grid_means(values: Array, cells: tuple[int, ...]) -> Array:
    """Means of ``(N, *shape)`` over a grid of cells a side, ``(N, *cells)``; cells share borders where sizes do not divide."""
    for axis, count in enumerate(cells, start=1):
        size = values.shape[axis]
        count = min(count, size)
        edges = np.linspace(0, size, count + 1).round().astype(int)
        sums = np.add.reduceat(values, edges[:-1], axis=axis)
        shape = [1] * values.ndim
        shape[axis] = count
        values = sums / np.diff(edges).reshape(shape)
    return values
