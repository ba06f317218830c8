"""What makes one phantom patient, drawn at random once: sizes, tissues, and the solid shape of the liver.

Frame: x to the patient's left, y to the back, z to the head, in mm; the origin lies on the midline at the height of the liver.
Sizes and Hounsfield units are those of adults in the portal venous phase, rounded, as radiology textbooks give them: plausible, not
measured. Nothing here knows the diagnosis.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medloop.samples._shapes import Distance, Point, Solid, ellipsoid, joined, tube, within, without
from medloop.types import Floats

ORGANS = {
    "liver": 1,
    "spleen": 2,
    "right kidney": 3,
    "left kidney": 4,
    "aorta": 5,
    "inferior vena cava": 6,
    "portal and hepatic veins": 7,
    "spine": 8,
    "stomach": 9,
    "gallbladder": 10,
    "tumour": 11,
    "cyst": 12,
}
"""Values of the label maps; 0 is everything else."""


@dataclass(frozen=True, slots=True)
class Body:
    """One patient: lengths in mm (or as a factor of the usual), tissues in Hounsfield units. ``shape`` seeds finer variation."""

    scale: float
    fat_mm: float
    muscle_mm: float
    liver_size: float
    left_lobe: float
    liver_tilt: Point
    liver_hu: float
    spleen_size: float
    vessel_hu: float
    bone_hu: float
    gallbladder: bool
    shape: int


def draw_body(rng: np.random.Generator, *, age: int, female: bool) -> Body:
    """A patient at random: about one in eight has a fatty (darker) liver and one in five no gallbladder."""
    fatty = rng.random() < 0.12
    return Body(
        scale=float(np.clip(rng.normal(0.95 if female else 1.02, 0.05), 0.82, 1.18)),
        fat_mm=float(np.clip(rng.lognormal(np.log(19 if female else 15), 0.4), 6, 40)),
        muscle_mm=float(rng.uniform(8, 13)),
        liver_size=float(np.clip(rng.normal(1.0, 0.07), 0.84, 1.17)),
        left_lobe=float(rng.uniform(0.75, 1.2)),
        liver_tilt=(float(rng.normal(0, 5)), float(rng.normal(0, 6)), float(rng.normal(0, 7))),
        liver_hu=float(rng.uniform(80, 94) if fatty else np.clip(rng.normal(108, 6), 95, 122)),
        spleen_size=float(np.clip(rng.normal(1.0, 0.13), 0.7, 1.4)),
        vessel_hu=float(rng.uniform(145, 185)),
        bone_hu=float(np.clip(rng.normal(260 - 1.6 * age, 25), 90, 280)),
        gallbladder=bool(rng.random() < 0.8),
        shape=int(rng.integers(2**31)),
    )


def oval(width_mm: float, depth_mm: float) -> Distance:
    """The distance to an upright cylinder of oval, slightly squared section with these half-axes."""

    def distance(points: Floats) -> Floats:
        x2, y2 = (points[0] / np.float32(width_mm)) ** 2, (points[1] / np.float32(depth_mm)) ** 2
        radius = (x2 * np.sqrt(np.sqrt(x2)) + y2 * np.sqrt(np.sqrt(y2))) ** np.float32(1 / 2.5)
        reach = np.sqrt(points[0] ** 2 + points[1] ** 2) / np.maximum(radius, 1e-3)
        return np.asarray((radius - 1) * reach, np.float32)

    return distance


def wall(body: Body, layer: str) -> Distance:
    """The distance to the body's outline (``skin``), the fat's inner border (``muscle``) or the inside of the wall (``cavity``)."""
    muscle, fat = body.muscle_mm, body.fat_mm
    thick = {"skin": (muscle + 1.1 * fat, muscle + 0.85 * fat), "muscle": (muscle, muscle), "cavity": (0.0, 0.0)}[layer]
    return oval(126 * body.scale + thick[0], 86 * body.scale + thick[1])


def liver_of(body: Body) -> Solid:
    """The liver: two lobes with a rounded seam, cut by the abdominal wall, the spine and the bed of the right kidney."""
    s, size = body.scale, body.liver_size
    right = ellipsoid((-66 * s, -4 * s, 0), (58 * s * size, 70 * s * size, 80 * s * size), body.liver_tilt)
    left = ellipsoid((-14 * s, -40 * s, 28 * s), (70 * s * size * body.left_lobe, 30 * s * size, 34 * s * size), (0, -12, 8))
    both = joined(right, left, 24 * s)
    kidney = ellipsoid((-56 * s, 58 * s, -58 * s), (40 * s, 36 * s, 64 * s))
    spine = tube([(4 * s, 50 * s, -300), (4 * s, 50 * s, 300)], [38 * s, 38 * s])
    inside = wall(body, "cavity")
    return without(without(within(both, lambda points: inside(points) + 3), kidney.distance), spine.distance)
