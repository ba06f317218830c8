"""Connected parts of a mask: voxels that touch by a face, an edge or a corner belong together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medloop.types import UNKNOWN, Array, Integers

_TOUCHING = np.ones((3, 3, 3))


@dataclass(frozen=True, slots=True, eq=False)
class Instances:
    """The connected parts of each class of a mask.

    ``labels``: ``(Z, Y, X)`` int32, 0 where nothing is, i the i-th part. ``classes``: ``(n,)`` the mask's value of each part;
    ``sizes``: ``(n,)`` voxels. Parts are in the order of their class, the largest of a class first.
    """

    labels: NDArray[np.int32]
    classes: Integers
    sizes: Integers


def parts(there: NDArray[np.bool_]) -> tuple[NDArray[np.int32], Integers]:
    """Labels ``(Z, Y, X)`` of the connected parts, and the voxels of each label, ``(n + 1,)`` with those of none at 0."""
    labels, count = ndimage.label(there, _TOUCHING)
    return labels, np.bincount(labels.ravel(), minlength=count + 1)


def instances(mask: NDArray[np.uint8]) -> Instances:
    """Every connected part of every class of a mask ``(Z, Y, X)``."""
    labels = np.zeros(mask.shape, np.int32)
    classes: list[int] = []
    sizes: list[Array] = []
    for value in np.unique(mask[(mask != 0) & (mask != UNKNOWN)]):
        found, voxels = parts(mask == value)
        order = np.argsort(-voxels[1:], kind="stable") + 1
        numbers = np.zeros(len(voxels), np.int32)
        numbers[order] = np.arange(len(order)) + len(classes) + 1
        for slab, numbered in zip(labels, found, strict=True):
            slab += numbers[numbered]
        classes += [int(value)] * len(order)
        sizes.append(voxels[order])
    return Instances(labels, np.array(classes, np.int64), np.concatenate([np.zeros(0, np.int64), *sizes]).astype(np.int64))


def largest(there: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], int]:
    """The largest connected part (of equal ones the first) and how many there are."""
    labels, voxels = parts(there)
    if len(voxels) == 1:
        return there, 0
    return labels == np.argmax(voxels[1:]) + 1, len(voxels) - 1
