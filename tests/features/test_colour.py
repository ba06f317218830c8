from __future__ import annotations

import cv2
import numpy as np
import pytest

from medloop.features import colour
from medloop.features._stain import cell_and_nucleus

PINK, PURPLE, PAPER = (225, 180, 205), (90, 40, 130), (240, 235, 232)


@pytest.fixture(scope="module")
def cell():
    """A stained cell drawn by hand: pale paper, a pink body, a purple nucleus of two lobes; and a red cell in a corner."""
    picture = np.full((120, 120, 3), PAPER, np.uint8)
    cv2.circle(picture, (4, 4), 16, (215, 150, 150), -1)
    cv2.circle(picture, (60, 62), 38, PINK, -1)
    cv2.circle(picture, (48, 60), 14, PURPLE, -1)
    cv2.circle(picture, (74, 62), 14, PURPLE, -1)
    return picture


def test_cell_and_nucleus_are_found(cell):
    body, nucleus = cell_and_nucleus(cell)
    drawn = (cell == PURPLE).all(2)
    whole = drawn | (cell == PINK).all(2)
    for found, wanted in ((nucleus, drawn), (body, whole)):
        assert 2 * (found & wanted).sum() / (found.sum() + wanted.sum()) > 0.93


def test_nothing_is_found_on_an_even_picture():
    body, nucleus = cell_and_nucleus(np.full((50, 60, 3), 200, np.uint8))
    assert not body.any()
    assert not nucleus.any()


def test_regions_have_the_colours_that_were_drawn(cell):
    batch = np.moveaxis(cell, -1, 0)[None, :, None]
    params = colour.Params(spaces=("rgb",), bins=0, regions=("nucleus",))
    row = colour.extract(batch, params, {})[0]
    np.testing.assert_allclose(row[:3] * 255, PURPLE, atol=10)
    areas = row[-3:]
    np.testing.assert_allclose(areas[1], (cell == PURPLE).all(2).mean(), rtol=0.1)
    np.testing.assert_allclose(areas[2], areas[1] / areas[0], rtol=1e-5)


def test_moments_and_histograms_against_numpy():
    pixels = np.random.default_rng(0).integers(0, 256, (3, 500), dtype=np.uint8)
    found = colour._region(pixels, (256, 256, 256), colour.Params(bins=10, joint=3))
    values = pixels.astype(float)
    np.testing.assert_allclose(found[:3], values.mean(1) / 255)
    np.testing.assert_allclose(found[3:6], values.std(1) / 255)
    np.testing.assert_allclose(found[9:24].reshape(3, 5) * 255, np.percentile(values, colour._PERCENTILES, axis=1).T, atol=2)
    np.testing.assert_allclose(found[24:27], np.corrcoef(values)[np.triu_indices(3, 1)], rtol=1e-6)
    histograms = [np.bincount(channel.astype(int) * 10 // 256, minlength=10) / 500 for channel in pixels]
    np.testing.assert_allclose(found[27:57], np.concatenate(histograms))
    joint, _ = np.histogramdd(values.T, bins=[np.array([0, 85.4, 170.7, 256])] * 3)
    np.testing.assert_allclose(found[57:], joint.ravel() / 500)


def test_an_empty_region_has_as_many_numbers():
    params = colour.Params(bins=8, joint=4)
    empty = colour._region(np.zeros((3, 0), np.uint8), (180, 256, 256), params)
    some = colour._region(np.zeros((3, 5), np.uint8), (180, 256, 256), params)
    assert empty.shape == some.shape
    assert not empty.any()
