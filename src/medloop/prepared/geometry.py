"""Where prepared voxels lie in the images as they were read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medloop.types import Floats, Integers


@dataclass(frozen=True, slots=True, eq=False)
class Geometry:
    """Of N images, in the order of their prepared arrays.

    ``matrix``: ``(N, 4, 4)`` float64, takes the index ``(x, y, z, 1)`` of a prepared voxel's centre to that in the image as read;
    NaN where the voxels have no place there (frames taken for slices). ``shape``: ``(N, 3)`` voxels ``z, y, x`` of the image as
    read. ``spacing_mm``: ``(N, 3)`` of it, NaN where unknown.
    """

    matrix: Floats
    shape: Integers
    spacing_mm: Floats

    def __len__(self) -> int:
        return len(self.matrix)

    def select(self, indices: NDArray[np.int64]) -> Geometry:
        """These images, in this order."""
        return Geometry(self.matrix[indices], self.shape[indices], self.spacing_mm[indices])
