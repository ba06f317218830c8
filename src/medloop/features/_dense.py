"""SIFT descriptors on a regular grid, all at once.

The same numbers as OpenCV's SIFT for upright keypoints of the first octave, but for rounding. A descriptor's 4×4 cells
weigh each pixel by a Gaussian around the keypoint and by a triangle around the cell's centre; both are products of a part
across and a part down, so all cells of all keypoints are two matrix products for each of the 8 directions.
"""

from __future__ import annotations

import cv2
import numpy as np

from medloop.features._contract import Rows
from medloop.types import Array

_CELLS = 4
_DIRECTIONS = 8
_CELL_PER_SIZE = 1.5  # a cell's width, in diameters of the keypoint
_BLUR = float(np.sqrt(1.6**2 - 0.5**2))  # what takes a camera's blur to that of the first octave
_CLIP = 0.2


def centres(length: int, step: int) -> Array:
    """Whole positions of the grid along one side, as far from one end as from the other."""
    return np.arange((length - 1) % step // 2, length, step)


def describe(pictures: Array, step: int, sizes: tuple[float, ...]) -> tuple[Rows, Rows]:
    """Bytes ``(N, H, W)`` to unit descriptors ``(N, M, 128)`` and the places ``(M, 2)`` of the grid, x and y from 0 to 1.

    ``sizes``: diameters of the keypoints, pixels; all of the first size come first, row by row.
    """
    height, width = pictures.shape[1:]
    down, across = centres(height, step), centres(width, step)
    maps = _directions(pictures)
    found = [_cells(maps, down, across, size) for size in sizes]
    y, x = np.meshgrid((down + 0.5) / height, (across + 0.5) / width, indexing="ij")
    places = np.tile(np.column_stack([x.ravel(), y.ravel()]).astype(np.float32), (len(sizes), 1))
    return np.concatenate(found, axis=1), places


def _directions(pictures: Array) -> Rows:
    """Gradients shared between the two nearest of 8 directions, ``(N, 8, H, W)``; the outermost pixels have none."""
    maps = np.zeros((len(pictures), _DIRECTIONS, *pictures.shape[1:]), np.float32)
    for place, picture in enumerate(pictures):
        smooth = cv2.GaussianBlur(picture.astype(np.float32), (0, 0), _BLUR)
        right = smooth[1:-1, 2:] - smooth[1:-1, :-2]
        up = smooth[:-2, 1:-1] - smooth[2:, 1:-1]
        size, angle = cv2.cartToPolar(right, up)
        turn = angle * np.float32(_DIRECTIONS / (2 * np.pi))
        first = np.floor(turn)
        second_share = (turn - first) * size
        first_share = size - second_share
        first = first.astype(np.uint8) % _DIRECTIONS
        for direction in range(_DIRECTIONS):
            inner = maps[place, direction, 1:-1, 1:-1]
            np.multiply(first_share, first == direction, out=inner)
            inner += second_share * (first == (direction - 1) % _DIRECTIONS)
    return maps


def _cells(maps: Rows, down: Array, across: Array, size: float) -> Rows:
    """Normalised descriptors ``(N, len(down) * len(across), 128)`` of one size."""
    count, _, height, width = maps.shape
    rows = _weights(down, height, size)
    columns = _weights(across, width, size)
    sums = np.matmul(rows, np.matmul(maps, columns.T))
    parts = sums.reshape(count, _DIRECTIONS, len(down), _CELLS, len(across), _CELLS)
    descriptors = parts.transpose(0, 2, 4, 3, 5, 1).reshape(count, len(down) * len(across), -1)
    clipped: Rows = np.minimum(_unit(descriptors), np.float32(_CLIP))
    return _unit(clipped)


def _weights(middles: Array, length: int, size: float) -> Rows:
    """What each pixel of a side adds to each cell of each keypoint, ``(4 * len(middles), length)``."""
    away = (np.arange(length) - middles[:, None]) / (_CELL_PER_SIZE * size)
    window = np.exp(-(away**2) / (_CELLS**2 / 2))
    cells = np.arange(_CELLS) - (_CELLS - 1) / 2
    share = np.maximum(1 - np.abs(away[:, None] - cells[:, None]), 0)
    weights: Rows = (window[:, None] * share).reshape(-1, length).astype(np.float32)
    return weights


def _unit(descriptors: Rows) -> Rows:
    length = np.sqrt(np.einsum("nmd,nmd->nm", descriptors, descriptors))[..., None]
    unit: Rows = descriptors / np.maximum(length, np.float32(1e-6))
    return unit
