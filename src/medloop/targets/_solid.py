"""Size and shape of one solid: a mask ``(Z, Y, X)`` with a spacing. What is ``flat`` is a figure in a plane and has one slice.

Definitions are those of the IBSI reference manual (Zwanenburg et al., Radiology 2020; arXiv:1612.07003), with their codes there.
Surfaces are meshes of the mask smoothed by a voxel (the steps of a mask taken as it is raise the surface of a ball by a
twelfth), scaled so that they hold what counting voxels gives.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull
from scipy.spatial.distance import cdist
from skimage import measure

from medloop.types import Array, Floats, SpacingMm

Solid = NDArray[np.bool_]
_SMOOTH = 1.0
_NOTHING = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Diameters:
    """The longest diameter and the largest perpendicular to it, with the ends ``(2, D)`` of the longest, in units of the
    spacing."""

    longest: float
    perpendicular: float
    ends: Floats


@dataclass(frozen=True, slots=True)
class Shape:
    """``surface``: of the mesh (IBSI C0JK), of a flat figure the perimeter. ``roundness``: sphericity (QCFX); of a flat figure
    circularity, 4 pi area / perimeter squared (Cox 1927). ``elongation``: root of the second over the first principal moment
    (Q3CK), ``flatness``: of the third over the first (N17B), 1 in a flat figure's plane. ``solidity``: volume over that of the
    convex hull (R3ER). ``irregularity``: surface over that of the convex hull (7T7F)."""

    surface: float
    roundness: float
    elongation: float
    flatness: float
    solidity: float
    irregularity: float


def boxed(solid: Solid, margin: int = 0) -> tuple[slice, ...]:
    """The smallest box around what is there, wider by ``margin`` where the image goes on."""
    lines = [np.flatnonzero(solid.any(axis=tuple(other for other in range(3) if other != axis))) for axis in range(3)]
    return tuple(slice(max(0, int(line[0]) - margin), int(line[-1]) + 1 + margin) for line in lines)


def voxel_size(spacing_mm: SpacingMm | None, *, flat: bool) -> float:
    """What one voxel counts: mm2 of a picture, ml of a volume, 1 where the spacing is unknown."""
    if spacing_mm is None:
        return 1.0
    return spacing_mm[1] * spacing_mm[2] if flat else float(np.prod(spacing_mm)) / 1000


def diameters(solid: Solid, spacing: SpacingMm, *, flat: bool) -> Diameters:
    """Longest distance between two points of the border (IBSI L0JK), and the width perpendicular to it.

    Where between two voxels the border runs a mask does not say. Outermost voxels' centres are surely inside: between them it is
    too short. Half a voxel outside them (where the mesh of a mask has its corners) it is too long for what is round, as the
    farthest of many corners is taken: by 1.9 mm for phantom tumours in voxels of 4.5 mm by 2.7 mm. The middle of both is given. In
    a volume the perpendicular diameter is the longest of the shadow along the longest diameter.
    """
    mask, steps = _plane(solid, spacing, flat)
    outside, centres = (_border_points(mask, steps, out) for out in (0.5, 0.0))
    most, ends = _farthest(outside)
    along = (ends[1] - ends[0]) / most
    longest = (most + _farthest(centres)[0]) / 2
    across = [_farthest(points - np.outer(points @ along, along))[0] for points in (outside, centres)]
    shorter = (ends - ends.mean(axis=0)) * longest / most
    return Diameters(longest, min(longest, sum(across) / 2), ends.mean(axis=0) + shorter)


def shape(solid: Solid, spacing: SpacingMm, *, flat: bool) -> Shape:
    """The shape of a solid that is not empty."""
    mask, steps = _plane(solid, spacing, flat)
    full = np.pad(mask, 3).astype(np.float32)
    smooth = ndimage.gaussian_filter(full, _SMOOTH)
    if smooth.max() <= 0.5:
        smooth = full
    corners, surface, volume = _outline(smooth, steps) if flat else _mesh(smooth, steps)
    hull = ConvexHull(corners)
    roundness = 4 * np.pi * volume / surface**2 if flat else (36 * np.pi * volume**2) ** (1 / 3) / surface
    moments = _moments(np.argwhere(mask) * steps, steps)
    return Shape(
        surface=surface * float((mask.sum() * steps.prod() / volume) ** (1 - 1 / mask.ndim)),
        roundness=float(min(1.0, roundness)),
        elongation=float(np.sqrt(moments[1] / moments[0])),
        flatness=1.0 if flat else float(np.sqrt(moments[-1] / moments[0])),
        solidity=float(min(1.0, volume / hull.volume)),
        irregularity=surface / float(hull.area),
    )


def _plane(solid: Solid, spacing: SpacingMm, flat: bool) -> tuple[Solid, Floats]:
    """A flat figure in its plane ``(Y, X)`` and anything else as it is, with the spacing of its axes."""
    return (solid[0], np.array(spacing[1:])) if flat else (solid, np.array(spacing))


def _border_points(mask: Solid, steps: Floats, out: float) -> Floats:
    """Points ``out`` voxels outside the first and last voxel of each line along each axis: ``(n, D)``, in units of the spacing."""
    found = []
    for axis in range(mask.ndim):
        lines = np.moveaxis(mask, axis, -1)
        places = np.argwhere(lines.any(axis=-1))
        hit = lines[tuple(places.T)]
        for at, further in ((hit.argmax(axis=1), -out), (hit.shape[1] - 1 - hit[:, ::-1].argmax(axis=1), out)):
            found.append(np.insert(places.astype(np.float64), axis, at + further, axis=1))
    return np.asarray(np.concatenate(found) * steps)


def _farthest(points: Floats) -> tuple[float, Floats]:
    """The largest distance between two points and where it is; they may lie in a plane, on a line or in one place."""
    centred = points - points.mean(axis=0)
    _, lengths, axes = np.linalg.svd(centred, full_matrices=False)
    spread = centred @ axes[lengths > _NOTHING * max(lengths[0], 1.0)].T
    if spread.shape[1] > 1:
        tips = points[ConvexHull(spread).vertices]
    else:
        tips = points[[spread.argmin(), spread.argmax()]] if spread.size else points[[0, 0]]
    apart = cdist(tips, tips)
    first, second = np.unravel_index(apart.argmax(), apart.shape)
    return float(apart[first, second]), tips[[first, second]]


def _outline(smooth: Floats, steps: Floats) -> tuple[Floats, float, float]:
    """Corners, perimeter and area of a flat figure; holes count in both."""
    lines = [line * steps for line in measure.find_contours(smooth, 0.5)]
    around = sum(float(np.linalg.norm(np.diff(line, axis=0), axis=1).sum()) for line in lines)
    area = sum(float(np.sum(line[:-1, 0] * line[1:, 1] - line[1:, 0] * line[:-1, 1])) / 2 for line in lines)
    return np.concatenate(lines), around, abs(area)


def _mesh(smooth: Floats, steps: Floats) -> tuple[Floats, float, float]:
    """Corners, surface and volume (IBSI RNU0) of a solid, by marching cubes."""
    corners, faces, _, _ = measure.marching_cubes(smooth, 0.5, spacing=tuple(steps))
    sides = corners[faces].astype(np.float64)
    crossed = np.cross(sides[:, 1] - sides[:, 0], sides[:, 2] - sides[:, 0])
    volume = abs(float(np.einsum("ij,ij->", sides[:, 0], crossed))) / 6
    return corners, float(np.linalg.norm(crossed, axis=1).sum()) / 2, volume


def _moments(points: Floats, steps: Floats) -> Array:
    """Principal moments ``(D,)``, largest first; each voxel is a box, not a point."""
    centred = points - points.mean(axis=0)
    return np.linalg.eigvalsh(centred.T @ centred / len(points) + np.diag(steps**2) / 12)[::-1]
