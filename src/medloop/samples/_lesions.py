"""Tumours and cysts of the liver: where they lie, how large they are, and how they are painted.

Lesions are drawn in the patient's rigid frame, so their centres, diameters and volumes are known exactly. A boundary is a radius
for every direction: ``radius_mm * (1 + irregular * waves)``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import distance_transform_edt
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist

from medloop.samples._anatomy import cava_of, gallbladder_of, grain, warp, waves
from medloop.samples._body import ORGANS, Body, liver_of
from medloop.samples._shapes import Canvas, Point, Solid
from medloop.types import Floats

_STEP_MM = 4.0
_STRAY = 1.5
"""No radius strays further than so many times ``irregular``."""


@dataclass(frozen=True, slots=True)
class Lesion:
    """One lesion. ``centre_mm`` in the patient's frame. ``contrast_hu``: relative to the liver, for a cyst absolute.

    ``irregular``: how far the radius strays (share of it). ``core_hu``: how much darker the middle is. ``rim_hu``: how much
    brighter the rim. ``edge_mm``: width of the soft border. ``growth``: radius at the second study over the first.
    ``shape`` seeds boundary and texture.
    """

    kind: str
    centre_mm: Point
    radius_mm: float
    contrast_hu: float
    irregular: float
    core_hu: float
    rim_hu: float
    edge_mm: float
    growth: float
    shape: int

    def reach(self) -> float:
        """The largest radius that the boundary can have, in mm, at either study."""
        return self.radius_mm * max(1.0, self.growth) * (1 + _STRAY * self.irregular)


@dataclass(frozen=True, slots=True)
class Measured:
    """The truth at one study: longest diameter, volume, irregularity (standard deviation of the radius over its mean)."""

    longest_mm: float
    volume_ml: float
    irregularity: float


def draw_lesions(rng: np.random.Generator, body: Body, *, tumours: int, cysts: int) -> tuple[Lesion, ...]:
    """Place that many lesions, the largest first, wholly inside the liver and apart; one that finds no room is made smaller."""
    kinds = ["tumour"] * tumours + ["cyst"] * cysts
    wanted = sorted((_draw(rng, kind, early=tumours == 1) for kind in kinds), key=lambda lesion: -lesion.reach())
    points, depth = _room(body)
    placed: list[Lesion] = []
    for lesion in wanted:
        while (centre := _place(rng, points, depth, lesion, placed)) is None:
            lesion = replace(lesion, radius_mm=lesion.radius_mm * 0.85)
        placed.append(replace(lesion, centre_mm=centre))
    return tuple(placed)


def measure(lesion: Lesion, radius_mm: float) -> Measured:
    """The truth about a lesion of that mean radius, from its boundary in 1,000 directions."""
    directions = _sphere(1000)
    radii = _radius(lesion, radius_mm, directions.T)
    surface = directions * radii[:, None]
    corners = surface[ConvexHull(surface).vertices]
    return Measured(
        longest_mm=float(pdist(corners).max()),
        volume_ml=float(4 / 3 * np.pi * np.mean(radii**3) / 1000),
        irregularity=float(radii.std() / radii.mean()),
    )


def paint_lesion(canvas: Canvas, lesion: Lesion, radius_mm: float, liver_hu: float) -> None:
    """Paint a lesion over what lies there."""
    middle = np.asarray(lesion.centre_mm, np.float32)[:, None, None, None]
    reach = radius_mm * (1 + _STRAY * lesion.irregular) + lesion.edge_mm
    rng = np.random.default_rng([lesion.shape, 7])
    tumour = lesion.kind == "tumour"
    inside = grain(rng, liver_hu + lesion.contrast_hu, 7.0, 11) if tumour else grain(rng, lesion.contrast_hu, 1.0, 20)

    def distance(points: Floats) -> Floats:
        moved = points - middle
        far = np.sqrt((moved**2).sum(0))
        return np.asarray(far - _radius(lesion, radius_mm, moved / np.maximum(far, 1e-3)), np.float32)

    def tissue(points: Floats) -> Floats:
        depth = -distance(points)
        core = np.clip((depth / radius_mm - 0.35) / 0.4, 0, 1)
        rim = np.clip(1 - np.abs(depth - 2.0) / 2.5, 0, 1)
        return np.asarray(inside(points) - lesion.core_hu * core + lesion.rim_hu * rim, np.float32)

    low, high = (_corner(lesion.centre_mm, sign * reach) for sign in (-1, 1))
    canvas.paint(Solid(distance, low, high), tissue, ORGANS[lesion.kind], rigid=True, edge_mm=lesion.edge_mm)


def _draw(rng: np.random.Generator, kind: str, *, early: bool) -> Lesion:
    shape = int(rng.integers(2**31))
    nowhere = (0.0, 0.0, 0.0)
    if kind == "cyst":
        radius = float(np.clip(rng.lognormal(np.log(10), 0.4), 5, 26))
        return Lesion(
            kind=kind,
            centre_mm=nowhere,
            radius_mm=radius,
            contrast_hu=float(rng.uniform(2, 18)),
            irregular=float(rng.uniform(0, 0.03)),
            core_hu=0.0,
            rim_hu=0.0,
            edge_mm=0.0,
            growth=1.0,
            shape=shape,
        )
    radius = float(rng.uniform(9, 22) if early else np.clip(rng.lognormal(np.log(15), 0.4), 7, 38))
    grown = float(rng.uniform(1.1, 1.35) if rng.random() < 0.65 else rng.uniform(0.65, 0.88))
    return Lesion(
        kind=kind,
        centre_mm=nowhere,
        radius_mm=radius,
        contrast_hu=-float(rng.uniform(28, 60)),
        irregular=float(rng.uniform(0.06, 0.17)),
        core_hu=float(rng.uniform(8, 28)) if rng.random() < 0.6 else 0.0,
        rim_hu=float(rng.uniform(15, 40)) if rng.random() < 0.4 else 0.0,
        edge_mm=float(rng.uniform(3, 7)),
        growth=grown,
        shape=shape,
    )


def _room(body: Body) -> tuple[Floats, Floats]:
    """Points of a 4 mm grid inside the liver ``(n, 3)`` and how deep each lies ``(n,)`` mm, vena cava and gallbladder kept free."""
    liver = liver_of(body)
    axes = [np.arange(low - 16, high + 16, _STEP_MM).astype(np.float32) for low, high in zip(liver.low, liver.high, strict=True)]
    z, y, x = np.meshgrid(axes[2], axes[1], axes[0], indexing="ij")
    rigid = np.stack([x, y, z])
    points = warp(body, rigid)
    free = liver.distance(points) < 0
    for other in (cava_of(body), gallbladder_of(body)):
        if other is not None:
            free &= other.distance(points) > 0
    depth = distance_transform_edt(free) * _STEP_MM - _STEP_MM
    return rigid[:, free].T, depth[free]


def _place(rng: np.random.Generator, points: Floats, depth: Floats, lesion: Lesion, placed: list[Lesion]) -> Point | None:
    fits = depth >= lesion.reach() + 1
    for other in placed:
        fits &= np.linalg.norm(points - np.asarray(other.centre_mm), axis=1) >= other.reach() + lesion.reach() + 2
    where = np.flatnonzero(fits)
    if not where.size:
        return None
    chosen = points[rng.choice(where)] + rng.uniform(-1, 1, 3)
    return float(chosen[0]), float(chosen[1]), float(chosen[2])


def _radius(lesion: Lesion, radius_mm: float, directions: Floats) -> Floats:
    """The radius in mm along unit vectors ``(3, ...)``."""
    rng = np.random.default_rng([lesion.shape, 5])
    total = np.zeros(directions.shape[1:], np.float32)
    for pitch in (2.0, 2.6, 3.4, 4.6, 6.0):
        arrow = rng.normal(size=3)
        total += waves(directions, pitch * arrow / np.linalg.norm(arrow), rng.uniform(0, 2 * np.pi))
    return np.asarray(radius_mm * (1 + lesion.irregular * np.clip(total * np.float32(0.63), -_STRAY, _STRAY)), np.float32)


def _sphere(number: int) -> Floats:
    """Unit vectors ``(number, 3)`` spread evenly over the sphere (Fibonacci's spiral)."""
    height = 1 - 2 * (np.arange(number) + 0.5) / number
    angle = np.pi * (1 + np.sqrt(5)) * np.arange(number)
    flat = np.sqrt(1 - height**2)
    return np.stack([flat * np.cos(angle), flat * np.sin(angle), height], 1).astype(np.float32)


def _corner(centre: Point, reach: float) -> Point:
    return centre[0] + reach, centre[1] + reach, centre[2] + reach
