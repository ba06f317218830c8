"""Paints one phantom patient organ by organ, from the outside in; what is painted later covers what lies there."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from medloop.samples._body import ORGANS, Body, liver_of, wall
from medloop.samples._shapes import Canvas, Distance, Point, Solid, Texture, ellipsoid, shell, tube, within, without
from medloop.types import Floats

_AIR, _LUNG, _FAT, _WATER, _SOFT, _MUSCLE = -1000.0, -840.0, -104.0, 8.0, 42.0, 58.0
_ALL: tuple[Point, Point] = ((-1e6, -1e6, -1e6), (1e6, 1e6, 1e6))


def warp(body: Body, rigid: Floats) -> Floats:
    """Coordinates ``(3, ...)`` moved by a few long waves (up to about 6 mm), so that no two patients are shaped alike."""
    rng = np.random.default_rng([body.shape, 1])
    moved = rigid.copy()
    for axis in range(3):
        for _ in range(3):
            wave = 2 * np.pi / rng.uniform(90, 260) * _direction(rng)
            amount, phase = rng.normal(0, 2.6), rng.uniform(0, 2 * np.pi)
            moved[axis] += np.float32(amount) * waves(rigid, wave, phase)
    return moved


def paint_body(canvas: Canvas, body: Body, gas: int) -> None:
    """The whole patient without lesions. ``gas`` seeds what changes from day to day: the filling of stomach and bowel."""
    rng = np.random.default_rng([body.shape, 2])
    daily = np.random.default_rng([body.shape, 3, gas])
    _walls(canvas, body)
    _chest(canvas, body)
    _fat_strands(canvas, body, rng)
    _bones(canvas, body)
    _stomach_and_bowel(canvas, body, daily)
    _spleen_and_kidneys(canvas, body, rng)
    _liver(canvas, body, rng)
    _great_vessels(canvas, body)
    sac = gallbladder_of(body)
    if sac is not None:
        canvas.paint(sac, 55.0, ORGANS["gallbladder"])
        canvas.paint(shell(sac, -1.8), 4.0 + body.shape % 12, ORGANS["gallbladder"])


def waves(points: Floats, wave: Floats, phase: float) -> Floats:
    """A sine over coordinates ``(3, ...)`` in mm. ``wave`` ``(3,)``: radians a millimetre along x, y, z."""
    a, b, c = wave.astype(np.float32)
    turned = a * points[0]
    turned += b * points[1]
    turned += c * points[2]
    turned += np.float32(phase)
    return np.asarray(np.sin(turned, out=turned))


def _direction(rng: np.random.Generator) -> Floats:
    arrow = rng.normal(size=3)
    return np.asarray(arrow / np.linalg.norm(arrow))


def grain(rng: np.random.Generator, hu: float, spread_hu: float, size_mm: float) -> Texture:
    """A tissue of ``hu`` that varies smoothly by ``spread_hu`` (standard deviation): waves of about ``size_mm``."""
    arrows = [2 * np.pi / (size_mm * rng.uniform(0.7, 1.6)) * _direction(rng) for _ in range(5)]
    phases = rng.uniform(0, 2 * np.pi, 5)
    each = np.float32(spread_hu * np.sqrt(2 / 5))

    def texture(points: Floats) -> Floats:
        total = np.full(points.shape[1:], hu, np.float32)
        for wave, phase in zip(arrows, phases, strict=True):
            total += each * waves(points, wave, phase)
        return total

    return texture


def _everywhere(distance: Distance) -> Solid:
    return Solid(distance, *_ALL)


def _walls(canvas: Canvas, body: Body) -> None:
    skin = _everywhere(wall(body, "skin"))
    canvas.paint(skin, 35.0)
    canvas.paint(shell(skin, -2.5), _FAT)
    canvas.paint(_everywhere(wall(body, "muscle")), _MUSCLE)
    canvas.paint(_everywhere(wall(body, "cavity")), _FAT)
    s = body.scale
    under = wall(body, "muscle")
    for side in (-1, 1):
        back = ellipsoid((side * 35 * s, 84 * s, 0), (32 * s, 22 * s, 600))
        canvas.paint(within(back, lambda points: under(points) - np.float32(0.4 * body.fat_mm)), _MUSCLE)
        canvas.paint(ellipsoid((side * 34 * s, 52 * s, -110 * s), (17 * s, 18 * s, 90 * s)), _MUSCLE)


def _chest(canvas: Canvas, body: Body) -> None:
    """Lungs above the diaphragm, the heart and the tissue before the spine."""
    s = body.scale
    inside = wall(body, "cavity")

    def above(points: Floats) -> Floats:
        x, y, z = points
        sides = np.maximum(np.abs(x) - 45 * s, 0) ** 2 * np.float32(0.013 / s)
        ends = np.maximum(np.abs(y + 5) - 25 * s, 0) ** 2 * np.float32(0.014 / s)
        dome = np.float32(62 * s) - sides - ends - np.float32(0.06) * x
        return np.asarray(np.maximum((dome - z) * np.float32(0.7), inside(points) + 1), np.float32)

    canvas.paint(_everywhere(above), _LUNG)
    canvas.paint(ellipsoid((4 * s, 34 * s, 100 * s), (38 * s, 34 * s, 160 * s)), _FAT)
    canvas.paint(ellipsoid((22 * s, -26 * s, 112 * s), (62 * s, 46 * s, 44 * s), (0, 0, -20)), 0.75 * body.vessel_hu)


def _fat_strands(canvas: Canvas, body: Body, rng: np.random.Generator) -> None:
    """Small vessels in the fat of the belly."""
    s = body.scale
    for _ in range(14):
        start = np.array([rng.uniform(-20, 60), rng.uniform(-10, 25), rng.uniform(-100, -10)]) * s
        middle = start + rng.normal(0, 22, 3) * s
        end = middle + rng.normal(0, 22, 3) * s
        canvas.paint(tube([_at(start), _at(middle), _at(end)], [3.2, 2.4, 1.6]), 95.0)


def _bones(canvas: Canvas, body: Body) -> None:
    s, bone = body.scale, body.bone_hu
    label = ORGANS["spine"]
    column = _everywhere(_column(0.0, 46 * s, 22 * s, 16.5 * s))
    canvas.paint(column, bone + 190, label)
    canvas.paint(shell(column, -3), bone, label)
    discs = shell(column, -0.5)

    def disc(points: Floats) -> Floats:
        gap = np.abs((points[2] + 9) % np.float32(34 * s) - np.float32(17 * s)) - np.float32(4.0)
        return np.asarray(np.maximum(discs.distance(points), gap), np.float32)

    canvas.paint(_everywhere(disc), 85.0, label)
    for side in (-1, 1):
        canvas.paint(_everywhere(_column(side * 13 * s, 68 * s, 5 * s, 9 * s)), bone + 150, label)
    canvas.paint(_everywhere(_column(0, 82 * s, 5 * s, 14 * s)), bone + 120, label)
    canvas.paint(_everywhere(_column(0, 70 * s, 9.5 * s, 8 * s)), 28.0)
    outer = wall(body, "cavity")
    canvas.paint(_everywhere(lambda points: _ribs(points, outer, body) - np.float32(4.4)), bone + 230)
    canvas.paint(_everywhere(lambda points: _ribs(points, outer, body) - np.float32(2.0)), bone + 20)


def _column(x: float, y: float, half_width: float, half_depth: float) -> Distance:
    """An upright elliptic cylinder at ``(x, y)``."""

    def distance(points: Floats) -> Floats:
        a, b = (points[0] - np.float32(x)) / np.float32(half_width), (points[1] - np.float32(y)) / np.float32(half_depth)
        return np.asarray((np.sqrt(a * a + b * b) - 1) * np.float32(min(half_width, half_depth)), np.float32)

    return distance


def _ribs(points: Floats, inside: Distance, body: Body) -> Floats:
    """The distance to the middle lines of all ribs: rings round the cavity, falling towards the front; none before the belly."""
    x, y, z = points
    s = np.float32(body.scale)
    pitch = 29 * s
    height = z - np.float32(0.72) * y + np.float32(0.45) * np.abs(x) + np.float32(body.shape % 29)
    along = (height % pitch) - pitch / 2
    far = np.sqrt((inside(points) - np.float32(5)) ** 2 + (along * np.float32(0.8)) ** 2)
    front = np.float32(0.9) * (-y - 40 * s - np.float32(0.3) * np.maximum(z, -60 * s))
    low = np.float32(0.7) * (-z - 74 * s - np.float32(0.5) * np.minimum(y, 0))
    return np.asarray(np.maximum(far, np.maximum(front, low) + 4), np.float32)


def _stomach_and_bowel(canvas: Canvas, body: Body, rng: np.random.Generator) -> None:
    s = body.scale
    fill = rng.uniform(0.8, 1.2)
    centre = np.array([52 + rng.normal(0, 4), -34 + rng.normal(0, 4), 24 + rng.normal(0, 6)]) * s
    stomach = ellipsoid(_at(centre), (44 * s * fill, 30 * s * fill, 44 * s), (20, 15, 15))
    outlet = tube(
        [_at(centre + np.array([-20, -4, -28]) * s), (8 * s, -30 * s, -22 * s), (-18 * s, -12 * s, -28 * s)],
        [17 * s, 13 * s, 10 * s],
    )
    _hollow(canvas, stomach, rng, label=ORGANS["stomach"])
    _hollow(canvas, outlet, rng, label=ORGANS["stomach"])
    level = -66 + rng.uniform(0, 12)
    colon: list[Point] = [(-96 * s, 12 * s, -110 * s), (-88 * s, -22 * s, -84 * s), (-40 * s, -56 * s, level * s)]
    colon += [
        (15 * s, -62 * s, (level - 8) * s),
        (68 * s, -48 * s, -44 * s),
        (100 * s, -6 * s, -22 * s),
        (102 * s, 24 * s, -60 * s),
    ]
    for start, end in pairwise(colon):
        width = rng.uniform(13, 21) * s
        _hollow(canvas, tube([start, end], [width, width * rng.uniform(0.75, 1.2)]), rng, stool=True)
    for _ in range(11):
        place = np.array([rng.uniform(-45, 75), rng.uniform(-50, 5), rng.uniform(-115, -48)]) * s
        size = rng.uniform(11, 18, 3) * s * [1.3, 1, 1]
        _hollow(canvas, ellipsoid(_at(place), _at(size), _at(rng.uniform(-60, 60, 3))), rng)
    body_of_pancreas = [(-30 * s, 4 * s, -40 * s), (0.0, -6 * s, -24 * s), (38 * s, 8 * s, -8 * s), (72 * s, 22 * s, 2 * s)]
    canvas.paint(tube(body_of_pancreas, [14 * s, 10 * s, 9 * s, 8 * s]), grain(rng, 88, 12, 9))


def _hollow(canvas: Canvas, solid: Solid, rng: np.random.Generator, *, label: int | None = None, stool: bool = False) -> None:
    """An organ with a wall, and fluid, stool or gas inside; the gas lies in front (low y: the patient lies on the back)."""
    canvas.paint(solid, 66.0, label)
    inner = shell(solid, -3.2)
    content = grain(rng, 25, 45, 11) if stool else grain(rng, float(rng.uniform(8, 40)), 8, 14)
    canvas.paint(inner, content, label)
    if rng.random() < (0.8 if stool or label else 0.4):
        front = inner.low[1] + rng.uniform(0.1, 0.6) * (inner.high[1] - inner.low[1])
        canvas.paint(within(inner, lambda points: points[1] - np.float32(front)), _AIR + 30, label)


def _spleen_and_kidneys(canvas: Canvas, body: Body, rng: np.random.Generator) -> None:
    s, size = body.scale, body.spleen_size
    inside = wall(body, "cavity")
    spleen = ellipsoid((100 * s, 30 * s, 18 * s), (25 * s * size, 46 * s * size, 52 * s * size), (0, 12, 28))
    hilum = ellipsoid((66 * s, 16 * s, 14 * s), (26 * s, 30 * s, 50 * s))
    canvas.paint(
        without(within(spleen, lambda points: inside(points) + 4), hilum.distance), grain(rng, 118, 3, 25), ORGANS["spleen"]
    )
    for side, name, low in ((-1, "right kidney", -66), (1, "left kidney", -52)):
        centre = (side * (60 + rng.normal(0, 3)) * s, (48 + rng.normal(0, 3)) * s, (low + rng.normal(0, 6)) * s)
        kidney = ellipsoid(centre, (26 * s, 24 * s, 52 * s), (8, side * -10, side * 25))
        canvas.paint(kidney, 178.0, ORGANS[name])
        canvas.paint(shell(kidney, -8 * s), grain(rng, 140, 18, 16), ORGANS[name])
        sinus = (centre[0] - side * 15 * s, centre[1] - 5 * s, centre[2])
        canvas.paint(ellipsoid(sinus, (16 * s, 8 * s, 22 * s)), _FAT + 40, 0)


def _liver(canvas: Canvas, body: Body, rng: np.random.Generator) -> None:
    liver = liver_of(body)
    canvas.paint(liver, grain(rng, body.liver_hu, 3.0, 28), ORGANS["liver"])
    s = body.scale
    inside = shell(liver, -4).distance
    hilum, dome = np.array([-30, -2, -4]) * s, np.array([-21, 17, 58]) * s
    label = ORGANS["portal and hepatic veins"]
    canvas.paint(tube([(2 * s, 10 * s, -40 * s), _at(hilum)], [7.5 * s, 7.5 * s]), body.vessel_hu, label)
    for portal, ends in (
        (True, [(-72, 14, 2), (-66, -22, 12), (-70, 2, -34), (-14, -42, 22)]),
        (False, [(-92, 18, 10), (-52, -34, 2), (0, -44, 34)]),
    ):
        root = hilum if portal else dome
        for end in ends:
            stop = (np.array(end) + rng.normal(0, 5, 3)) * s
            half = (root + stop) / 2 + rng.normal(0, 4, 3) * s
            limbs = [(tube([_at(root), _at(half), _at(stop)], [5.4 * s, 4.6 * s, 3.4 * s]))]
            for _ in range(3):
                twig = stop + (stop - half) * rng.uniform(0.4, 0.9) + rng.normal(0, 14, 3) * s
                limbs.append(tube([_at(stop if rng.random() < 0.6 else half), _at(twig)], [3.0 * s, 1.4 * s]))
            for limb in limbs:
                canvas.paint(within(limb, inside), body.vessel_hu - (0 if portal else 8), label)


def _great_vessels(canvas: Canvas, body: Body) -> None:
    s = body.scale
    aorta: list[Point] = [(16 * s, 26 * s, 130 * s), (9 * s, 20 * s, 40 * s), (6 * s, 18 * s, -120 * s)]
    canvas.paint(tube(aorta, [12.5 * s, 11.5 * s, 9.5 * s]), body.vessel_hu + 6, ORGANS["aorta"])
    canvas.paint(cava_of(body), body.vessel_hu - 22, ORGANS["inferior vena cava"])


def cava_of(body: Body) -> Solid:
    """The inferior vena cava."""
    s = body.scale
    path: list[Point] = [
        (-22 * s, 12 * s, 110 * s),
        (-23 * s, 18 * s, 50 * s),
        (-22 * s, 20 * s, -20 * s),
        (-20 * s, 21 * s, -120 * s),
    ]
    return tube(path, [12 * s, 12 * s, 11 * s, 10 * s])


def gallbladder_of(body: Body) -> Solid | None:
    """The gallbladder, where the patient has one."""
    if not body.gallbladder:
        return None
    rng = np.random.default_rng([body.shape, 4])
    s = body.scale
    centre = (-46 * s + rng.normal(0, 4), -38 * s + rng.normal(0, 4), -46 * s + rng.normal(0, 5))
    return ellipsoid(centre, (12 * s, 21 * s * rng.uniform(0.8, 1.2), 17 * s), (rng.uniform(-25, 5), 0, rng.uniform(-20, 20)))


def _at(values: Floats) -> Point:
    return float(values[0]), float(values[1]), float(values[2])
