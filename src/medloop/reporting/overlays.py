"""A case drawn with what was found in it and what is true."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from medloop import targets
from medloop.reporting import sheets
from medloop.types import Array, Findings, Image, Target

_LEAST = 240
"""Pictures are enlarged to at least so many pixels before lines are drawn on them, so that the lines are thin."""


def overlay(image: Image, target: Target, found: Findings, truth: Findings) -> Array:
    """``(Y', X', 3)`` uint8: the slice that shows most, the answer filled and the truth as contours (of boxes: dashed)."""
    module = targets.of(target.kind)
    z = module.slice_of(found, truth)
    rgb = sheets.slice_of(image, z)
    times = -(-_LEAST // min(rgb.shape[:2]))
    drawn = module.picture(_repeated(rgb, times), target, _enlarged(found, z, times), _enlarged(truth, z, times))
    return sheets.upright(drawn, image)


def _enlarged(given: Findings, z: int, times: int) -> Findings:
    """One slice of it on a finer grid."""
    mask, anomaly = (None if each is None else _repeated(each[z], times)[None] for each in (given.mask, given.anomaly))
    given = replace(given, mask=mask, anomaly=anomaly)
    if given.boxes is None:
        return given
    boxes = np.asarray(given.boxes, np.float64).reshape(-1, 6)
    cut = (boxes[:, 0] <= z + 0.5) & (boxes[:, 3] >= z + 0.5)
    moved = boxes[cut] * [1, times, times, 1, times, times]
    moved[:, 0], moved[:, 3] = 0, 1
    classes, scores = (None if each is None else each[cut] for each in (given.box_classes, given.box_scores))
    return replace(given, boxes=moved, box_classes=classes, box_scores=scores)


def _repeated(plane: Array, times: int) -> Array:
    return np.repeat(np.repeat(plane, times, axis=0), times, axis=1)
