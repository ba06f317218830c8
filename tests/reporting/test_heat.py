"""Heat over grey: cold places are as they were, hot ones are marked, where they are."""

import numpy as np
import pytest

from medloop.reporting.heat import colours, heat_picture, overlay
from medloop.types import Image


def marked(picture):
    """Where a picture is coloured."""
    return (picture.astype(int).max(axis=-1) - picture.min(axis=-1)) > 20


def test_cold_places_show_the_picture_unchanged():
    grey = np.random.default_rng(0).integers(0, 256, (20, 30)).astype(np.uint8)
    heat = np.zeros((20, 30), np.float32)
    heat[5:10, 20:25] = 1
    shown = overlay(grey, heat)
    assert (shown[heat == 0] == grey[heat == 0][:, None]).all()
    assert np.array_equal(marked(shown), heat == 1)


def test_hotter_is_lighter():
    light = colours(np.linspace(0, 1, 50)[None])[0] @ np.array([0.299, 0.587, 0.114])
    assert (np.diff(light) > 0).all()


@pytest.mark.parametrize(("pixels", "colour"), [((1, 1, 28, 40), False), ((3, 1, 28, 40), True), ((1, 1, 400, 300), False)])
def test_heat_lies_where_it_should_also_when_the_picture_changes_size(pixels, colour):
    image = Image(np.random.default_rng(1).integers(100, 120, (1, *pixels), dtype=np.uint8), colour=colour)
    heat = np.zeros(pixels[1:], np.float32)
    heat[0, : pixels[2] // 2, : pixels[3] // 4] = 1
    shown = heat_picture(image, heat)
    assert 160 <= min(shown.shape[:2]) <= max(shown.shape[:2]) <= 320
    assert shown.shape[1] / shown.shape[0] == pytest.approx(pixels[3] / pixels[2], rel=0.02)
    rows, columns = np.nonzero(marked(shown))
    assert rows.max() / shown.shape[0] == pytest.approx(0.5, abs=0.05)
    assert columns.max() / shown.shape[1] == pytest.approx(0.25, abs=0.05)


def test_volumes_are_cut_through_the_hottest_place():
    image = Image(np.full((1, 1, 10, 24, 32), 90, np.int16))
    heat = np.zeros((10, 24, 32), np.float32)
    heat[7, 5, 30] = 1
    shown = heat_picture(image, heat)
    parts = [part for part in np.split(shown, np.flatnonzero((shown == 0).all(axis=(0, 2))), axis=1) if part.shape[1] > 1]
    assert len(parts) == 3
    assert all(marked(part).any() for part in parts)
    heat = np.zeros((10, 24, 32), np.float32)
    assert not marked(heat_picture(image, heat)).any()
