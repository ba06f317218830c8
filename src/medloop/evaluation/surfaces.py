"""How far the borders of masks lie apart: 95 % Hausdorff distance and surface Dice, as MONAI defines them.

``hd95``: of the distances from each border voxel of one mask to the nearest of the other, the 95th percentile, the worse of both
ways (Huttenlocher et al. 1993; ``monai.metrics.compute_hausdorff_distance``). ``surface_dice``: the share of the border voxels of
both that lie within `TOLERANCE` of the other's border (Nikolov et al., J Med Internet Res 2021;
``monai.metrics.compute_surface_dice``). Both come from one pair of distances, without torch. Distances are in mm; where the spacing
is unknown they are in pixels and the figure's name ends in ``_px``. A class that only one of truth and answer has is nowhere near:
no Hausdorff distance (NaN, left out, and told), a surface Dice of 0. One that neither has says nothing. What is unknown of the
truth is taken as answered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import KDTree

from medloop.evaluation import intervals, overlap, weighted
from medloop.types import UNKNOWN, Array, Floats, Integers, Metric, SpacingMm

TOLERANCE = 2.0
"""How far a border may be off in surface Dice, in mm (or pixels)."""
_PERCENTILE = 95.0


@dataclass(frozen=True, slots=True, eq=False)
class Surfaces:
    """Of one case: ``hd95`` and ``surface_dice`` ``(P,)`` of each class and, of several, of all joined; ``unit`` mm or px."""

    hd95: Floats
    surface_dice: Floats
    unit: str


class HasSurfaces(Protocol):
    """What carries the distances of one case."""

    @property
    def hd95(self) -> Floats: ...  # noqa: D102

    @property
    def surface_dice(self) -> Floats: ...  # noqa: D102

    @property
    def unit(self) -> str: ...  # noqa: D102


def compare(truth: Array, answer: Array, classes: int, spacing_mm: SpacingMm | None, tolerance: float = TOLERANCE) -> Surfaces:
    """Masks ``(Z, Y, X)`` of one case on one grid, of K classes; a mask of one slice is a picture."""
    answer = np.where(answer == UNKNOWN, 0, answer)
    truth = np.where(truth == UNKNOWN, answer, truth)
    pairs = [(truth == k, answer == k) for k in range(1, classes + 1)]
    if classes > 1:
        pairs.append((truth > 0, answer > 0))
    spacing = spacing_mm or (1.0, 1.0, 1.0)
    found = np.array([_distances(*pair, spacing, tolerance) for pair in pairs]).reshape(-1, 2)
    return Surfaces(found[:, 0], found[:, 1], "px" if spacing_mm is None else "mm")


def _distances(truth: NDArray[np.bool_], answer: NDArray[np.bool_], spacing: SpacingMm, tolerance: float) -> tuple[float, float]:
    """``hd95`` and surface Dice of one class."""
    if not truth.any() or not answer.any():
        return np.nan, np.nan if truth.any() == answer.any() else 0.0
    box, flat = _box(truth | answer), truth.shape[0] == 1
    borders = [_border(mask[box], flat) * np.array(spacing) for mask in (answer, truth)]
    away = [KDTree(there).query(here)[0] for here, there in (borders, borders[::-1])]
    far = max(float(np.percentile(each, _PERCENTILE)) for each in away)
    return far, float(np.mean(np.concatenate(away) <= tolerance))


def _border(mask: NDArray[np.bool_], flat: bool) -> Integers:
    """``(n, 3)`` places of the voxels that touch the outside by a face, in a flat picture by an edge."""
    inside = np.pad(mask, [(0, 0) if flat else (1, 1), (1, 1), (1, 1)])
    structure = ndimage.generate_binary_structure(3, 1)
    if flat:
        structure = structure & np.array([False, True, False])[:, None, None]
    return np.argwhere(inside & ~ndimage.binary_erosion(inside, structure))


def _box(there: NDArray[np.bool_]) -> tuple[slice, ...]:
    """The smallest box around what is there."""
    lines = [np.flatnonzero(there.any(axis=tuple(other for other in range(3) if other != axis))) for axis in range(3)]
    return tuple(slice(int(line[0]), int(line[-1]) + 1) for line in lines)


def score(classes: Sequence[str], cases: Sequence[HasSurfaces], patients: Integers, seed: int = 0) -> dict[str, Metric]:
    """``hd95_mm``, ``surface_dice``, both of each class (``hd95_mm_<class>``); of cases in pixels ``hd95_px``, ``surface_dice_px``.

    ``patients``: ``(N,)``; equal numbers are resampled together.
    """
    found: dict[str, Metric] = {}
    for unit, suffix in (("mm", ""), ("px", "_px")):
        which = np.array([each.unit == unit for each in cases], dtype=bool)
        if which.any():
            chosen = [each for each in cases if each.unit == unit]
            far, close = np.stack([each.hd95 for each in chosen]), np.stack([each.surface_dice for each in chosen])
            apart = (close == 0) & np.isnan(far)
            distances = _figures(f"hd95_{unit}", classes, far, patients[which], seed)
            found |= _told(distances, apart) | _figures(f"surface_dice{suffix}", classes, close, patients[which], seed)
    return found


def _figures(name: str, classes: Sequence[str], values: Floats, patients: Integers, seed: int) -> dict[str, Metric]:
    """The mean over cases of each class and of all joined, and over the classes of that."""
    parts = overlap.parts(classes)
    each = [overlap.known_mean(column) for column in values.T[: len(parts)]]
    statistics = {name: weighted.macro(each[: len(classes)])}
    statistics |= {f"{name}_{part}": one for part, one in zip(parts, each, strict=True)}
    return intervals.bootstrap(statistics, patients, seed)


def _told(distances: dict[str, Metric], apart: NDArray[np.bool_]) -> dict[str, Metric]:
    """The distances, each with how many cases it leaves out because only one of truth and answer has the class."""
    counts = [int(apart.any(axis=1).sum()), *apart.sum(axis=0).tolist()]
    told = [
        overlap.left_out(metric, count, len(apart))
        for metric, count in zip(distances.values(), counts[: len(distances)], strict=True)
    ]
    return dict(zip(distances, told, strict=True))
