"""The shape of the stained object of a colour picture: cell and nucleus, lobes of the nucleus, grain of the cell's body.

What tells white blood cells apart by hand: how large the nucleus is against the cell, how many lobes it has, how
smooth its outline is, how grainy and how pink the rest of the cell is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from skimage import measure

from medloop.compute import Compute
from medloop.features._contract import Rows, State
from medloop.features._pixels import colour, stacked
from medloop.features._stain import cell_and_nucleus
from medloop.prepared.arrays import PreparedArrays
from medloop.types import Array

VERSION = 2
_OUTLINE = 12


@dataclass(frozen=True)
class Params:
    """``grain``: also the texture of nucleus and body."""

    grain: bool = True


CHOICES: tuple[Params, ...] = (Params(), Params(grain=False))


def suits(arrays: PreparedArrays) -> bool:
    """Colour pictures of at least 24 pixels a side."""
    return arrays.colour and arrays.shape[0] == 3 and arrays.shape[1] == 1 and min(arrays.shape[2:]) >= 24


def fit(arrays: PreparedArrays, indices: Array, params: Params, seed: int, compute: Compute) -> dict[str, Array]:
    """Nothing is learnt."""
    del arrays, indices, params, seed, compute
    return {}


def extract(batch: Array, params: Params, state: State) -> Rows:
    """``(N, 3, 1, Y, X)`` to ``(N, D)``."""
    del state
    return stacked(_describe(picture, params) for picture in colour(batch))


def _describe(picture: Array, params: Params) -> Array:
    cell, nucleus = cell_and_nucleus(picture)
    numbers = [*_outline(nucleus), *_lobes(nucleus), *_outline(cell), *_together(cell, nucleus)]
    if params.grain:
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
        numbers += [*_grain(grey, nucleus), *_grain(grey, cell & ~nucleus)]
    return np.array(numbers, np.float64)


def _outline(mask: Array) -> list[float]:
    """Area, outline, roundness, solidity, eccentricity, extent, invariant moments; zeros where there is nothing."""
    area = float(mask.sum())
    if area < 4:
        return [0.0] * (11 + 7 + _OUTLINE)
    (facts,) = measure.regionprops(mask.astype(np.uint8))
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    perimeter = sum(cv2.arcLength(outline, True) for outline in outlines)
    hull = cv2.convexHull(np.concatenate(outlines))
    hull_perimeter = max(cv2.arcLength(hull, True), 1e-6)
    invariant = cv2.HuMoments(cv2.moments(mask.astype(np.uint8), True)).ravel()
    return [
        area / mask.size,
        float(np.sqrt(area)),
        perimeter / np.sqrt(area),
        4 * np.pi * area / max(perimeter, 1e-6) ** 2,
        perimeter / hull_perimeter,
        area / max(cv2.contourArea(hull), 1.0),
        facts.eccentricity,
        facts.extent,
        facts.axis_minor_length / max(facts.axis_major_length, 1e-6),
        float(facts.euler_number),
        float(len(outlines)),
        *np.copysign(np.abs(invariant) ** 0.25, invariant),
        *_waves(outlines),
    ]


def _waves(outlines: Sequence[Array]) -> Array:
    """Strengths of the first waves of the longest outline's distance from its centre (Fourier descriptors)."""
    line = max(outlines, key=len)[:, 0].astype(np.float64)
    centred = line - line.mean(0)
    away = np.hypot(*centred.T)
    turns = np.unwrap(np.arctan2(centred[:, 1], centred[:, 0]))
    order = np.argsort(turns % (2 * np.pi))
    even = np.interp(np.linspace(0, 2 * np.pi, 64, endpoint=False), (turns % (2 * np.pi))[order], away[order], period=2 * np.pi)
    strengths: Array = np.abs(np.fft.rfft(even))[1 : _OUTLINE + 1] / max(float(even.sum()), 1e-9)
    return strengths


def _lobes(nucleus: Array) -> list[float]:
    """Lobes: separate pieces, pieces left by erosion, peaks of the distance to the border, depth of the outline's notches."""
    area = float(nucleus.sum())
    if area < 4:
        return [0.0] * 12
    distance = _to_border(nucleus)
    radius = np.sqrt(area / np.pi)
    smooth = cv2.GaussianBlur(distance, (0, 0), radius / 8)
    peaks = (smooth == cv2.dilate(smooth, np.ones((int(radius / 2) | 1,) * 2))) & (smooth > 0.35 * smooth.max())
    kept = [(distance > share * distance.max()).astype(np.uint8) for share in (0, 0.3, 0.5, 0.7)]
    pieces = [float(cv2.connectedComponents(mask)[0] - 1) for mask in kept]
    inside = distance[nucleus]
    return [
        *pieces,
        float(cv2.connectedComponents(peaks.astype(np.uint8))[0] - 1),
        float(distance.max()) / radius,
        float(inside.mean()) / radius,
        float(inside.std()) / radius,
        *_notches(nucleus, float(radius)),
    ]


def _to_border(mask: Array) -> Array:
    """Distance of each pixel of the mask to the nearest pixel outside, pixels."""
    padded = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    distance: Array = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    return distance


def _notches(nucleus: Array, radius: float) -> list[float]:
    """How many deep notches the outline has, the deepest two, and their sum, in radii of a disc of equal area."""
    outlines, _ = cv2.findContours(nucleus.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outline = max(outlines, key=len)
    hull = cv2.convexHull(outline, returnPoints=False)
    depths = np.zeros(2)
    if len(outline) > 3 and len(hull) > 3:
        hull[::-1].sort(axis=0)
        defects = cv2.convexityDefects(outline, hull)
        if defects is not None:
            depths = np.concatenate([np.sort(defects[:, 0, 3] / 256 / radius)[::-1], depths])
    return [float((depths > 0.2).sum()), float(depths[0]), float(depths[1]), float(depths.sum())]


def _together(cell: Array, nucleus: Array) -> list[float]:
    """Nucleus against cell: share of the area, distance of the centres, rim between the outlines."""
    if not nucleus.any():
        return [0.0] * 4
    radius = np.sqrt(cell.sum() / np.pi)
    centres = [np.argwhere(mask).mean(0) for mask in (cell, nucleus)]
    rim = _to_border(cell)[nucleus]
    return [
        float(nucleus.sum() / cell.sum()),
        float(np.linalg.norm(centres[0] - centres[1]) / radius),
        float(rim.min() / radius),
        float(rim.mean() / radius),
    ]


def _grain(grey: Array, mask: Array) -> list[float]:
    """How much the grey inside a mask changes at four scales, and how it is spread."""
    inside = grey[mask]
    if len(inside) < 4:
        return [0.0] * 8
    numbers = [float(inside.mean()) / 255, float(inside.std()) / 255, *(np.percentile(inside, (10, 90)) / 255)]
    fine = grey
    for sigma in (0.7, 1.4, 2.8, 5.6):
        coarse = cv2.GaussianBlur(grey, (0, 0), sigma)
        numbers.append(float(np.abs(fine - coarse)[mask].mean()) / 255)
        fine = coarse
    return numbers
