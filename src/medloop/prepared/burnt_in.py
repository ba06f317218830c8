"""How likely text is burnt into a picture: thin strokes of one flat, extreme grey, of one height, in a row.

A clue for a person to look, not a proof that a picture is free of names.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from medloop.types import Array

SMALLEST = 64
"""Pictures with a side below this many pixels are not judged."""
_LONGEST = 2048
_STROKE = 9
_CONTRAST = 60


def text_score(grey: NDArray[np.uint8]) -> float | None:
    """0 to 1 for one ``(Y, X)`` picture; likely from 0.5. None where it is too small to tell."""
    height, width = grey.shape
    if min(height, width) < SMALLEST:
        return None
    if max(height, width) > _LONGEST:
        scale = _LONGEST / max(height, width)
        grey = np.asarray(cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
    best = max(_row_length(grey, inverse=inverse) for inverse in (False, True))
    return float(min(1.0, best / 8))


def _row_length(grey: NDArray[np.uint8], *, inverse: bool) -> int:
    """How many letter-like shapes the longest row has."""
    kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (_STROKE, _STROKE))
    strokes = cv2.morphologyEx(grey, cv2.MORPH_BLACKHAT if inverse else cv2.MORPH_TOPHAT, kernel)
    mask = (strokes > _CONTRAST).astype(np.uint8)
    count, _, boxes, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    boxes = boxes[1:count]
    tall, wide, area = boxes[:, cv2.CC_STAT_HEIGHT], boxes[:, cv2.CC_STAT_WIDTH], boxes[:, cv2.CC_STAT_AREA]
    fill = area / (tall * wide)
    letter = (tall >= 5) & (tall <= grey.shape[0] // 4) & (wide <= 1.5 * tall) & (fill > 0.15) & (fill < 0.85)
    return _longest_row(boxes[letter])


def _longest_row(boxes: Array) -> int:
    """The most boxes of like height whose feet and gaps make one line."""
    best = 0
    for box in boxes:
        level = np.abs((boxes[:, 1] + boxes[:, 3]) - (box[1] + box[3])) <= 0.25 * box[3]
        like = np.abs(boxes[:, 3] - box[3]) <= 0.35 * box[3]
        near = np.abs(boxes[:, 0] - box[0]) <= 8 * box[3]
        best = max(best, int((level & like & near).sum()))
    return best
