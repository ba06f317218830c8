"""The stained object of a colour picture: a blood cell with its nucleus, by thresholds that the picture itself gives."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.filters import threshold_multiotsu

from medloop.types import Array

Mask = NDArray[np.bool_]
_CLASSES = 3  # background, body and red cells, nucleus
_FAINT = 8  # of 255: less contrast than that is no object


def cell_and_nucleus(picture: Array) -> tuple[Mask, Mask]:
    """Masks ``(Y, X)`` of the main object and its darkest stained part in RGB bytes ``(Y, X, 3)``. Both may be empty.

    Purple and blue stains take away green, and more of it than of blue. Otsu's two thresholds part three classes of pixels:
    the nucleus is the most stained, the cell is what is not the brightest in green and joined to the nucleus.
    """
    smooth = cv2.GaussianBlur(picture, (0, 0), max(picture.shape[:2]) / 100)
    red, green, blue = (smooth[..., channel].astype(np.int16) for channel in range(3))
    stain = np.clip(255 - green + (blue - green) // 2 + (blue - red) // 2, 0, 510) // 2
    nucleus = _main(_above(stain.astype(np.uint8), 1))
    return _joined_to(_above(255 - smooth[..., 1], 0) | nucleus, nucleus), nucleus


def _above(strength: NDArray[np.uint8], threshold: int) -> Mask:
    """Pixels above the first (0) or second (1) of Otsu's thresholds; none where there are hardly any values."""
    if int(strength.max()) - int(strength.min()) < _FAINT or len(np.unique(strength)) <= _CLASSES:
        return np.zeros(strength.shape, bool)
    above: Mask = strength > threshold_multiotsu(strength, _CLASSES)[threshold]
    return above


def _main(mask: Mask) -> Mask:
    """The main piece, near the middle, with pieces near it: lobes of a nucleus may lie apart; no specks, no far neighbours."""
    count, labels, facts, centres = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    if count < 2:
        return np.zeros(mask.shape, bool)
    middle = np.array(mask.shape[::-1]) / 2
    area = facts[1:, cv2.CC_STAT_AREA]
    away = np.linalg.norm(centres[1:] - middle, axis=1) / np.linalg.norm(middle)
    main = int(np.argmax(area * np.exp(-3 * away**2)))
    reach = 1.5 * np.sqrt(area[main] / np.pi) + 0.1 * max(mask.shape)
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
