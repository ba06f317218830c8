from __future__ import annotations

import numpy as np

from medloop.features import blobs

STATE = {"spacing_mm": np.array([5.0, 2.5, 2.5], np.float32)}
SHAPE = (24, 48, 48)


def _grid():
    z, y, x = np.meshgrid(*(np.arange(side) for side in SHAPE), indexing="ij")
    return z * 5.0, y * 2.5, x * 2.5


def _ball(centre_mm, radius_mm, inside, outside=170.0):
    z, y, x = _grid()
    far = np.sqrt((z - centre_mm[0]) ** 2 + (y - centre_mm[1]) ** 2 + (x - centre_mm[2]) ** 2)
    return np.uint8(np.rint(outside + (inside - outside) * np.clip(0.5 - (far - radius_mm) / 3, 0, 1)))


def _counts(volume, params=None):
    """Number of spots ``(sizes, dark or bright, brightness, strength)``."""
    params = params or blobs.Params()
    row = blobs.extract(volume[None, None], params, STATE)[0]
    return np.expm1(row).reshape(len(params.sizes_mm) - 1, 2, 16, 6)


def _strongest(counts):
    """The size at which the dark spots are strongest."""
    strength = np.where(counts[:, 0].sum(1) > 0.5, np.arange(1, 7), 0).max(1)
    return blobs.Params().sizes_mm[int(strength.argmax())]


def test_a_dark_ball_is_one_dark_spot_of_its_size_and_brightness():
    counts = _counts(_ball((60, 60, 60), 15, 90))
    assert _strongest(counts) == 7.0
    at_size = counts[blobs.Params().sizes_mm.index(7.0)]
    assert at_size[0].sum().round() == 1
    assert 90 // 16 <= at_size[0].sum(1).argmax() <= 130 // 16
    assert at_size[1].sum().round() == 0


def test_a_bright_ball_is_bright():
    counts = _counts(_ball((60, 60, 60), 15, 200, outside=100.0))
    assert counts[2, 1].sum().round() == 1
    assert counts[2, 1].argmax() // 6 > 100 // 16


def test_larger_balls_answer_at_larger_sizes():
    sizes = [_strongest(_counts(_ball((60, 60, 60), radius, 90))) for radius in (6, 14, 26)]
    assert sizes == sorted(set(sizes))


def test_the_place_does_not_matter():
    here, there = _counts(_ball((60, 60, 60), 10, 90)), _counts(_ball((50, 75, 40), 10, 90))
    np.testing.assert_allclose(here, there, atol=1e-4)


def test_five_balls_count_five():
    places = [(30, 30, 30), (30, 90, 90), (90, 30, 90), (90, 90, 30), (60, 60, 60)]
    volume = np.min([_ball(place, 9, 90) for place in places], axis=0)
    assert _counts(volume)[1, 0].sum().round() == 5


def test_an_even_volume_has_none():
    assert _counts(np.full(SHAPE, 120, np.uint8)).sum() == 0


def test_spacing_is_heeded():
    volume = _ball((60, 60, 60), 15, 110)
    near = blobs.extract(volume[None, None], blobs.Params(), STATE)
    assert not np.array_equal(near, blobs.extract(volume[None, None], blobs.Params(), {"spacing_mm": np.array([1.0, 1, 1])}))
