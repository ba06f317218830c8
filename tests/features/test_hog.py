from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage.data import camera
from skimage.feature import hog as skimage_hog

from medloop.features import hog


@pytest.fixture(scope="module")
def picture():
    return cv2.resize(camera(), (96, 96), interpolation=cv2.INTER_AREA)


def test_equals_opencv(picture):
    plain = cv2.HOGDescriptor((96, 96), (24, 24), (12, 12), (12, 12), 9, 1, -1, 0, 0.2, True, 64, False)
    found = hog.extract(picture[None, None, None], hog.Params(grids=(8,), cell=12, bins=9, signed=False), {})
    np.testing.assert_array_equal(found[0], np.ravel(plain.compute(picture)))


def test_says_the_same_as_scikit_image(picture):
    """The definitions differ (OpenCV shares votes between directions and weighs a block's middle), cells and directions do not."""
    found = hog.extract(picture[None, None, None], hog.Params(grids=(8,), cell=12, block=1, bins=9, signed=False), {}).reshape(
        8, 8, 9
    )
    mine = found.transpose(1, 0, 2)  # OpenCV goes down the columns first
    other = skimage_hog(picture, 9, (12, 12), (1, 1), "L2-Hys", transform_sqrt=True, feature_vector=False).reshape(8, 8, 9)
    agreement = [np.corrcoef(np.roll(mine, shift, axis=2).ravel(), other.ravel())[0, 1] for shift in range(9)]
    assert agreement[0] > 0.85
    assert max(agreement[1:]) < 0.5, "another direction does not agree"


def test_wide_pictures_keep_square_cells():
    wide = hog.extract(np.zeros((1, 1, 1, 32, 64), np.uint8), hog.Params(grids=(8,)), {})
    assert wide.shape[1] == (8 - 1) * (4 - 1) * 4 * 18


def test_size_does_not_depend_on_resolution(picture):
    large = cv2.resize(picture, (192, 192), interpolation=cv2.INTER_CUBIC)
    one, other = (hog.extract(each[None, None, None], hog.Params(), {})[0] for each in (picture, large))
    assert one.shape == other.shape
    assert np.corrcoef(one, other)[0, 1] > 0.9


def _slope(direction, side=20):
    z, y, x = np.meshgrid(*[np.arange(side, dtype=np.float32)] * 3, indexing="ij")
    along = direction[0] * z + direction[1] * y + direction[2] * x
    return along / np.abs(along).max() * 0.5 + 0.5


@pytest.mark.parametrize("signed", [False, True])
def test_a_slope_votes_for_its_own_axis(signed):
    axes = hog._axes(signed)
    assert len(axes) == (20 if signed else 10)
    np.testing.assert_allclose(np.linalg.norm(axes, axis=1), 1, rtol=1e-6)
    for place, axis in enumerate(axes):
        votes = hog._votes(_slope(axis), axes, signed)[2:-2, 2:-2, 2:-2].sum((0, 1, 2))
        assert votes.argmax() == place
        assert votes[place] > 0.99 * votes.sum()


def test_unsigned_does_not_tell_light_from_dark():
    volume = np.random.default_rng(0).integers(0, 255, (1, 1, 20, 20, 20), dtype=np.uint8)
    params, signed = hog.Params(grids=(4,), signed=False), hog.Params(grids=(4,), signed=True)
    np.testing.assert_allclose(hog.extract(volume, params, {}), hog.extract(255 - volume, params, {}), atol=1e-4)
    assert np.abs(hog.extract(volume, signed, {}) - hog.extract(255 - volume, signed, {})).max() > 0.01


def test_mirroring_a_volume_mirrors_its_votes():
    """A mirror maps the set of axes onto itself: each voxel's votes in all must move with it."""
    volume = np.random.default_rng(1).random((20, 20, 20)).astype(np.float32)
    axes = hog._axes(False)
    straight = hog._votes(volume, axes, False).sum(-1)
    mirrored = hog._votes(np.ascontiguousarray(volume[:, ::-1]), axes, False).sum(-1)[:, ::-1]
    np.testing.assert_allclose(straight, mirrored, rtol=1e-3, atol=1e-4)


def test_columns_of_volumes_are_bounded():
    volume = np.zeros((1, 1, 32, 32, 32), np.uint8)
    assert hog.extract(volume, hog.Params(grids=(7, 14)), {}).shape[1] == 3**3 * 8 * 20
