"""What the network was shown while it learnt."""

import numpy as np
import pytest

from medloop.families import augmented
from medloop.families._augmented import COPIES
from medloop.learning.augment import NOTHING, default
from medloop.types import Recipe

TURNS = default(colour=False).to_json()


def recipe(**parameters):
    return Recipe("test", "transfer", parameters=parameters, seed=3)


@pytest.mark.parametrize("shape", [(1, 1, 12, 10), (3, 1, 12, 10), (1, 8, 9, 10)])
def test_each_picture_stands_before_its_copies(stored_arrays, shape):
    pixels = np.random.default_rng(0).integers(0, 256, (6, *shape), dtype=np.uint8)
    arrays, rows = stored_arrays(pixels), np.array([4, 1])
    found = augmented(recipe(augmentation=TURNS), arrays, rows)
    assert found.shape == (2, 1 + COPIES, *shape)
    assert found.dtype == np.uint8
    assert np.array_equal(found[:, 0], pixels[rows])
    assert all((copy != pixels[4]).any() for copy in found[0, 1:])
    assert len({copy.tobytes() for copy in found[0]}) == 1 + COPIES
    assert np.array_equal(found, augmented(recipe(augmentation=TURNS), arrays, rows))


def test_of_an_average_the_member_that_changes_pictures_is_shown(stored_arrays):
    arrays = stored_arrays(np.random.default_rng(0).integers(0, 256, (2, 1, 1, 9, 9), dtype=np.uint8))
    members = [{"family": "classical", "parameters": {}}, {"family": "transfer", "parameters": {"augmentation": TURNS}}]
    assert np.array_equal(
        augmented(recipe(members=members), arrays, np.arange(2)), augmented(recipe(augmentation=TURNS), arrays, np.arange(2))
    )


@pytest.mark.parametrize("parameters", [{}, {"augmentation": {}}, {"augmentation": NOTHING.to_json()}, {"members": []}])
def test_where_nothing_is_changed_nothing_is_shown(stored_arrays, parameters):
    arrays = stored_arrays(np.zeros((2, 1, 1, 9, 9), np.uint8))
    assert augmented(recipe(**parameters), arrays, np.arange(2)) is None
    assert augmented(recipe(augmentation=TURNS), arrays, np.arange(0)) is None
