"""What networks say of boxes, as candidates. Without torch."""

from __future__ import annotations

from medloop.evaluation.rectangles import Boxes
from medloop.targets import boxes
from medloop.types import Floats


def candidates(centres: Floats, sizes: Floats, stride: int, shape: tuple[int, int, int]) -> Boxes:
    """Boxes of one case, before cleaning, in prepared voxels. ``centres``: ``(K, Z, y, x)``; a volume's slices are joined."""
    slices = [boxes.decode(centres[:, z], sizes[:, z], stride, shape[1:]) for z in range(shape[0])]
    return slices[0] if shape[0] == 1 else boxes.joined(slices)
