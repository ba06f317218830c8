"""Measures of shapes whose measures are known."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from medloop.targets import _solid, measures
from medloop.targets._solid import diameters
from medloop.types import UNKNOWN, Findings, Image, Target, TargetKind

SPACINGS = [(1.0, 1.0, 1.0), (2.5, 0.8, 0.8), (1.0, 1.5, 0.7)]


def ellipsoid(axes_mm, spacing_mm, flat=False):
    """A mask of half axes ``z, y, x``, its centre between voxels."""
    reach = [int(np.ceil(axis / step)) + 2 for axis, step in zip(axes_mm, spacing_mm, strict=True)]
    if flat:
        reach[0] = 0
    grids = np.meshgrid(*[np.arange(-r, r + 1) for r in reach], indexing="ij")
    shift = (0.0 if flat else 0.3, 0.1, 0.2)
    away = sum(((grid + s) * step / axis) ** 2 for grid, s, step, axis in zip(grids, shift, spacing_mm, axes_mm, strict=True))
    return (away <= 1).astype(np.uint8)


def ellipsoid_surface(axes):
    """Knud Thomsen's formula, right within 1.1 %."""
    pairs = [(axes[i] * axes[j]) ** 1.6075 for i, j in ((0, 1), (0, 2), (1, 2))]
    return 4 * np.pi * (sum(pairs) / 3) ** (1 / 1.6075)


def check_ellipsoid(axes, spacing):
    found = measures.measure(ellipsoid(axes, spacing), spacing, ("tumour",))
    long, middle, short = sorted(axes, reverse=True)
    volume, surface = 4 / 3 * np.pi * np.prod(axes), ellipsoid_surface(axes)
    step = max(spacing)
    assert found["tumour count"] == 1
    assert found["tumour volume"] == pytest.approx(volume / 1000, rel=0.03)
    assert found["tumour largest volume"] == found["tumour volume"]
    assert found["tumour longest diameter"] == pytest.approx(2 * long, abs=step)
    assert found["tumour perpendicular diameter"] == pytest.approx(2 * middle, abs=1.5 * step)
    assert found["tumour surface"] == pytest.approx(surface, rel=0.05)
    assert found["tumour sphericity"] == pytest.approx((36 * np.pi * volume**2) ** (1 / 3) / surface, rel=0.05)
    assert found["tumour elongation"] == pytest.approx(middle / long, rel=0.03)
    assert found["tumour flatness"] == pytest.approx(short / long, rel=0.03)
    assert found["tumour solidity"] == pytest.approx(1, abs=0.06)
    assert found["tumour irregularity"] == pytest.approx(1, abs=0.06)


@pytest.mark.parametrize("spacing", SPACINGS, ids=str)
@pytest.mark.parametrize("axes", [(12.0, 12.0, 12.0), (20.0, 12.0, 9.0), (9.0, 14.0, 21.0)], ids=str)
def test_balls_and_ellipsoids(axes, spacing):
    check_ellipsoid(axes, spacing)


@pytest.mark.parametrize("spacing", [(1.0, 0.5, 0.5), (1.0, 0.5, 1.0)], ids=str)
def test_discs_and_ellipses(spacing):
    found = measures.measure(ellipsoid((1, 18.0, 10.0), spacing, flat=True), spacing, ("nucleus",))
    around = np.pi * (3 * 28 - np.sqrt((3 * 18 + 10) * (18 + 3 * 10)))  # Ramanujan
    assert found["nucleus area"] == pytest.approx(np.pi * 180, rel=0.01)
    assert found["nucleus longest diameter"] == pytest.approx(36, abs=1)
    assert found["nucleus perpendicular diameter"] == pytest.approx(20, abs=1.2)
    assert found["nucleus perimeter"] == pytest.approx(around, rel=0.03)
    assert found["nucleus circularity"] == pytest.approx(4 * np.pi * np.pi * 180 / around**2, rel=0.05)
    assert found["nucleus elongation"] == pytest.approx(10 / 18, rel=0.02)


def test_a_rectangle_turned_in_its_spacing():
    mask = np.zeros((1, 60, 90), np.uint8)
    mask[0, 10:40, 10:70] = 1
    found = measures.measure(mask, (7.0, 0.5, 2.0), ("a",))
    assert found["a area"] == 30 * 60 * 0.5 * 2
    assert found["a longest diameter"] == pytest.approx(np.hypot(15, 120), rel=0.01)
    assert found["a perpendicular diameter"] == pytest.approx(2 * 15 * 120 / np.hypot(15, 120), abs=1)
    assert found["a elongation"] == pytest.approx(15 / 120)
    assert found["a perimeter"] == pytest.approx(2 * (15 + 120), rel=0.03)
    assert found["a solidity"] == pytest.approx(1)
    pixels = measures.measure(mask, None, ("a",))
    assert pixels["a area"] == 1800
    assert pixels["a longest diameter"] == pytest.approx(np.hypot(30, 60), rel=0.02)


def test_a_star_is_neither_solid_nor_regular():
    row, column = np.mgrid[-40:41, -40:41]
    angle, away = np.arctan2(row, column), np.hypot(row, column)
    star = (away < 25 * (1 + 0.4 * np.cos(7 * angle))).astype(np.uint8)[None]
    disc = (away < 25).astype(np.uint8)[None]
    rough, smooth = measures.measure(star, None, ("a",)), measures.measure(disc, None, ("a",))
    assert rough["a solidity"] < 0.75 < 0.97 < smooth["a solidity"]
    assert rough["a irregularity"] > 1.2 > 1.02 > smooth["a irregularity"]
    assert rough["a circularity"] < 0.5 < 0.95 < smooth["a circularity"]


def test_sharpness_is_that_of_the_blur():
    spacing = (2.0, 1.0, 1.0)
    mask = ellipsoid((18.0, 18.0, 18.0), spacing)
    known = {}
    for blur_mm in (1.5, 3.0):
        seen = ndimage.gaussian_filter(mask * 80.0, [blur_mm / step for step in spacing]) - 20
        known[blur_mm] = measures.measure(mask, spacing, ("a",), seen)["a sharpness"]
        assert measures.measure(mask, spacing, ("a",), 5 - 3 * seen)["a sharpness"] == pytest.approx(known[blur_mm])
    assert known[1.5] > 1.25 * known[3.0]
    assert known[1.5] == pytest.approx(1 / np.sqrt(2 * np.pi * (1.5**2 + 1.5**2)), rel=0.25)


def test_intensities_are_of_the_whole_class():
    mask = np.zeros((1, 20, 20), np.uint8)
    mask[0, 2:8, 2:8] = 1
    mask[0, 12:14, 12:14] = 1
    mask[0, 16:18, 16:18] = 2
    image = np.random.default_rng(0).normal(50, 10, mask.shape)
    found = measures.measure(mask, None, ("a", "b"), image)
    inside = image[mask == 1]
    assert found["a mean intensity"] == pytest.approx(inside.mean())
    assert found["a intensity deviation"] == pytest.approx(inside.std())
    assert found["a intensity 10th percentile"] == pytest.approx(np.percentile(inside, 10))
    assert found["a fraction"] == pytest.approx(40 / 44)
    assert found["a count"] == 2
    assert found["a largest area"] == 36


def test_a_class_that_is_absent_has_no_shape():
    found = measures.measure(np.zeros((3, 8, 8), np.uint8), (1.0, 1.0, 1.0), ("a",), np.zeros((3, 8, 8)))
    assert (found["a count"], found["a volume"], found["a largest volume"]) == (0, 0, 0)
    assert all(
        np.isnan(value) for name, value in found.items() if name.partition(" ")[2] not in ("count", "volume", "largest volume")
    )


@pytest.mark.parametrize("shape", [(1, 7, 7), (2, 7, 7), (5, 7, 7)], ids=str)
@pytest.mark.parametrize("drawn", ["voxel", "line", "plane", "all", "corner"])
def test_the_smallest_and_oddest_masks_have_finite_measures(shape, drawn):
    mask = np.zeros(shape, np.uint8)
    places = {"voxel": np.s_[0, 3, 3], "line": np.s_[0, 3, 1:6], "plane": np.s_[0], "all": np.s_[:], "corner": np.s_[-1, -1, -1]}
    mask[places[drawn]] = 1
    found = measures.measure(mask, (2.0, 1.0, 1.0), ("a",), np.random.default_rng(0).normal(size=shape))
    finite = {name: value for name, value in found.items() if np.isfinite(value)}
    assert set(found) - set(finite) <= {"a sharpness"}
    assert all(value >= 0 for name, value in finite.items() if "intensity" not in name)
    assert found["a longest diameter"] >= found["a perpendicular diameter"] > 0


def test_one_slice_of_a_volume_is_no_picture():
    mask = np.zeros((6, 30, 30), np.uint8)
    mask[3, 5:25, 5:25] = 1
    found = measures.measure(mask, (5.0, 1.0, 1.0), ("a",))
    assert found["a volume"] == pytest.approx(2.0)
    assert found["a surface"] > 2 * 20 * 20 * 0.9
    assert found["a flatness"] == pytest.approx(5 / 20)


@pytest.mark.parametrize("flat", [True, False])
@pytest.mark.parametrize("physical", [True, False])
@pytest.mark.parametrize("image", [True, False])
def test_names_and_units_are_said_before(flat, physical, image):
    target = measures.describe(("a", "b"), flat=flat, physical=physical, image=image)
    mask = np.zeros((1 if flat else 4, 9, 9), np.uint8)
    mask[:, 2:6, 2:6] = 1
    found = measures.measure(mask, (1.0, 1.0, 1.0) if physical else None, ("a", "b"), np.ones(mask.shape) if image else None)
    assert tuple(found) == target.classes
    assert len(target.units) == len(target.classes)
    units = dict(zip(target.classes, target.units, strict=True))
    assert units["a longest diameter"] == ("mm" if physical else "px")
    assert units["b area" if flat else "b volume"] == {(True, True): "mm2", (True, False): "px2", (False, True): "ml"}.get(
        (flat, physical), "px3"
    )


def test_every_measure_is_in_the_reference():
    page = (Path(__file__).parents[2] / "docs" / "reference" / "measures.md").read_text(encoding="utf-8")
    for flat in (True, False):
        for name in measures.describe(("a", "b"), flat=flat, physical=True, image=True).classes:
            assert f"`{name.partition(' ')[2]}`" in page


def turned_ellipsoid(axes_mm, spacing_mm, rng):
    """A mask of an ellipsoid turned and placed at random."""
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    reach = [int(max(axes_mm) / step) + 2 for step in spacing_mm]
    lines = [(np.arange(-r, r + 1) + rng.uniform(-0.5, 0.5)) * step for r, step in zip(reach, spacing_mm, strict=True)]
    points = np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1) @ turn
    return ((points / np.array(axes_mm)) ** 2).sum(axis=-1) < 1


def check_diameters(spacing):
    """Too long for half the balls and too short for half the long ones: never far off, and even on the whole."""
    rng, off = np.random.default_rng(0), []
    for radius in (8.0, 14.0, 24.0):
        for axes in ((radius,) * 3, (radius, 0.7 * radius, 0.8 * radius), (radius, 0.6 * radius, 0.6 * radius)):
            for _ in range(3):
                across = diameters(turned_ellipsoid(axes, spacing, rng), spacing, flat=False)
                off.append(across.longest - 2 * radius)
                assert across.perpendicular == pytest.approx(2 * sorted(axes)[1], abs=0.6 * max(spacing))
    assert max(map(abs, off)) < 0.6 * max(spacing)
    assert abs(np.mean(off)) < 0.2 * max(spacing)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.5, 0.8, 0.8), (3.5, 3.0, 3.0), (5.0, 2.7, 2.7)], ids=str)
def test_diameters_are_those_of_the_solid_before_it_was_cut_into_voxels(spacing):
    check_diameters(spacing)


@pytest.mark.parametrize("out", [0.0, 0.5])
def test_the_check_of_diameters_sees_a_ruler_from_centres_or_from_corners_alone(monkeypatch, out):
    honest = _solid._border_points
    monkeypatch.setattr(_solid, "_border_points", lambda mask, steps, _: honest(mask, steps, out))
    with pytest.raises(AssertionError):
        check_diameters((5.0, 2.7, 2.7))


def test_each_part_has_its_own_diameter():
    spacing = (2.0, 0.8, 0.8)
    mask = np.zeros((30, 90, 60), np.uint8)
    for at, radius in (((10, 25, 30), 10.0), ((18, 65, 30), 6.0)):
        ball = ellipsoid((radius,) * 3, spacing)
        corner = [place - side // 2 for place, side in zip(at, ball.shape, strict=True)]
        mask[tuple(slice(c, c + side) for c, side in zip(corner, ball.shape, strict=True))] |= ball
    mask[0, 0, 0] = UNKNOWN
    large, small = measures.parts(mask, spacing, ("tumour",))
    assert large.class_ == small.class_ == "tumour"
    assert large.diameters.longest == pytest.approx(20, abs=2)
    assert small.diameters.longest == pytest.approx(12, abs=2)
    assert large.size == pytest.approx(4 / 3 * np.pi, rel=0.05)
    np.testing.assert_allclose(large.centre, (10, 25, 30), atol=0.5)
    ends = large.diameters.ends
    assert np.linalg.norm(ends[1] - ends[0]) == pytest.approx(large.diameters.longest)


def test_labelled_measures_are_judged_where_both_are_known():
    target = Target(TargetKind.MEASURES, ("diameter", "volume"), "measures", units=("mm", "ml"))
    truth = Findings("a", measures={"diameter": 10.0})
    found = Findings("a", measures={"diameter": 12.0, "volume": 3.0})
    cases = [measures.tally(target, found, truth, None) for _ in range(6)]
    figures = measures.metrics(target, cases, np.arange(6))
    assert figures["mae_diameter_mm"].value == pytest.approx(2)
    assert figures["bias_diameter_mm"].value == pytest.approx(2)
    assert figures["mae_volume_ml"].value is None
    assert measures.merit(cases[0]) == pytest.approx(-0.2)


def test_what_a_network_says_has_the_measures_own_units_again():
    numbers = np.random.default_rng(0).normal((30, 4, 0), (12, 0.5, 0), (50, 3))
    numbers[3, 0] = np.nan
    scaling = measures.learn_scaling(numbers)
    assert measures.Scaling.from_json(json.loads(json.dumps(scaling.to_json()))) == scaling
    said = scaling.encode(numbers)
    assert np.nanmean(said[:, :2]) == pytest.approx(0, abs=1e-9)
    assert np.nanstd(said[:, 0]) == pytest.approx(1)
    np.testing.assert_allclose(measures.decode(said, scaling), numbers)
    empty = measures.learn_scaling(np.full((4, 1), np.nan))
    assert empty == measures.Scaling((0.0,), (1.0,))


def test_grey_of_an_image():
    pixels = np.random.default_rng(0).integers(0, 255, (1, 3, 1, 4, 4)).astype(np.uint8)
    grey = measures.grey(Image(pixels, colour=True))
    np.testing.assert_allclose(grey[0], 0.299 * pixels[0, 0, 0] + 0.587 * pixels[0, 1, 0] + 0.114 * pixels[0, 2, 0])
    np.testing.assert_array_equal(measures.grey(Image(pixels)), pixels[0, 0])


def test_the_check_of_ellipsoids_sees_a_spacing_in_the_wrong_order(monkeypatch):
    honest = measures.measure
    monkeypatch.setattr(measures, "measure", lambda mask, spacing, classes: honest(mask, spacing[::-1], classes))
    with pytest.raises(AssertionError):
        check_ellipsoid((20.0, 12.0, 9.0), (2.5, 0.8, 0.8))
