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
    """``name`` of the class, edges in pixels (pixel i covers i to i + 1), ``where``: which box of its file."""

    name: str
    x0: float
    y0: float
    x1: float
    y1: float
    where: str


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


def checked(boxes: Sequence[Box], width: int, height: int, file: str) -> Checked:
    """The boxes of an image of this size that can be used."""
    done = Checked()
    for box in boxes:
        x0, y0, x1, y1 = max(0.0, box.x0), max(0.0, box.y0), min(float(width), box.x1), min(float(height), box.y1)
        if why := _why_not(box, (x0, y0, x1, y1), width, height):
            done.problems.append(problem(None, file, f"{box.where} {why}"))
        if x1 > x0 and y1 > y0:
            done.names.append(box.name)
            done.edges.append((0.0, y0, x0, 1.0, y1, x1))
    return done


def _why_not(box: Box, inside: tuple[float, float, float, float], width: int, height: int) -> str:
    x0, y0, x1, y1 = inside
    edges = f"({box.x0:g}, {box.y0:g}) to ({box.x1:g}, {box.y1:g})"
    if not np.isfinite([box.x0, box.y0, box.x1, box.y1]).all():
        return "has edges that are no numbers; it is left out"
    if box.x1 <= box.x0 or box.y1 <= box.y0:
        return f"has no area, {edges}; it is left out"
    if x1 <= x0 or y1 <= y0:
        return f"lies outside the image of {width} × {height}, {edges}; it is left out"
    if max(x0 - box.x0, y0 - box.y0, box.x1 - x1, box.y1 - y1) > _STICKS_OUT:
        return f"sticks out of the image of {width} × {height}, {edges}; it is cut off there"
    return ""
