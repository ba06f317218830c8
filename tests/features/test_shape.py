from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from medloop.features import shape
from medloop.features._solid import _axes, _hull, _size, _surface, _thickness, _topology, describe

ONE = (1.0, 1.0, 1.0)


def _grid(side=40):
    return np.stack(np.meshgrid(*[np.arange(side) - (side - 1) / 2] * 3, indexing="ij"), -1)


def _ball(radius, side=40):
    return (_grid(side) ** 2).sum(-1) <= radius**2


def _facts(solid, spacing=ONE):
    points = np.argwhere(solid) * np.array(spacing)
    surface = _surface(solid, spacing)
    names = ["volume", "log", "side", "surface", "thin", "compact", "round", "hull", "solidity", "rough", "across", "filled"]
    return dict(zip(names, _size(solid, spacing, points, surface), strict=False))


def test_a_ball():
    facts = _facts(np.pad(_ball(14), 1))
    assert facts["volume"] == pytest.approx(4 / 3 * np.pi * 14**3, rel=0.01)
    assert facts["surface"] == pytest.approx(4 * np.pi * 14**2, rel=0.05)
    assert facts["thin"] == pytest.approx(3 / 14, rel=0.05)
    assert facts["round"] == pytest.approx(1, abs=0.05)
    assert facts["solidity"] == pytest.approx(1, abs=0.1)
    assert facts["across"] == pytest.approx(28, rel=0.06)


def test_a_cube_and_millimetres():
    cube = np.zeros((24, 24, 24), bool)
    cube[2:22, 2:22, 2:22] = True
    facts, wide = _facts(cube), _facts(cube, (2.0, 1.0, 1.0))
    assert facts["volume"] == 8000
    assert facts["surface"] == pytest.approx(2400, rel=0.05)
    assert facts["hull"] == pytest.approx(8000)
    assert wide["volume"] == 16000
    assert wide["hull"] == pytest.approx(16000)
    assert wide["surface"] == pytest.approx(2 * 400 + 4 * 800, rel=0.05)


def test_an_ellipsoid_gives_its_axes():
    solid = ((_grid(60) / np.array([28, 14, 7])) ** 2).sum(-1) <= 1
    found = _axes(np.argwhere(solid).astype(float))
    np.testing.assert_allclose(found[:3], np.array([28, 14, 7]) / 5**0.5, rtol=0.03)
    np.testing.assert_allclose(found[7:10], [1, 0, 0], atol=0.01)


def test_topology():
    two = np.zeros((30, 20, 20), bool)
    two[2:8, 4:10, 4:10] = True
    two[20:28, 4:16, 4:16] = True
    ring = np.zeros((12, 12, 12), bool)
    ring[2:10, 2:10, 4:8] = True
    ring[5:7, 5:7] = False
    shell = np.pad(np.ones((8, 8, 8), bool), 1)
    shell[4, 4, 4] = False
    assert _topology(two)[0] == 2
    assert _topology(two)[1] == pytest.approx(8 * 144 / (8 * 144 + 216))
    assert _topology(ring)[2] == 0
    assert _topology(shell)[2] == 2
    assert _topology(shell)[3] > 0


def test_thickness_of_a_plate_is_half_of_it():
    plate = np.zeros((12, 42, 42), bool)
    plate[3:8, 1:41, 1:41] = True
    mean, _, most = _thickness(plate, ONE, 0)[:3]
    assert most == 3
    assert 1.5 < mean < 2


def test_quarter_turns_change_nothing_that_does_not_name_an_axis():
    draw = np.random.default_rng(0)
    solid = ndimage.gaussian_filter(draw.random((24, 24, 24)), 3) > 0.5
    turned = np.rot90(solid, axes=(0, 2))
    mine, other = _facts(np.pad(solid, 1)), _facts(np.pad(turned, 1))
    for name in mine:
        assert mine[name] == pytest.approx(other[name], rel=1e-3), name
    np.testing.assert_allclose(_axes(np.argwhere(solid) * 1.0)[:7], _axes(np.argwhere(turned) * 1.0)[:7], rtol=1e-6)


def test_moving_changes_nothing():
    solid = np.zeros((28, 28, 28), bool)
    solid[3:13, 4:12, 5:20] = True
    solid[8:13, 4:7, 8:20] = False
    moved = np.roll(solid, (6, 8, 3), (0, 1, 2))
    np.testing.assert_allclose(describe(solid, ONE, 8, True), describe(moved, ONE, 8, True), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("size", [(1, 1, 1), (1, 1, 7), (2, 2, 2), (1, 6, 6)])
def test_tiny_solids_do_not_crash(size):
    solid = np.zeros((12, 12, 12), bool)
    solid[tuple(slice(3, 3 + side) for side in size)] = True
    assert np.isfinite(describe(solid, ONE, 8, True)).all()


def test_a_hull_of_one_line_is_known():
    points = np.argwhere(np.ones((1, 1, 9), bool)).astype(float)
    hull, surface, across = _hull(points, ONE, 9, 38)
    assert (hull, surface) == (pytest.approx(9), pytest.approx(38))
    assert across == pytest.approx((81 + 2) ** 0.5)


def test_pictures_of_two_values():
    disc = ((_grid(40)[20, :, :, 1:] ** 2).sum(-1) <= 15**2).astype(np.uint8)
    batch = np.stack([disc * 255, disc * 0, disc * 0 + 255])[:, None, None]
    rows = shape.extract(batch, shape.Params(), {"spacing_mm": np.ones(3)})
    assert rows[0, 0] == pytest.approx(np.pi * 225, rel=0.02)
    assert rows[0, 3] == pytest.approx(2 * np.pi * 15, rel=0.05)
    assert not rows[1].any()
    assert rows[2, 0] == 1600


def test_type_and_brightness_of_the_mask_do_not_matter():
    ball = _ball(7, 20)[None, None]
    state = {"spacing_mm": np.ones(3)}
    rows = [
        shape.extract(ball.astype(kind) * top, shape.Params(), state)
        for kind, top in ((np.uint8, 255), (np.float16, 1), (np.uint16, 9))
    ]
    np.testing.assert_array_equal(rows[0], rows[1])
    np.testing.assert_array_equal(rows[0], rows[2])
