from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage.data import camera

from medloop import features
from medloop.compute import Compute
from medloop.features import _dense, sift


@pytest.fixture(scope="module")
def picture():
    return cv2.resize(camera(), (112, 112), interpolation=cv2.INTER_AREA)


def _pictures(picture, count=12):
    turned = [np.roll(np.rot90(picture, turn), 9 * turn, axis=0) for turn in range(count)]
    return np.ascontiguousarray(np.stack(turned)[:, None, None])


def test_detected_descriptors_equal_opencv(picture):
    params = sift.Params(where="detected", root=False, most=200)
    ((descriptors, places),) = sift._described(picture[None, None, None], params)
    points, plain = cv2.SIFT.create(nfeatures=200).detectAndCompute(picture, None)
    np.testing.assert_allclose(descriptors * 512, plain, atol=1e-3)
    np.testing.assert_allclose(places * 112, [point.pt for point in points], atol=1e-3)


@pytest.mark.parametrize(("width", "size"), [(112, 4.0), (112, 8.0), (75, 6.0)])
def test_dense_descriptors_equal_opencv(picture, width, size):
    """But for OpenCV's rounding to whole numbers."""
    picture = np.ascontiguousarray(picture[:, :width])
    found, places = _dense.describe(picture[None], 9, (size,))
    points = [cv2.KeyPoint(float(x * width - 0.5), float(y * 112 - 0.5), size, 0.0) for x, y in places]
    _, plain = cv2.SIFT.create().compute(picture, points)
    assert len(plain) == len(_dense.centres(112, 9)) * len(_dense.centres(width, 9))
    away = np.abs(found[0] * 512 - plain)[plain < 255]
    assert away.max() < 2
    assert away.mean() < 0.3


def test_the_comparison_with_opencv_sees_a_wrong_window(picture, monkeypatch):
    monkeypatch.setattr(_dense, "_CELL_PER_SIZE", 1.6)
    found, places = _dense.describe(picture[None], 16, (4.0,))
    points = [cv2.KeyPoint(float(x * 112 - 0.5), float(y * 112 - 0.5), 4.0, 0.0) for x, y in places]
    _, plain = cv2.SIFT.create().compute(picture, points)
    assert np.abs(found[0] * 512 - plain)[plain < 255].max() > 5


@pytest.mark.parametrize("encoding", ["bovw", "vlad", "fisher"])
@pytest.mark.parametrize("where", ["dense", "detected"])
def test_a_blank_picture_says_something_finite(picture, encoding, where, stored_arrays):
    pictures = _pictures(picture)
    pictures[3] = 0
    feature = features.feature("sift", {"where": where, "encoding": encoding, "words": 8, "components": 16})
    arrays = stored_arrays(pictures)
    with Compute(0) as compute:
        state = features.fit(arrays, np.arange(12), feature, seed=0, compute=compute)
    rows = features.extract(pictures, feature, state)
    assert np.isfinite(rows).all()
    if where == "detected":
        assert not rows[3].any(), "where nothing is found, nothing is said"
    if encoding != "bovw":
        lengths = np.linalg.norm(np.delete(rows, 3, axis=0), axis=1)
        np.testing.assert_allclose(lengths, 1, rtol=1e-5)


def test_histograms_of_words_sum_to_one_in_every_cell(picture, stored_arrays):
    pictures = _pictures(picture)
    feature = features.feature("sift", {"encoding": "bovw", "words": 20, "power": False, "levels": [1, 2]})
    with Compute(0) as compute:
        state = features.fit(stored_arrays(pictures), np.arange(12), feature, seed=0, compute=compute)
    rows = features.extract(pictures, feature, state)
    assert rows.shape == (12, 5 * 20)
    np.testing.assert_allclose(rows.reshape(12, 5, 20).sum(2), 1, rtol=1e-5)


def test_the_pyramid_knows_where(picture):
    """Half of the words of a picture shown in its left half only stay in the left cells."""
    half = picture.copy()
    half[:, 56:] = 0
    params = sift.Params(where="detected", encoding="bovw", power=False, levels=(2,))
    ((descriptors, _),) = sift._described(half[None, None, None], params)
    state = {"centres": descriptors[:4]}
    cells = sift.extract(half[None, None, None], params, state).reshape(2, 2, 4).sum(2)
    assert cells[:, 0].min() > 0.99
    assert cells[0, 1] + cells[1, 1] < 2


def test_workers_learn_the_same_vocabulary_as_one_process(picture, stored_arrays):
    arrays = stored_arrays(np.concatenate([_pictures(picture)] * 8), shards=2)
    feature = features.feature("sift", {"words": 8, "components": 16})
    with Compute(0) as alone, Compute(2, few=0) as many:
        first = features.fit(arrays, np.arange(96), feature, seed=0, compute=alone)
        second = features.fit(arrays, np.arange(96), feature, seed=0, compute=many)
    for key in first:
        np.testing.assert_array_equal(first[key], second[key])


def test_only_the_images_named_are_learnt_from(picture, stored_arrays):
    pictures = _pictures(picture)
    changed = pictures.copy()
    changed[6:] = 255 - changed[6:] // 2
    feature = features.feature("sift", {"words": 8, "components": 16})
    with Compute(0) as compute:
        first = features.fit(stored_arrays(pictures), np.arange(6), feature, seed=0, compute=compute)
        second = features.fit(stored_arrays(changed), np.arange(6), feature, seed=0, compute=compute)
        other = features.fit(stored_arrays(changed), np.arange(12), feature, seed=0, compute=compute)
    np.testing.assert_array_equal(first["centres"], second["centres"])
    assert not np.array_equal(first["centres"], other["centres"]), "the check sees a change where the images are named"
