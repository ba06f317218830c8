"""Boxes along the axes: overlap, centres, sizes. Edges in voxels: voxel i covers i to i + 1, so a size is end less start."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medloop.types import Array, Floats, Integers


@dataclass(frozen=True, slots=True, eq=False)
class Boxes:
    """What is marked in one case: ``edges`` ``(n, 6)`` ``z0, y0, x0, z1, y1, x1``, ``classes`` ``(n,)``, ``scores`` ``(n,)``.

    What is true has scores of 1.
    """

    edges: Floats
    classes: Integers
    scores: Floats

    @staticmethod
    def of(edges: Array, classes: Array, scores: Array | None = None) -> Boxes:
        """From anything like arrays, also of no box."""
        edges = np.asarray(edges, np.float64).reshape(-1, 6)
        scores = np.ones(len(edges)) if scores is None else np.asarray(scores, np.float64)
        return Boxes(edges, np.asarray(classes, np.int64).reshape(-1), scores)

    @staticmethod
    def none() -> Boxes:
        """Nothing is marked."""
        return Boxes.of(np.zeros((0, 6)), np.zeros(0))

    def __len__(self) -> int:
        return len(self.edges)

    def select(self, which: Array) -> Boxes:
        """These, in this order."""
        return Boxes(self.edges[which], self.classes[which], self.scores[which])

    def of_class(self, number: int) -> Boxes:
        """Those of one class."""
        return self.select(np.flatnonzero(self.classes == number))

    def ranked(self) -> Boxes:
        """Highest score first; equal ones as they came."""
        return self.select(np.argsort(-self.scores, kind="stable"))


def volumes(edges: Floats) -> Floats:
    """``(n,)`` voxels inside each."""
    return np.asarray(np.prod(np.maximum(edges[:, 3:] - edges[:, :3], 0), axis=1))


def overlaps(first: Floats, second: Floats) -> Floats:
    """Intersection over union of each of ``first`` ``(n, 6)`` with each of ``second`` ``(m, 6)``: ``(n, m)``."""
    low = np.maximum(first[:, None, :3], second[None, :, :3])
    high = np.minimum(first[:, None, 3:], second[None, :, 3:])
    common = np.prod(np.maximum(high - low, 0), axis=2)
    union = volumes(first)[:, None] + volumes(second)[None, :] - common
    return np.asarray(np.divide(common, union, out=np.zeros_like(common), where=union > 0))


def centres(edges: Floats) -> Floats:
    """``(n, 3)`` middles ``z, y, x``."""
    return np.asarray((edges[:, :3] + edges[:, 3:]) / 2)


def centred(first: Floats, second: Floats) -> NDArray[np.bool_]:
    """Whether the centre of each of ``first`` lies inside each of ``second``: ``(n, m)``."""
    points = centres(first)[:, None]
    return np.asarray(((points >= second[None, :, :3]) & (points <= second[None, :, 3:])).all(axis=2))


def valid(edges: Floats, shape: tuple[int, int, int]) -> NDArray[np.bool_]:
    """Which boxes have a size along every axis and lie, at least in part, inside ``shape`` ``(z, y, x)``."""
    finite = np.isfinite(edges).all(axis=1)
    sized = (edges[:, 3:] > edges[:, :3]).all(axis=1)
    return np.asarray(finite & sized & (edges[:, 3:] > 0).all(axis=1) & (edges[:, :3] < np.asarray(shape)).all(axis=1))


def kept(boxes: Boxes, overlap: float) -> Integers:
    """Positions that stay, best first, when of two boxes of one class that overlap by more than ``overlap`` the better stays.

    Non-maximum suppression, greedy.
    """
    order = np.argsort(-boxes.scores, kind="stable")
    edges, classes = boxes.edges[order], boxes.classes[order]
    rivals = (overlaps(edges, edges) > overlap) & (classes[:, None] == classes[None, :])
    alive = np.ones(len(order), bool)
    for place in range(len(order)):
        if alive[place]:
            alive[place + 1 :] &= ~rivals[place, place + 1 :]
    return np.asarray(order[alive], np.int64)
