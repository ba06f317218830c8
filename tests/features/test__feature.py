from __future__ import annotations

from types import SimpleNamespace

import pytest

from medloop import features
from medloop.errors import InputError


def test_json_lists_become_tuples_and_whole_numbers_pass_for_real_ones():
    sift = features.feature("sift", {"sizes": [4, 8], "levels": [1, 2]})
    assert sift.params.sizes == (4.0, 8.0)
    assert isinstance(sift.params.sizes[0], float)
    assert sift.params.levels == (1, 2)


@pytest.mark.parametrize("wrong", [{"step": "8"}, {"step": True}, {"root": 1}, {"sizes": 4.0}, {"sizes": ["x"]}])
def test_a_value_of_another_type_is_told(wrong):
    with pytest.raises(InputError, match=r"Allowed: .*step"):
        features.feature("sift", wrong)


def test_what_suits_depends_on_the_images():
    def names(channels, slices, side, **facts):
        facts = {"colour": False, "binary": False} | facts
        arrays = SimpleNamespace(shape=(channels, slices, side, side), **facts)
        return {each.name for each in features.suiting(arrays)}

    assert {"colour", "regions"} <= names(3, 1, 64, colour=True)
    assert not {"colour", "regions", "shape"} & names(3, 1, 64)
    assert "shape" in names(1, 28, 28, binary=True)
    assert not {"sift", "texture", "intensity"} & names(1, 28, 28, binary=True)
    assert names(1, 1, 2) == {"intensity"}, "even the smallest picture has a brightness"
