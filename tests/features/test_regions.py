from __future__ import annotations

import cv2
import numpy as np
import pytest

from medloop.features import regions

AREA, SIZE, PERIMETER, ROUND, ROUGH, SOLID, ECCENTRIC = range(7)


def _discs(*circles, side=120):
    mask = np.zeros((side, side), np.uint8)
    for x, y, radius in circles:
        cv2.circle(mask, (x, y), radius, 1, -1)
    return mask.astype(bool)


def test_outline_of_a_disc_and_an_ellipse():
    disc = regions._outline(_discs((60, 60, 40)))
    ellipse = np.zeros((120, 120), np.uint8)
    cv2.ellipse(ellipse, (60, 60), (50, 25), 30, 0, 360, 1, -1)
    long = regions._outline(ellipse.astype(bool))
    assert disc[AREA] == pytest.approx(np.pi * 1600 / 14400, rel=0.02)
    assert disc[ROUND] == pytest.approx(1, abs=0.15)
    assert disc[SOLID] == pytest.approx(1, abs=0.03)
    assert disc[ECCENTRIC] < 0.1
    assert long[ECCENTRIC] == pytest.approx(3**0.5 / 2, abs=0.02)


def test_lobes_are_counted():
    one = regions._lobes(_discs((60, 60, 25)))
    apart = regions._lobes(_discs((30, 60, 14), (62, 60, 14), (94, 60, 14)))
    joined = regions._lobes(_discs((30, 60, 16), (58, 60, 16), (86, 60, 16)))
    assert one[0] == 1
    assert apart[0] == 3
    assert one[4] == 1
    assert joined[0] == 1
    assert joined[3] == 3, "erosion parts what touches"
    assert joined[8] >= 2, "notches between the lobes"
    assert one[8] == 0


def test_turning_changes_little():
    """Everything about outline and lobes but the box (extent) follows the object."""
    mask = _discs((40, 60, 18), (70, 60, 18), (55, 84, 14))
    one, other = (np.array(regions._outline(each) + regions._lobes(each)) for each in (mask, np.rot90(mask).copy()))
    np.testing.assert_allclose(one, other, rtol=0.05, atol=0.05)


def test_share_of_the_nucleus():
    together = regions._together(_discs((60, 60, 40)), _discs((60, 60, 20)))
    assert together[0] == pytest.approx(0.25, rel=0.05)
    assert together[1] == pytest.approx(0, abs=0.01)
    assert together[2] == pytest.approx(0.5, abs=0.05)


def test_the_largest_waves_of_a_trefoil_are_three():
    turns = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    away = 40 * (1 + 0.3 * np.cos(3 * turns))
    line = np.stack([60 + away * np.cos(turns), 60 + away * np.sin(turns)], 1).astype(np.int32)
    mask = np.zeros((120, 120), np.uint8)
    cv2.fillPoly(mask, [line], 1)
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    assert regions._waves(outlines).argmax() + 1 == 3


def test_fine_grain_differs_from_smooth():
    draw = np.random.default_rng(0)
    mask = _discs((60, 60, 40))
    fine = draw.normal(128, 20, (120, 120)).astype(np.float32)
    smooth = cv2.GaussianBlur(fine, (0, 0), 6)
    assert regions._grain(fine, mask)[4] > 10 * regions._grain(smooth, mask)[4]


@pytest.mark.shared
def test_nuclei_of_real_cells_are_found(shared_data):
    """Masks drawn by people: nucleus 255, cytoplasm 128 and over."""
    folder = shared_data / "wbc" / "Dataset 1"
    overlaps = []
    for number in range(1, 300, 15):
        picture = cv2.cvtColor(cv2.imread(str(folder / f"{number:03d}.bmp")), cv2.COLOR_BGR2RGB)
        wanted = cv2.imread(str(folder / f"{number:03d}.png"), cv2.IMREAD_GRAYSCALE) == 255
        _, found = regions.cell_and_nucleus(picture)
        overlaps.append(2 * (found & wanted).sum() / (found.sum() + wanted.sum()))
    assert np.mean(overlaps) > 0.85
