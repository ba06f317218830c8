"""The stained object of a colour picture: a blood cell with its nucleus, by thresholds that the picture itself gives."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from medloop.types import Array

Mask = NDArray[np.bool_]


def cell_and_nucleus(picture: Array) -> tuple[Mask, Mask]:
    """Masks ``(Y, X)`` of the main object and its darkest stained part in RGB bytes ``(Y, X, 3)``.

    Purple and blue stains take green away more than blue: the nucleus is where blue exceeds green most (Otsu's
    threshold), with what touches it; the cell is the nucleus and the stained or dark pixels joined to it. Both may be empty.
    """
    smooth = cv2.GaussianBlur(picture, (0, 0), max(picture.shape[:2]) / 100).astype(np.int16)
    red, green, blue = smooth[..., 0], smooth[..., 1], smooth[..., 2]
    stain = np.clip(255 - green + (blue - green) // 2 + (blue - red) // 2, 0, 510) // 2
    nucleus = _pieces(stain.astype(np.uint8))
    if not nucleus.any():
        return nucleus, nucleus
    saturation = cv2.cvtColor(smooth.astype(np.uint8), cv2.COLOR_RGB2HSV)[..., 1]
    outside = saturation[~nucleus]
    if not len(outside):
        return nucleus, nucleus
    level, _ = cv2.threshold(np.ascontiguousarray(outside).reshape(-1, 1), 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    return _joined_to((saturation > level) | nucleus, nucleus), nucleus


def _pieces(stain: NDArray[np.uint8]) -> Mask:
    """Pixels above Otsu's threshold without specks; lobes of a nucleus may lie apart, a far neighbour does not count."""
    _, mask = cv2.threshold(stain, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    count, labels, facts, centres = cv2.connectedComponentsWithStats(mask)
    if count < 2:
        return np.zeros(stain.shape, bool)
    middle = np.array(stain.shape[::-1]) / 2
    area = facts[1:, cv2.CC_STAT_AREA]
    away = np.linalg.norm(centres[1:] - middle, axis=1) / np.linalg.norm(middle)
    main = int(np.argmax(area * np.exp(-3 * away**2)))
    reach = 1.5 * np.sqrt(area[main] / np.pi) + 0.1 * max(stain.shape)
    near = np.linalg.norm(centres[1:] - centres[1 + main], axis=1) < reach
    wanted = 1 + np.flatnonzero(near & (area >= 0.02 * area[main]))
    return np.isin(labels, wanted)


def _joined_to(mask: Mask, seed: Mask) -> Mask:
    """The parts of ``mask`` that touch ``seed``, opened so that a neighbour cell hanging on by a thread does not come along."""
    side = max(3, min(mask.shape) // 20) | 1
    opened = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
    _, labels = cv2.connectedComponents(np.maximum(opened, seed.astype(np.uint8)))
    found = np.unique(labels[seed])
    return np.isin(labels, found[found > 0])
