"""Boxes of one image, checked: what has no area or lies outside is told and left out, what sticks out is cut off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from medloop.labels._labelled import problem
from medloop.types import Json

_STICKS_OUT = 1.0


@dataclass(frozen=True, slots=True)
class Box:
    """``name`` of the class, edges in pixels and slices (pixel i covers i to i + 1), ``where``: which box of its file."""

    name: str
    x0: float
    y0: float
    x1: float
    y1: float
    where: str
    z0: float = 0.0
    z1: float = 1.0

    @property
    def edges(self) -> NDArray[np.float64]:
        """z, y, x from, z, y, x to."""
        return np.array([self.z0, self.y0, self.x0, self.z1, self.y1, self.x1])


@dataclass(frozen=True, slots=True, eq=False)
class Checked:
    """``names`` and ``edges`` ``(k, 6)`` (z, y, x from, z, y, x to) of the boxes that can be used; ``problems`` of the others."""

    names: list[str] = field(default_factory=list)
    edges: list[tuple[float, ...]] = field(default_factory=list)
    problems: list[dict[str, Json]] = field(default_factory=list)

    def encoded(self, classes: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Boxes ``(k, 6)`` and classes ``(k,)``."""
        place = {name: k for k, name in enumerate(classes)}
        edges = np.array(self.edges, dtype=np.float64).reshape(-1, 6)
        return edges, np.array([place[name] for name in self.names], dtype=np.int64)


def checked(boxes: Sequence[Box], shape: Sequence[int], file: str) -> Checked:
    """The boxes of an image of this shape ``(Z, Y, X)`` that can be used."""
    done = Checked()
    for box in boxes:
        inside = np.clip(box.edges, 0, np.tile(np.asarray(shape, np.float64), 2))
        if why := _why_not(box, inside, shape):
            done.problems.append(problem(None, file, f"{box.where} {why}"))
        if (inside[3:] > inside[:3]).all():
            done.names.append(box.name)
            done.edges.append(tuple(inside.tolist()))
    return done


def _why_not(box: Box, inside: NDArray[np.float64], shape: Sequence[int]) -> str:
    deep = shape[0] > 1
    low, high = (", ".join(f"{each:g}" for each in corner[::-1][: 3 if deep else 2]) for corner in (box.edges[:3], box.edges[3:]))
    edges, image = f"({low}) to ({high})", " × ".join(map(str, tuple(shape)[::-1][: 3 if deep else 2]))
    if not np.isfinite(box.edges).all():
        return "has edges that are no numbers; it is left out"
    if (box.edges[3:] <= box.edges[:3]).any():
        return f"has no {'volume' if deep else 'area'}, {edges}; it is left out"
    if (inside[3:] <= inside[:3]).any():
        return f"lies outside the image of {image}, {edges}; it is left out"
    if np.abs(inside - box.edges).max() > _STICKS_OUT:
        return f"sticks out of the image of {image}, {edges}; it is cut off there"
    return ""
