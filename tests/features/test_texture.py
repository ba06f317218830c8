from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage.data import camera
from skimage.feature import graycomatrix, graycoprops, local_binary_pattern

from medloop.features import texture


@pytest.fixture(scope="module")
def picture():
    return cv2.resize(camera(), (64, 64), interpolation=cv2.INTER_AREA)


@pytest.mark.parametrize("radius", [1, 2])
def test_patterns_agree_with_scikit_image(picture, radius):
    """Away from the border, where scikit-image sees black and this sees the picture mirrored."""
    inner = (slice(radius, -radius),) * 2
    bits = texture._neighbours(picture[None].astype(np.float32), radius)
    ones = np.sum(bits, axis=0)[0][inner]
    changes = np.sum([one != other for one, other in zip(bits, bits[1:] + bits[:1], strict=True)], axis=0)[0][inner]
    mine = np.where(changes <= 2, ones, 9)
    theirs = local_binary_pattern(picture, 8, radius, "uniform")[inner]
    assert (mine == theirs).mean() > 0.99


def test_shares_of_patterns_sum_to_one_in_every_cell(picture):
    rows = texture.patterns(np.stack([picture, picture.T]), 1, 3)
    np.testing.assert_allclose(rows.reshape(2, 9, 10).sum(2), 1, rtol=1e-5)


def test_patterns_do_not_know_which_way_is_up(picture):
    np.testing.assert_allclose(
        texture.patterns(picture[None], 1, 1), texture.patterns(np.rot90(picture)[None].copy(), 1, 1), atol=2e-3
    )


def test_cooccurrence_equals_scikit_image(picture):
    params = texture.Params(levels=16, distances=(2,))
    found = texture._cooccurrence(picture[None], params)[0]
    total = np.zeros((16, 16, 1, 1))
    for down, right in ((0, 2), (2, 2), (2, 0), (2, -2)):
        distance, angle = np.hypot(down, right), np.arctan2(down, right)
        total += graycomatrix(picture // 16, [distance], [angle], 16, symmetric=True)
    total /= total.sum()
    wanted = [graycoprops(total, name)[0, 0] for name in ("contrast", "dissimilarity", "homogeneity", "energy", "correlation")]
    np.testing.assert_allclose(found[:5], wanted, rtol=1e-4)


@pytest.mark.parametrize(("turn", "strongest"), [(0, 0), (2, 2)])
def test_stripes_answer_to_their_own_direction(turn, strongest):
    stripes = np.uint8(127 + 100 * np.sin(2 * np.pi * np.arange(48) / texture._WAVE))[None].repeat(48, 0)
    stripes = stripes.T.copy() if turn else stripes
    means = texture._gabor(stripes[None], texture.Params(scales=(1,)))[0][::2]
    assert means.argmax() == strongest
    assert means[strongest] > 3 * np.delete(means, strongest).max()


def test_an_even_grey_has_no_energy():
    flat = np.full((1, 1, 1, 32, 32), 200, np.uint8)
    rows = texture.extract(flat, texture.Params(radii=(), levels=0), {})
    np.testing.assert_allclose(rows, 0, atol=1e-5)
