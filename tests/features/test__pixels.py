from __future__ import annotations

import numpy as np
import pytest

from medloop.features._pixels import bytes_of, clean, grey, grid_means, planes, real, scaled


def test_whole_numbers_become_shares_of_their_range():
    assert real(np.array([0, 255], np.uint8)).tolist() == [0, 1]
    assert real(np.array([65535], np.uint16)).tolist() == [1]


def test_what_is_not_finite_counts_as_nothing():
    assert real(np.array([np.nan, np.inf, -np.inf, 3], np.float16)).tolist() == [0, 0, 0, 3]
    assert np.isfinite(clean(np.array([np.nan, np.inf, -np.inf, 1e300]))).all()


@pytest.mark.parametrize("kind", [np.uint16, np.float16, np.float32])
def test_each_image_is_stretched_by_itself(kind):
    ramp = np.tile(np.linspace(0, 1000, 400), 2).reshape(2, 1, 1, 20, 20)
    ramp[1] = ramp[1] / 10 + 500
    found = bytes_of(ramp.astype(kind)).astype(int)
    assert found.min() == 0
    assert found.max() == 255
    assert np.abs(found[0] - found[1]).max() <= 3


def test_a_blank_image_stays_black():
    assert not bytes_of(np.full((1, 1, 1, 4, 4), 700, np.uint16)).any()


def test_bytes_stay_as_they_are():
    pixels = np.random.default_rng(0).integers(0, 255, (2, 1, 1, 5, 5), dtype=np.uint8)
    np.testing.assert_array_equal(grey(pixels)[:, 0], pixels[:, 0, 0])


def test_grey_of_colours():
    pixels = np.zeros((3, 3, 1, 2, 2), np.uint8)
    for place in range(3):
        pixels[place, place] = 255
    assert grey(pixels)[:, 0, 0, 0].tolist() == [76, 150, 29]


def test_planes_across_each_axis():
    volume = np.arange(4 * 6 * 8).reshape(1, 4, 6, 8)
    shapes = [cut.shape for cut in planes(volume, 2)]
    assert shapes == [(1, 2, 6, 8), (1, 2, 4, 8), (1, 2, 4, 6)]
    np.testing.assert_array_equal(planes(volume, 2)[0][0, 0], volume[0, 0])


def test_means_of_a_grid_are_exact():
    values = np.random.default_rng(0).random((2, 7, 5))
    found = grid_means(values, (2, 5))
    np.testing.assert_allclose(found[:, 0], values[:, :4].mean(1))
    np.testing.assert_allclose(grid_means(values, (1, 1))[:, 0, 0], values.mean((1, 2)))


def test_scaling_keeps_the_mean():
    picture = np.random.default_rng(0).random((40, 40)).astype(np.float32)
    assert scaled(picture, 10, 20).shape == (20, 10)
    assert scaled(picture, 10, 20).mean() == pytest.approx(picture.mean(), rel=1e-4)
    assert scaled(picture, 40, 40) is picture
