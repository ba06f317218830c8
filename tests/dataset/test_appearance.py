"""A few numbers of a picture: what they say, and how they are kept."""

from __future__ import annotations

import numpy as np
import pytest

from medloop.cache.pictures import Pictures
from medloop.dataset import appearance
from medloop.dataset.appearance import NAMES
from medloop.evaluation import shift
from medloop.prepared.pictures import picture_of
from medloop.types import Image

DRAW = np.random.default_rng(0)
FLAT = [DRAW.integers(0, 200, (40, 30), dtype=np.uint8) for _ in range(6)]


def seen(arrays):
    """The pictures of arrays ``(Y, X)`` or ``(Z, Y, X)``."""
    return Pictures.of(picture_of(Image(each.reshape(1, 1, -1, *each.shape[-2:]))) for each in arrays)


def column(found, name):
    return found.values[:, NAMES.index(name)]


def test_named_facts_say_what_they_are_called():
    bright = [np.minimum(each.astype(int) + 40, 255).astype(np.uint8) for each in FLAT]
    smooth = [np.repeat(np.repeat(each[::8, ::8], 8, axis=0), 8, axis=1)[:40, :30] for each in FLAT]
    one, two, three = (appearance.appearance(seen(each), np.arange(6)) for each in (FLAT, bright, smooth))
    np.testing.assert_allclose(column(two, "brightness") - column(one, "brightness"), 40, atol=1e-3)
    assert (column(three, "sharpness") < column(one, "sharpness")).all()
    assert (column(one, "height") == 40).all()
    assert (column(one, "width") == 30).all()
    assert (column(one, "slices") == 1).all()
    halves = np.zeros((20, 20), np.uint8)
    halves[:, :10] = 100
    assert column(appearance.appearance(seen([halves]), np.arange(1)), "difference of the left and right half")[0] > 100


def test_volumes_and_pictures_have_rows_of_one_width():
    solid = [DRAW.integers(0, 200, (5, 20, 20), dtype=np.uint8) for _ in range(3)]
    found = appearance.appearance(seen([*FLAT, *solid]), np.arange(9))
    assert found.values.shape == (9, len(NAMES) + 15)
    assert np.isfinite(found.values).all()
    assert (column(found, "slices")[6:] == 5).all()


def test_a_patient_is_the_mean_of_his_pictures():
    found = appearance.appearance(seen(FLAT), np.arange(6))
    means = found.by_patient(np.array([7, 7, 3, 3, 3, 9]))
    np.testing.assert_allclose(means.values[0], found.values[2:5].mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(means.values[2], found.values[5], rtol=1e-5)


def test_lines_of_text_and_back():
    found = appearance.appearance(seen(FLAT), np.arange(6))
    back = appearance.from_text(appearance.as_text(found, 100))
    np.testing.assert_allclose(back.values, found.values, rtol=1e-3, atol=1e-3)
    assert len(appearance.as_text(found, 4)) == 4
    assert appearance.from_text([]) is None
    assert appearance.from_text(["1 2 3"]) is None, "another medloop looked at other things"


@pytest.mark.shared
def test_the_official_x_ray_test_split_is_noticed(shared_data):
    """Its pictures only; their labels are not looked at. Random splits of the rest of the collection are no news."""
    with np.load(shared_data / "pneumoniamnist_rebuilt.npz") as stored:
        train = np.concatenate([stored["train_images"], stored["val_images"]])[::3]
        test = stored["test_images"]
    before, here = (appearance.appearance(seen(each), np.arange(len(each))).values for each in (train, test))
    assert shift.compare(before, here, NAMES).alarm
    draws = [np.random.default_rng(k).permutation(len(before)) for k in range(12)]
    assert not any(shift.compare(before[each[300:]], before[each[:300]], NAMES, 1).alarm for each in draws)
