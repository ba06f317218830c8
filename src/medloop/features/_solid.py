"""Numbers that say the shape of one mask ``(Z, Y, X)``; a picture is a mask of one slice."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError
from skimage import measure

from medloop.types import Array

Spacing = tuple[float, ...]
Solid = NDArray[np.bool_]


def describe(solid: Solid, spacing: Spacing, profile: int, views: bool) -> Array:
    """All numbers of one mask in a fixed order; zeros where the mask is empty."""
    if solid.shape[0] == 1:
        solid, spacing = solid[0], spacing[1:]
    sides = solid.ndim
    if not solid.any():
        return describe(np.ones((3,) * sides if sides == 3 else (1, 3, 3), bool), (1.0, 1.0, 1.0), profile, views) * 0
    solid = np.pad(_boxed(solid), 1)
    points = np.argwhere(solid) * np.array(spacing)
    axes = _axes(points)
    surface = _surface(solid, spacing)
    numbers = [
        *_size(solid, spacing, points, surface),
        *axes,
        *_topology(solid),
        *_thickness(solid, spacing, profile),
        *_radial(points, profile),
    ]
    if views:
        numbers += _views(solid, spacing)
    if profile:
        numbers += _profiles(solid, profile)
    return np.array(numbers, np.float64)


def _boxed(solid: Solid) -> Solid:
    (box,) = ndimage.find_objects(solid.astype(np.uint8))
    boxed: Solid = solid[box]
    return boxed


def _surface(solid: Solid, spacing: Spacing) -> float:
    """Area in square millimetres of a volume's surface (marching cubes), or a picture's perimeter in millimetres."""
    smooth = ndimage.gaussian_filter(np.pad(solid, 1).astype(np.float32), 0.5)
    if solid.ndim == 2:
        outline = measure.find_contours(smooth, 0.5)
        return sum(float(np.linalg.norm(np.diff(line * np.array(spacing), axis=0), axis=1).sum()) for line in outline)
    if smooth.max() <= 0.5:
        return 6.0 * int(solid.sum()) * float(np.prod(spacing) ** (2 / 3))
    corners, faces, _, _ = measure.marching_cubes(smooth, 0.5, spacing=spacing)
    return float(measure.mesh_surface_area(corners, faces))


def _size(solid: Solid, spacing: Spacing, points: Array, surface: float) -> list[float]:
    """Volume, surface, their ratio, roundness, hull, box and how full they are."""
    sides = solid.ndim
    volume = float(len(points)) * float(np.prod(spacing))
    box = np.array([side - 2 for side in solid.shape]) * np.array(spacing)
    if sides == 3:
        round_ = np.pi ** (1 / 3) * (6 * volume) ** (2 / 3) / max(surface, 1e-9)
    else:
        round_ = 2 * np.sqrt(np.pi * volume) / max(surface, 1e-9)
    hull, hull_surface, across = _hull(points, spacing, volume, surface)
    ordered = np.sort(box)
    return [
        volume,
        np.log(volume),
        volume ** (1 / sides),
        surface,
        surface / volume,
        surface / volume ** ((sides - 1) / sides),
        round_,
        hull,
        volume / hull,
        surface / hull_surface,
        across,
        volume / max(across, 1e-9) ** sides,
        *box,
        *ordered,
        float(np.prod(box)),
        volume / float(np.prod(box)),
        ordered[0] / ordered[-1],
    ]


def _hull(points: Array, spacing: Spacing, volume: float, surface: float) -> tuple[float, float, float]:
    """Size and surface of the convex hull of the voxels' corners, and the largest distance across."""
    sides = len(spacing)
    offsets = (np.stack(np.meshgrid(*[(-0.5, 0.5)] * sides, indexing="ij"), -1).reshape(-1, sides)) * np.array(spacing)
    outer = _outer(points)
    corners = (outer[:, None] + offsets).reshape(-1, sides)
    try:
        hull = ConvexHull(corners)
    except QhullError:
        return volume, surface, float(np.linalg.norm(np.ptp(corners, axis=0)))
    tips = corners[hull.vertices]
    across = np.sqrt(((tips[:, None] - tips) ** 2).sum(-1).max())
    return float(hull.volume), float(hull.area), float(across)


def _outer(points: Array) -> Array:
    """The first and last point of every line along the last axis: all that a hull can touch."""
    start = np.ones(len(points), bool)
    start[1:] = (points[1:, :-1] != points[:-1, :-1]).any(1)
    return points[start | np.roll(start, -1)]


def _axes(points: Array) -> list[float]:
    """Principal axes: spreads, their ratios, directions; higher moments along them; centre of the box against the centroid."""
    sides = points.shape[1]
    centred = points - points.mean(0)
    spread = centred.T @ centred / len(points) + np.eye(sides) / 12
    values, vectors = np.linalg.eigh(spread)
    lengths = np.sqrt(np.maximum(values[::-1], 1e-12))
    vectors = vectors[:, ::-1]
    along = centred @ vectors / lengths
    ratios = [lengths[first] / lengths[second] for first in range(1, sides) for second in range(first)]
    middle = (points.min(0) + points.max(0)) / 2
    shift = np.abs(points.mean(0) - middle) / np.maximum(np.ptp(points, axis=0), 1)
    volume = len(points)
    flat = float(np.prod(lengths)) / volume
    return [
        *lengths,
        *ratios,
        flat,
        *np.abs(vectors[:, 0]),
        *np.abs(vectors[:, -1]),
        *np.abs((along**3).mean(0)),
        *(along**4).mean(0),
        *shift,
    ]


def _topology(solid: Solid) -> list[float]:
    """Parts, the share of the largest, holes (Euler number), voxels with few neighbours."""
    sides = solid.ndim
    labels, count = ndimage.label(solid, np.ones((3,) * sides))
    largest = np.bincount(labels.ravel())[1:].max() / solid.sum()
    neighbours = ndimage.convolve(solid.astype(np.int16), np.ones((3,) * sides, np.int16), mode="constant")[solid] - 1
    filled = ndimage.binary_fill_holes(solid)
    return [
        count,
        largest,
        float(measure.euler_number(solid, connectivity=sides)),
        float(filled.sum() / solid.sum()) - 1,
        float(neighbours.mean()) / (3**sides - 1),
        float(neighbours.std()) / (3**sides - 1),
        float((neighbours == 3**sides - 1).mean()),
        float((neighbours < 3**sides / 3).mean()),
    ]


def _thickness(solid: Solid, spacing: Spacing, profile: int) -> list[float]:
    """Distance to the border: of all voxels and of the ridge (local maxima), whose distances are half thicknesses."""
    distance = ndimage.distance_transform_edt(solid, sampling=spacing)
    inside = distance[solid]
    ridge = distance[(distance == ndimage.maximum_filter(distance, 3)) & solid]
    size = len(inside) ** (1 / solid.ndim)
    numbers = [
        inside.mean(),
        inside.std(),
        inside.max(),
        inside.max() / size,
        *np.percentile(inside, (50, 75, 90)),
        ridge.mean(),
        ridge.std(),
        np.median(ridge),
        float(len(ridge)) / len(inside),
        ridge.sum() / inside.sum(),
    ]
    if profile:
        unit = float(min(spacing))
        steps = np.arange(1, profile + 1) * unit
        numbers += [float((inside > step).mean()) for step in steps]
    return [float(number) for number in numbers]


def _radial(points: Array, profile: int) -> list[float]:
    """Distances from the centroid: moments and, along equal steps out to the farthest, shares."""
    away = np.linalg.norm(points - points.mean(0), axis=1)
    mean = max(float(away.mean()), 1e-9)
    numbers = [mean, float(away.std()) / mean, float(away.max()) / mean, float(((away - mean) ** 3).mean()) / mean**3]
    if profile:
        shares, _ = np.histogram(away / max(float(away.max()), 1e-9), bins=profile, range=(0, 1))
        numbers += [float(share) / len(away) for share in shares]
    return numbers


def _views(solid: Solid, spacing: Spacing) -> list[float]:
    """Of each projection along an axis: area seen, its share of its box, mean and deviation of the depth."""
    if solid.ndim == 2:
        return []
    numbers = []
    for axis in range(3):
        depth = solid.sum(axis) * spacing[axis]
        seen = depth > 0
        pixel = float(np.prod([side for place, side in enumerate(spacing) if place != axis]))
        box = (seen.shape[0] - 2) * (seen.shape[1] - 2)
        numbers += [float(seen.sum()) * pixel, float(seen.sum()) / box, float(depth[seen].mean()), float(depth[seen].std())]
    return numbers


def _profiles(solid: Solid, profile: int) -> list[float]:
    """Along each axis of the box: the share of the object in each of ``profile`` equal parts."""
    numbers: list[float] = []
    for axis in range(solid.ndim):
        line = solid.sum(tuple(other for other in range(solid.ndim) if other != axis))[1:-1].astype(float)
        whole = np.concatenate([[0.0], np.cumsum(line)]) / line.sum()
        at = np.interp(np.linspace(0, len(line), profile + 1), np.arange(len(line) + 1), whole)
        numbers += list(np.diff(at))
    return numbers
