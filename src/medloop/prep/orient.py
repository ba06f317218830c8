"""Volumes in one orientation: columns run to the patient's left, rows to the back, slices to the head."""

from __future__ import annotations

from itertools import permutations

import numpy as np

from medloop.prep._grid import moved
from medloop.types import Image

VERSION = 1


def step(image: Image) -> Image:
    """Axes swapped and flipped, nothing interpolated: x to the left, y posterior, z superior (LPS), each as nearly as can be.

    A single slice and an image of unknown orientation stay as they are.
    """
    if image.affine_lps is None or image.pixels.shape[2] == 1:
        return image
    affine = np.asarray(image.affine_lps, np.float64)
    cosines = affine[:3, :3] / np.maximum(np.linalg.norm(affine[:3, :3], axis=0), 1e-12)
    order = max(permutations(range(3)), key=lambda axes: sum(abs(cosines[world, axis]) for world, axis in enumerate(axes)))
    flip = [bool(cosines[world, axis] < 0) for world, axis in enumerate(order)]
    if order == (0, 1, 2) and not any(flip):
        return image
    size = image.pixels.shape[:1:-1]
    matrix = np.zeros((4, 4))
    matrix[3, 3] = 1.0
    for new, old in enumerate(order):
        matrix[old, new] = -1.0 if flip[new] else 1.0
        matrix[old, 3] = size[old] - 1 if flip[new] else 0.0
    pixels = image.pixels.transpose(0, 1, *(4 - order[axis] for axis in (2, 1, 0)))
    backwards = tuple(4 - axis for axis in range(3) if flip[axis])
    return moved(image, np.ascontiguousarray(np.flip(pixels, backwards)), matrix)
