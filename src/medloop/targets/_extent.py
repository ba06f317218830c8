"""How large the classes of a mask are: what clinicians compare before any other figure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medloop.targets._components import largest
from medloop.targets._solid import boxed, diameters, voxel_size
from medloop.types import Array, Floats, SpacingMm


@dataclass(frozen=True, slots=True, eq=False)
class Extent:
    """Of K classes ``(K,)``: ``size`` of the whole class (mm2 or ml; pixels or voxels where the spacing is unknown) and the longest
    ``diameter`` of its largest part (mm or pixels). NaN where the class is absent."""

    size: Floats
    diameter: Floats


def extent(mask: Array, classes: int, spacing_mm: SpacingMm | None) -> Extent:
    """Of a mask ``(Z, Y, X)``."""
    flat = len(mask) == 1
    found = np.full((2, classes), np.nan)
    for k in range(classes):
        inside = mask == k + 1
        if inside.any():
            part = largest(inside[boxed(inside)])[0]
            across = diameters(part[boxed(part)], spacing_mm or (1.0, 1.0, 1.0), flat=flat)
            found[:, k] = inside.sum() * voxel_size(spacing_mm, flat=flat), across.longest
    return Extent(*found)
