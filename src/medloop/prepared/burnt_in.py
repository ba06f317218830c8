"""How likely text is burnt into a picture: thin strokes of one flat grey, of one height, standing in a row.

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
_GREYS = 20
_REACH = 6
_LETTERS = 8
_MOST = 2000


def text_score(grey: NDArray[np.uint8]) -> float | None:
    """0 to 1 for one ``(Y, X)`` picture: letters in the longest row, out of eight; likely from 0.5. None where it is too small."""
    height, width = grey.shape
    if min(height, width) < SMALLEST:
        return None
    if max(height, width) > _LONGEST:
        scale = _LONGEST / max(height, width)
        grey = np.asarray(cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
    best = max(_longest_row(_letters(bright)) for bright in (grey, 255 - grey))
    return float(min(1.0, best / _LETTERS))


def _letters(grey: NDArray[np.uint8]) -> Array:
    """``(K, 4)``: left, foot, height and brightest grey of each letter-like bright shape."""
    kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (_STROKE, _STROKE))
    strokes = (cv2.morphologyEx(grey, cv2.MORPH_TOPHAT, kernel) > _CONTRAST).astype(np.uint8)
    if not strokes.any():
        return np.zeros((0, 4), np.int64)
    count, _, boxes, _ = cv2.connectedComponentsWithStats(strokes, connectivity=8)
    left, top, wide, tall, area = boxes[:count].T.astype(np.int64)
    fill = area / (tall * wide)
    shaped = (tall >= 5) & (tall <= grey.shape[0] // 4) & (wide <= 1.5 * tall) & (fill > 0.15) & (fill < 0.85)
    shaped[0] = False
    at = np.flatnonzero(shaped)[:_MOST]
    peaks = [int(grey[top[k] : top[k] + tall[k], left[k] : left[k] + wide[k]].max()) for k in at]
    return np.column_stack([left[at], top[at] + tall[at], tall[at], np.array(peaks, dtype=np.int64)])


def _longest_row(letters: Array) -> int:
    """The most letters of like height and grey whose feet make one line and that stand near each other."""
    best = 0
    for left, foot, tall, peak in letters:
        like = (np.abs(letters[:, 2] - tall) <= max(1, 0.3 * tall)) & (np.abs(letters[:, 3] - peak) <= _GREYS)
        level = np.abs(letters[:, 1] - foot) <= max(1, 0.2 * tall)
        near = np.abs(letters[:, 0] - left) <= _REACH * tall
        best = max(best, int((like & level & near).sum()))
    return best
