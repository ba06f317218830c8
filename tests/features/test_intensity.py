from __future__ import annotations

import numpy as np
from scipy import stats

from medloop import features
from medloop.compute import Compute
from medloop.features import intensity

WHOLE = {"range": np.array([0, 1], np.float32)}


def _pixels(kind=np.uint8, shape=(5, 1, 1, 24, 20)):
    return np.random.default_rng(0).gamma(2, 20, shape).clip(0, 255).astype(kind)


def test_moments_and_percentiles_equal_scipy():
    pixels = _pixels()
    rows = intensity.extract(pixels, intensity.Params(), WHOLE)
    flat = pixels.reshape(5, -1) / 255
    wanted = [flat.mean(1), flat.std(1), stats.skew(flat, axis=1), stats.kurtosis(flat, axis=1, fisher=False)]
    np.testing.assert_allclose(rows[:, :4], np.stack(wanted, 1), rtol=1e-3)
    np.testing.assert_allclose(
        rows[:, 4:15], np.percentile(flat, intensity._PERCENTILES, axis=1, method="inverted_cdf").T, atol=1e-3
    )


def test_the_histogram_sums_to_one():
    rows = intensity.extract(_pixels(), intensity.Params(bins=16), WHOLE)
    np.testing.assert_allclose(rows[:, 15:31].sum(1), 1, rtol=1e-5)


def test_the_small_copy_of_a_small_picture_is_the_picture():
    pixels = _pixels(shape=(2, 1, 1, 8, 8))
    rows = intensity.extract(pixels, intensity.Params(bins=4, regions=0, copy=8, standardise=False), WHOLE)
    np.testing.assert_allclose(rows[:, -64:], pixels.reshape(2, -1) / 255, rtol=1e-5)


def test_regions_say_where_it_is_bright():
    pixels = np.zeros((1, 1, 1, 16, 16), np.uint8)
    pixels[..., :8, 8:] = 255
    rows = intensity.extract(pixels, intensity.Params(regions=2, standardise=False), WHOLE)
    np.testing.assert_allclose(rows[0, -8:], [0, 1, 0, 0, 0, 0, 0, 0], atol=1e-6)


def test_standardised_regions_do_not_depend_on_exposure():
    pixels = _pixels().astype(np.float16)
    params = intensity.Params(bins=4, regions=4)
    one, other = (intensity.extract(each, params, WHOLE)[:, -32:] for each in (pixels, pixels * 2 + 10))
    np.testing.assert_allclose(one, other, atol=0.02)


def test_the_range_of_floats_is_learnt_from_the_named_images(stored_arrays):
    pixels = np.concatenate([_pixels(np.float16), _pixels(np.float16) + np.float16(500)])
    arrays, feature = stored_arrays(pixels), features.feature("intensity")
    with Compute(0) as compute:
        narrow = features.fit(arrays, np.arange(5), feature, seed=0, compute=compute)["range"]
        wide = features.fit(arrays, np.arange(10), feature, seed=0, compute=compute)["range"]
    assert narrow[1] < 260
    assert wide[1] > 500
