"""Cutting, padding and turning pixels together with their place in the patient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, TypeAlias

import numpy as np

from medloop.types import Array, Floats, Image

Pad: TypeAlias = Literal["edge", "median", "minimum", "zero"]


def moved(image: Image, pixels: Array, matrix: Floats) -> Image:
    """``image`` with new pixels whose voxel index ``(x, y, z, 1)`` times ``matrix`` (4 by 4) is the old voxel index.

    The matrix may scale, shift, flip and swap axes.
    """
    affine = None if image.affine_lps is None else np.asarray(image.affine_lps, np.float64) @ matrix
    spacing = None
    if image.spacing_mm is not None:
        old = np.diag(np.asarray(image.spacing_mm, np.float64)[::-1])
        z, y, x = np.linalg.norm(old @ matrix[:3, :3], axis=0)[::-1].tolist()
        spacing = (z, y, x)
    return replace(image, pixels=pixels, affine_lps=affine, spacing_mm=spacing, from_voxel=followed(image, matrix))


def followed(image: Image, matrix: Floats) -> Floats:
    """``Image.from_voxel`` of voxels whose index times ``matrix`` is the index in ``image``."""
    return np.asarray(matrix if image.from_voxel is None else np.asarray(image.from_voxel, np.float64) @ matrix)


def shifted(start: Sequence[float]) -> Floats:
    """The matrix of `moved` for a box that starts at ``(z, y, x)``."""
    matrix = np.eye(4)
    matrix[:3, 3] = np.asarray(start, np.float64)[::-1]
    return matrix


def scaled(old: Sequence[int], new: Sequence[int], factor: Sequence[float]) -> Floats:
    """The matrix of `moved` for voxels ``factor`` times as large, ``new`` instead of ``old`` of them, all ``(z, y, x)``.

    The middle of the image stays where it is.
    """
    steps = np.asarray(factor, np.float64)[::-1]
    matrix = np.diag([*steps, 1.0])
    matrix[:3, 3] = (np.asarray(old[::-1]) - 1) / 2 - steps * (np.asarray(new[::-1]) - 1) / 2
    return matrix


def cut(image: Image, start: Sequence[int], size: Sequence[int], pad: Pad = "edge") -> Image:
    """The box of ``size`` ``(z, y, x)`` voxels from ``start`` (may be negative, may reach outside: filled as ``pad`` says)."""
    have = image.pixels.shape[2:]
    if tuple(start) == (0, 0, 0) and tuple(size) == have:
        return image
    inside = [slice(max(0, s), max(0, min(n, s + w))) for s, w, n in zip(start, size, have, strict=True)]
    pixels = image.pixels[:, :, inside[0], inside[1], inside[2]]
    before = [max(0, -s) for s in start]
    after = [w - b - part.stop + part.start for w, b, part in zip(size, before, inside, strict=True)]
    widths = [(0, 0), (0, 0), *zip(before, after, strict=True)]
    pixels = _padded(pixels, widths, pad) if any(map(any, widths)) else np.ascontiguousarray(pixels)
    return moved(image, pixels, shifted(start))


def _padded(pixels: Array, widths: list[tuple[int, int]], pad: Pad) -> Array:
    if pad == "edge":
        return np.pad(pixels, widths, mode="edge")
    if pad == "zero":
        return np.pad(pixels, widths)
    out = np.pad(pixels, widths)
    inside = tuple(slice(before, before + size) for (before, _), size in zip(widths, pixels.shape, strict=True))
    for channel in range(pixels.shape[1]):
        values = pixels[:, channel]
        out[:, channel] = np.median(values) if pad == "median" else values.min()
    out[inside] = pixels
    return out
