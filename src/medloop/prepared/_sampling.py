"""Voxels of one grid at the places of another: whole lines at a time where the axes are parallel, which they mostly are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medloop.types import Array, Floats, Integers

_PARALLEL = 1e-3
_TIE = 1e-6


def nearest(pixels: Array, matrix: Floats, shape: tuple[int, ...], outside: int = 0) -> Array:
    """``(Z, Y, X)`` on a grid of ``shape`` whose index ``(x, y, z, 1)`` times ``matrix`` is the index in ``pixels`` ``(Z, Y, X)``.

    The nearest voxel, the lower one of two; ``outside`` where its place lies outside all voxels.
    """
    lines = _lines(matrix, pixels.shape, shape)
    if lines is None:
        turn, shift = _zyx(matrix)
        out = ndimage.affine_transform(pixels, turn, shift, shape, order=0, mode="grid-constant", cval=outside)
        return np.asarray(out)
    taken = pixels[np.ix_(*(np.clip(line.lower_nearest, 0, n - 1) for line, n in zip(lines, pixels.shape, strict=True)))]
    out = np.ascontiguousarray(taken.transpose(np.argsort([line.axis for line in lines])))
    _blank(out, lines, outside)
    return out


def linear(pixels: Floats, matrix: Floats, shape: tuple[int, ...], outside: float = 0.0) -> Floats:
    """The same with linear interpolation between centres, float32; from the last centre to the edge of its voxel it stays even."""
    lines = _lines(matrix, pixels.shape, shape)
    values = np.asarray(pixels, np.float32)
    if lines is None:
        turn, shift = _zyx(matrix)
        values = ndimage.affine_transform(values, turn, shift, shape, order=1, mode="nearest")
        inside = nearest(np.ones(pixels.shape, np.uint8), matrix, shape)
        return np.where(inside > 0, values, np.float32(outside))
    for at in np.argsort([len(line.place) / line.length for line in lines]):
        values = lines[at].between(values, int(at))
    out = np.ascontiguousarray(values.transpose(np.argsort([line.axis for line in lines])))
    _blank(out, lines, outside)
    return out


@dataclass(frozen=True, slots=True, eq=False)
class _Line:
    """Places along one axis of the old grid (``length`` voxels), as they follow each other along ``axis`` of the new one."""

    axis: int
    place: Floats
    length: int

    @property
    def lower_nearest(self) -> Integers:
        return np.asarray(np.ceil(self.place - 0.5 - _TIE), np.int64)

    @property
    def outside(self) -> NDArray[np.bool_]:
        return np.asarray((self.place < -0.5 - _TIE) | (self.place > self.length - 0.5 + _TIE))

    def between(self, values: Floats, axis: int) -> Floats:
        """``values`` interpolated along ``axis``."""
        place = np.clip(self.place, 0, self.length - 1)
        if np.array_equal(place, np.arange(self.length)):
            return values
        low = np.minimum(place.astype(np.int64), max(self.length - 2, 0))
        weight = (place - low).astype(np.float32).reshape(-1, *[1] * (values.ndim - 1 - axis))
        lower = values.take(low, axis)
        upper = values.take(np.minimum(low + 1, self.length - 1), axis)
        upper -= lower
        upper *= weight
        lower += upper
        return lower


def _zyx(matrix: Floats) -> tuple[Floats, Floats]:
    """The 3 by 3 part and the shift, for indices ``(z, y, x)``."""
    return np.asarray(matrix[:3, :3][::-1, ::-1]), np.asarray(matrix[:3, 3][::-1])


def _lines(matrix: Floats, old: tuple[int, ...], new: tuple[int, ...]) -> list[_Line] | None:
    """A line for each old axis; None where the axes of the two grids are not parallel."""
    turn, shift = _zyx(matrix)
    order = np.abs(turn * np.asarray(new)).argmax(axis=1)
    own = turn[np.arange(3), order]
    rest = np.abs(turn).copy()
    rest[np.arange(3), order] = 0
    if len(set(order.tolist())) < 3 or (rest @ np.asarray(new)).max() > _PARALLEL:
        return None
    return [_Line(int(order[at]), np.arange(new[order[at]]) * own[at] + shift[at], old[at]) for at in range(3)]


def _blank(out: Array, lines: list[_Line], outside: float) -> None:
    for line in lines:
        if line.outside.any():
            out[(slice(None),) * line.axis + (line.outside,)] = outside
