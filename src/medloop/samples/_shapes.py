"""Solid shapes as signed distances in millimetres (negative inside), painted softly on a grid of voxels.

Coordinates are ``(3, Z, Y, X)`` float32 arrays of x, y, z in millimetres (LPS). A voxel that a surface cuts gets a share of both
tissues (partial volume): the share falls linearly over ``edge_mm`` around the surface.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from medloop.types import Array, Floats

Distance = Callable[[Floats], Floats]
"""Takes coordinates ``(3, ...)`` in mm, gives the signed distance ``(...)`` in mm."""
Texture = Callable[[Floats], Floats]
"""Takes coordinates ``(3, ...)`` in mm, gives Hounsfield units ``(...)``."""
Point = tuple[float, float, float]
_MARGIN_MM = 14.0
"""How far a surface may be moved by the warp of the anatomy and the soft edge."""


@dataclass(frozen=True, slots=True)
class Solid:
    """A shape with the box that holds it. ``low`` and ``high`` are corners ``(x, y, z)`` in mm before warping."""

    distance: Distance
    low: Point
    high: Point


@dataclass(frozen=True, slots=True, eq=False)
class Canvas:
    """A volume being painted.

    ``rigid``: ``(3, Z, Y, X)`` coordinates in the patient's own frame. ``warped``: the same after the patient's warp; anatomy is
    drawn in them. ``hu``: ``(Z, Y, X)`` float32. ``labels``: ``(Z, Y, X)`` uint8. ``edge_mm``: width of soft edges. ``spans``: for
    each of x, y, z the lowest and highest coordinate ``(2, n)`` met along that axis of the grid.
    """

    rigid: Floats
    warped: Floats
    hu: Floats
    labels: Array
    edge_mm: float
    spans: tuple[Floats, Floats, Floats]

    @classmethod
    def blank(cls, rigid: Floats, warped: Floats, edge_mm: float) -> Canvas:
        """A canvas of air."""
        shape = rigid.shape[1:]
        spans = [np.stack([rigid[i].min(others), rigid[i].max(others)]) for i, others in enumerate(((0, 1), (0, 2), (1, 2)))]
        hu = np.full(shape, -1000, np.float32)
        return cls(rigid, warped, hu, np.zeros(shape, np.uint8), edge_mm, (spans[0], spans[1], spans[2]))

    def box(self, solid: Solid) -> tuple[slice, slice, slice] | None:
        """The part of the grid that can touch the solid, or None."""
        slices = []
        for (least, most), low, high in zip(self.spans, solid.low, solid.high, strict=True):
            where = np.flatnonzero((most > low - _MARGIN_MM) & (least < high + _MARGIN_MM))
            if not where.size:
                return None
            slices.append(slice(int(where[0]), int(where[-1]) + 1))
        return slices[2], slices[1], slices[0]

    def paint(
        self, solid: Solid, hu: float | Texture, label: int | None = None, *, rigid: bool = False, edge_mm: float = 0.0
    ) -> None:
        """Fill the solid with ``hu`` (a number, or a function of the coordinates).

        ``label`` None leaves the label map as it is. ``rigid`` draws in the unwarped frame. An ``edge_mm`` wider than the canvas's
        own makes the border softer.
        """
        where = self.box(solid)
        if where is None:
            return
        points = (self.rigid if rigid else self.warped)[(slice(None), *where)]
        share = soften(solid.distance(points), max(edge_mm, self.edge_mm))
        value = hu(points) if callable(hu) else hu
        part = self.hu[where]
        part += share * (value - part)
        if label is not None:
            self.labels[where][share > 0.5] = label


def soften(distance: Floats, edge_mm: float) -> Floats:
    """The share of tissue: 1 inside, 0 outside, linear over ``edge_mm`` at the surface."""
    share: Floats = np.clip(0.5 - distance / np.float32(edge_mm), 0, 1)
    return share


def turn(x_deg: float, y_deg: float, z_deg: float) -> Floats:
    """The rotation matrix ``(3, 3)`` about x, then y, then z, in degrees."""
    a, b, c = np.deg2rad([x_deg, y_deg, z_deg])
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    about_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return np.asarray(about_z @ about_y @ about_x, dtype=np.float32)


def ellipsoid(centre: Point, radii: Point, angles: Point = (0.0, 0.0, 0.0)) -> Solid:
    """An ellipsoid turned by ``angles`` in degrees about x, y, z. The distance is of first order near the surface."""
    middle = np.asarray(centre, np.float32)
    size = np.asarray(radii, np.float32)
    matrix = turn(*angles).T / size[:, None]

    def distance(points: Floats) -> Floats:
        moved = [points[axis] - middle[axis] for axis in range(3)]
        near = [matrix[i, 0] * moved[0] + matrix[i, 1] * moved[1] + matrix[i, 2] * moved[2] for i in range(3)]
        k0 = np.sqrt(near[0] ** 2 + near[1] ** 2 + near[2] ** 2)
        k1 = np.sqrt(sum((near[i] / size[i]) ** 2 for i in range(3)))
        return np.asarray(k0 * (k0 - 1) / np.maximum(k1, 1e-6), np.float32)

    reach = np.abs(turn(*angles)) @ size
    return Solid(distance, _point(middle - reach), _point(middle + reach))


def tube(path: list[Point], radii: list[float]) -> Solid:
    """A tube along a path of straight pieces, its radius running from one corner's to the next."""
    corners = np.asarray(path, np.float32)

    def distance(points: Floats) -> Floats:
        best: Floats | None = None
        for start, end, r0, r1 in zip(corners[:-1], corners[1:], radii[:-1], radii[1:], strict=True):
            along = end - start
            moved = [points[axis] - start[axis] for axis in range(3)]
            share = np.clip((moved[0] * along[0] + moved[1] * along[1] + moved[2] * along[2]) / (along @ along), 0, 1)
            far = np.sqrt(sum((moved[axis] - share * along[axis]) ** 2 for axis in range(3)))
            this = far - (r0 + share * np.float32(r1 - r0))
            best = this if best is None else np.minimum(best, this)
        assert best is not None
        return best

    reach = max(radii)
    return Solid(distance, _point(corners.min(0) - reach), _point(corners.max(0) + reach))


def shell(solid: Solid, thick_mm: float) -> Solid:
    """The same shape grown by ``thick_mm`` (shrunk where it is negative)."""
    low = _point(np.asarray(solid.low) - thick_mm)
    high = _point(np.asarray(solid.high) + thick_mm)
    return Solid(lambda points: solid.distance(points) - np.float32(thick_mm), low, high)


def joined(a: Solid, b: Solid, blend_mm: float) -> Solid:
    """The union of two shapes, its seam rounded over ``blend_mm``."""

    def distance(points: Floats) -> Floats:
        first, second = a.distance(points), b.distance(points)
        mix = np.clip(0.5 + 0.5 * (second - first) / blend_mm, 0, 1)
        return np.asarray(second + mix * (first - second) - blend_mm * mix * (1 - mix), np.float32)

    return Solid(distance, _point(np.minimum(a.low, b.low) - blend_mm / 4), _point(np.maximum(a.high, b.high) + blend_mm / 4))


def without(solid: Solid, hole: Distance) -> Solid:
    """The shape less where ``hole`` is negative."""
    return Solid(lambda points: np.maximum(solid.distance(points), -hole(points)), solid.low, solid.high)


def within(solid: Solid, bounds: Distance) -> Solid:
    """The part of the shape where ``bounds`` is negative."""
    return Solid(lambda points: np.maximum(solid.distance(points), bounds(points)), solid.low, solid.high)


def _point(values: Floats) -> Point:
    return float(values[0]), float(values[1]), float(values[2])
