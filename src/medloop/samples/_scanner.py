"""Two fictional scanners: how a body becomes an image. Which scanner a patient meets has nothing to do with the diagnosis."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from medloop.samples._anatomy import paint_body, warp
from medloop.samples._body import Body
from medloop.samples._lesions import Lesion, paint_lesion
from medloop.samples._shapes import Canvas, Point, turn
from medloop.types import Array, Floats


@dataclass(frozen=True, slots=True)
class Scanner:
    """A scanner at a site. ``blur_px`` and ``grain_px`` are the standard deviations of its sharpness and of its noise's texture."""

    site: str
    institution: str
    manufacturer: str
    model: str
    kernel: str
    matrix: int
    thickness_mm: tuple[float, ...]
    kvp: int
    blur_px: float
    grain_px: float
    signed: bool
    from_head: bool


_OUTSIDE = -1024.0
"""What scanners write outside the circle that they reconstruct."""
SCANNERS = (
    Scanner("A", "Lakeside Hospital", "Northlight Imaging", "Meridian 64", "B30", 128, (5.0, 4.0), 120, 0.55, 0.75, False, True),
    Scanner("B", "Hillcrest Clinic", "Halden Medical", "Corvus 16", "STD", 112, (5.0, 3.5), 110, 0.45, 0.55, True, False),
)


@dataclass(frozen=True, slots=True)
class Acquisition:
    """How one study is taken. ``shift_mm``, ``turn_deg``: how the patient lies. ``noise_hu``: in a middling patient."""

    scanner: int
    thickness_mm: float
    slices: int
    top_mm: float
    field_mm: float
    shift_mm: Point
    turn_deg: Point
    noise_hu: float
    gas: int
    seed: int

    @property
    def pixel_mm(self) -> float:
        """Distance between pixel centres in a slice, in mm, as written in the files."""
        return round(self.field_mm / SCANNERS[self.scanner].matrix, 5)


@dataclass(frozen=True, slots=True, eq=False)
class Scan:
    """``hu`` ``(Z, Y, X)`` int16, ``labels`` ``(Z, Y, X)`` uint8, from feet to head; ``origin_mm``: LPS, first voxel's centre."""

    hu: Array
    labels: Array
    origin_mm: Point


def draw_acquisition(rng: np.random.Generator, body: Body, scanner: int, thickness_mm: float) -> Acquisition:
    """A study at random: the whole liver is in the field, dose and position vary."""
    need = 2 * (126 * body.scale + body.muscle_mm + 1.1 * body.fat_mm)
    top = (84 + rng.uniform(4, 16)) * body.scale
    length = (182 + rng.uniform(-6, 10)) * body.scale
    return Acquisition(
        scanner=scanner,
        thickness_mm=thickness_mm,
        slices=round(length / thickness_mm),
        top_mm=top,
        field_mm=float(np.ceil((need + rng.uniform(14, 34)) / 5) * 5),
        shift_mm=(float(rng.normal(0, 4)), float(rng.normal(0, 5)), float(rng.uniform(-400, -200))),
        turn_deg=(float(rng.normal(0, 1.5)), float(rng.normal(0, 1.5)), float(rng.normal(0, 3))),
        noise_hu=float(rng.uniform(6, 13)),
        gas=int(rng.integers(2**31)),
        seed=int(rng.integers(2**31)),
    )


def to_scanner(take: Acquisition, point: Point) -> Point:
    """A point of the patient's frame in the scanner's LPS millimetres."""
    moved = turn(*take.turn_deg).astype(float) @ np.asarray(point) + np.asarray(take.shift_mm)
    return float(moved[0]), float(moved[1]), float(moved[2])


def scan(body: Body, lesions: tuple[tuple[Lesion, float], ...], take: Acquisition) -> Scan:
    """The image of a body with lesions, each given with its mean radius in mm at this study."""
    scanner = SCANNERS[take.scanner]
    rigid, origin = _grid(take, scanner.matrix)
    canvas = Canvas.blank(rigid, warp(body, rigid), edge_mm=0.6 * take.pixel_mm + 0.4 * take.thickness_mm)
    paint_body(canvas, body, take.gas)
    for lesion, radius_mm in lesions:
        paint_lesion(canvas, lesion, radius_mm, body.liver_hu)
    hu = _table(canvas.hu, take, origin)
    hu = _noisy(_blurred(hu, scanner.blur_px), take, scanner, body)
    return Scan(np.clip(np.rint(hu), -1024, 3071).astype(np.int16), canvas.labels, origin)


def _grid(take: Acquisition, matrix: int) -> tuple[Floats, Point]:
    """Patient coordinates ``(3, Z, Y, X)`` of every voxel, and the LPS centre of the first one."""
    across = (np.arange(matrix) - (matrix - 1) / 2) * take.pixel_mm
    up = take.top_mm - (take.slices - 1 - np.arange(take.slices)) * take.thickness_mm
    origin = (across[0], across[0], up[0] + take.shift_mm[2])
    z, y, x = np.meshgrid(up, across - take.shift_mm[1], across - take.shift_mm[0], indexing="ij")
    back = turn(*take.turn_deg).astype(float).T
    rigid = np.stack([back[i, 0] * x + back[i, 1] * y + back[i, 2] * z for i in range(3)]).astype(np.float32)
    return rigid, (round(float(origin[0]), 5), round(float(origin[1]), 5), round(float(origin[2]), 5))


def _table(hu: Floats, take: Acquisition, origin: Point) -> Floats:
    """The table top under the patient: a thin, curved shell, where there is air."""
    size = hu.shape[1]
    across = origin[0] + np.arange(size, dtype=np.float32) * np.float32(take.pixel_mm)
    body = hu[hu.shape[0] // 2] > -400
    low = float(np.flatnonzero(body.any(axis=1))[-1]) * take.pixel_mm + origin[1] + 4
    curve = low - (across[None, :] / 210) ** 2 * (70 if take.scanner == 0 else 45)
    away = np.abs(across[:, None] - curve - 3) - 2.0
    plate = np.clip(0.5 - away / np.float32(take.pixel_mm), 0, 1) * (np.abs(across[None, :]) < 205)
    return np.where(hu < -900, np.maximum(hu, -1000 + 780 * plate[None]), hu)


def _blurred(hu: Floats, sigma_px: float) -> Floats:
    """Blurred in the slice by the detector, along the body by the slice profile."""
    flat = np.stack([cv2.GaussianBlur(layer, (0, 0), sigma_px, borderType=cv2.BORDER_REPLICATE) for layer in hu])
    padded = np.pad(flat, ((1, 1), (0, 0), (0, 0)), mode="edge")
    return np.asarray(0.1 * padded[:-2] + 0.8 * padded[1:-1] + 0.1 * padded[2:], np.float32)


def _noisy(hu: Floats, take: Acquisition, scanner: Scanner, body: Body) -> Floats:
    """Noise whose strength follows dose and girth, whose texture follows the kernel, strongest in the middle of the body."""
    rng = np.random.default_rng([take.seed, 6])
    white = rng.standard_normal(hu.shape, dtype=np.float32)
    noise = np.stack([cv2.GaussianBlur(layer, (0, 0), scanner.grain_px) for layer in white])
    noise /= noise.std()
    girth = (126 * body.scale + body.fat_mm) / 145
    steps = np.linspace(-1, 1, hu.shape[1], dtype=np.float32)
    middle = np.exp(-1.1 * (steps[:, None] ** 2 + steps[None, :] ** 2))
    cupping = -4.0 * middle * rng.uniform(0, 1)
    strength = take.noise_hu * girth**1.5 * (0.45 + 0.6 * middle)
    seen = steps[:, None] ** 2 + steps[None, :] ** 2 <= 1.01
    return np.where(seen, hu + strength * noise + np.where(hu > -700, cupping, 0), np.float32(_OUTSIDE))
