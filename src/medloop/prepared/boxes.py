"""Boxes on the grids of prepared images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from medloop.prepared.back import boxes_as_prepared
from medloop.prepared.geometry import Geometry
from medloop.types import Truth


def prepare_boxes(truth: Truth, geometry: Geometry, shape: Sequence[int]) -> Truth:
    """The boxes of ``truth`` in voxels of prepared grids of ``shape`` ``(z, y, x)``; row i of ``geometry`` is the place of image i.

    A box is cut where the grid ends, and dropped where its middle lies outside. Of an image in which the prepared voxels have no
    place nothing is known.
    """
    if len(truth) != len(geometry):
        raise ValueError(f"the boxes of {len(truth)} images need as many places, not {len(geometry)}")
    boxes, classes = [], []
    known = truth.known & np.isfinite(geometry.matrix).all(axis=(1, 2))
    high = np.asarray(shape, np.float64)
    for row, (given, of) in enumerate(zip(truth.boxes, truth.box_classes, strict=True)):
        moved = boxes_as_prepared(given, geometry, row)
        middle = (moved[:, :3] + moved[:, 3:]) / 2
        inside = ((middle >= 0) & (middle <= high)).all(axis=1)
        boxes.append(np.clip(moved[inside], 0, np.tile(high, 2)))
        classes.append(of[inside])
    return replace(truth, known=known, boxes=tuple(boxes), box_classes=tuple(classes))
