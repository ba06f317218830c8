"""Masks: what each voxel belongs to. 0 is none of the classes, k + 1 the k-th.

Scores are what a network says of each voxel, ``(K + 1, Z, Y, X)``: probabilities that sum to 1, or the same as uint8 (`quantised`),
so that those of a whole collection can lie on disk.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medloop.targets._cleaning import Cleaning, clean, clean_slabs, learn_cleaning, slabs
from medloop.targets._components import Instances, instances
from medloop.targets._doubt import doubtful, part_scores
from medloop.targets._drawing import colour, contoured, filled
from medloop.targets._mask_figures import MaskTally, compared, merit, metrics, rivals, tally
from medloop.types import UNKNOWN, Array, Findings, Floats, Target, TargetKind

__all__ = [
    "KIND",
    "Cleaning",
    "Instances",
    "MaskTally",
    "clean",
    "clean_slabs",
    "colour",
    "compared",
    "decode",
    "doubtful",
    "instances",
    "learn_cleaning",
    "merit",
    "metrics",
    "overlay",
    "part_scores",
    "picture",
    "quantised",
    "rivals",
    "slabs",
    "slice_of",
    "tally",
]

KIND = TargetKind.MASKS


def decode(scores: Array) -> NDArray[np.uint8]:
    """Scores ``(K + 1, Z, Y, X)`` to the class of each voxel ``(Z, Y, X)``; of equal scores the first wins."""
    return np.asarray(np.argmax(scores, axis=0), np.uint8)


def quantised(scores: Floats) -> NDArray[np.uint8]:
    """Probabilities from 0 to 1 as 0 to 255."""
    return np.asarray(np.rint(np.clip(scores, 0, 1) * 255), np.uint8)


def slice_of(found: Findings, truth: Findings | None = None) -> int:
    """The slice with most of what is true; where nothing is, of what was found."""
    for each in (truth, found):
        if each is not None and each.mask is not None:
            areas = ((each.mask != 0) & (each.mask != UNKNOWN)).sum(axis=(1, 2))
            if areas.any():
                return int(areas.argmax())
    return 0


def overlay(rgb: Array, mask: Array, truth: Array | None = None) -> NDArray[np.uint8]:
    """``rgb`` ``(Y, X, 3)`` uint8 with ``mask`` ``(Y, X)`` laid over it and the contours of ``truth`` (see `colour`)."""
    drawn = filled(rgb, mask)
    return drawn if truth is None else contoured(drawn, truth)


def picture(rgb: Array, target: Target, found: Findings, truth: Findings | None = None, z: int = 0) -> NDArray[np.uint8]:
    """The slice ``z``: the answer filled, the truth as contours."""
    del target
    drawn = np.array(rgb, np.uint8) if found.mask is None else filled(rgb, found.mask[z])
    return drawn if truth is None or truth.mask is None else contoured(drawn, truth.mask[z])
