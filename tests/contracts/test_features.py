"""What every feature promises, whichever it is: each registered name enters by itself."""

from __future__ import annotations

import dataclasses
import json
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from medloop import features, registry
from medloop.compute import Compute
from medloop.errors import InputError


def _blobs(count, channels, slices, side, seed=0):
    """Smooth random pictures, the first one blank."""
    draw = np.random.default_rng(seed)
    pixels = draw.normal(size=(count, channels, slices, side, side)).astype(np.float32)
    for picture in pixels.reshape(-1, side, side):
        picture[:] = cv2.GaussianBlur(picture, (0, 0), 2)
    pixels = (pixels - pixels.min()) / np.ptp(pixels)
    pixels[0] = 0
    return pixels


KINDS = {
    "grey": lambda: (np.uint8(_blobs(7, 1, 1, 32) * 255), {}),
    "wide": lambda: (np.uint8(_blobs(7, 1, 1, 48) * 255)[..., :24, :], {}),
    "sixteen bits": lambda: (np.uint16(_blobs(7, 1, 1, 32) * 4095), {}),
    "half": lambda: ((_blobs(7, 2, 1, 32) * 6 - 3).astype(np.float16), {}),
    "colour": lambda: (np.uint8(_blobs(7, 3, 1, 40) * 255), {"colour": True}),
    "volume": lambda: (np.uint8(_blobs(5, 1, 18, 20) * 255), {}),
    "solid": lambda: (np.uint8(_blobs(5, 1, 16, 16) > 0.5) * np.uint8(255), {"spacing_mm": (2.0, 1.0, 1.0)}),
    "mask": lambda: (np.uint8(_blobs(5, 1, 1, 28) > 0.5), {}),
}


def _suiting(kind):
    pixels, facts = KINDS[kind]()
    binary = len(np.unique(pixels)) == 2
    seen = SimpleNamespace(shape=pixels.shape[1:], dtype=pixels.dtype, colour=facts.get("colour", False), binary=binary)
    return [(each.name, kind) for each in features.suiting(seen)]


@pytest.fixture(params=[pair for kind in KINDS for pair in _suiting(kind)], ids=" ".join)
def case(request, stored_arrays):
    name, kind = request.param
    pixels, facts = KINDS[kind]()
    return stored_arrays(pixels, **facts), features.feature(name)


def _all(arrays):
    return arrays.take(np.arange(len(arrays)))


def _state(arrays, feature):
    with Compute(0) as compute:
        return features.fit(arrays, np.arange(1, len(arrays)), feature, seed=3, compute=compute)


def test_rows_are_finite_float32_and_as_many_as_images(case):
    arrays, feature = case
    rows = features.extract(_all(arrays), feature, _state(arrays, feature))
    assert rows.dtype == np.float32
    assert rows.shape[0] == len(arrays)
    assert rows.shape[1] > 0
    assert np.isfinite(rows).all()
    assert np.ptp(rows[1:], axis=0).max() > 0, "different pictures must not all look the same"


def test_a_row_depends_on_its_own_image_only(case):
    arrays, feature = case
    state = _state(arrays, feature)
    together = features.extract(_all(arrays), feature, state)
    alone = np.concatenate([features.extract(arrays.take([place]), feature, state) for place in range(len(arrays))])
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)


def test_learning_is_repeatable_and_its_state_is_arrays(case):
    arrays, feature = case
    first, second = _state(arrays, feature), _state(arrays, feature)
    assert first.keys() == second.keys()
    for key, value in first.items():
        assert isinstance(value, np.ndarray)
        assert value.dtype.kind in "fui"
        np.testing.assert_array_equal(value, second[key])


@pytest.mark.parametrize("name", [name for name, _ in _suiting("half")])
def test_nan_and_infinity_never_leave(name, stored_arrays):
    pixels, _ = KINDS["half"]()
    arrays, feature = stored_arrays(pixels), features.feature(name)
    broken = _all(arrays)
    broken[1, 0, 0, :3, :3] = np.nan
    broken[2, 0, 0, :3, :3] = np.inf
    assert np.isfinite(features.extract(broken, feature, _state(arrays, feature))).all()


@pytest.mark.parametrize("name", registry.names("features"))
def test_parameters_are_json_both_ways(name):
    module = features.feature(name).module
    assert isinstance(module.VERSION, int)
    assert not module.CHOICES or module.CHOICES[0] == module.Params()
    for params in (*module.CHOICES, module.Params()):
        assert dataclasses.is_dataclass(params)
        told = json.loads(json.dumps(features.Feature(name, params).to_json()))
        assert features.feature(told["name"], told["params"]) == features.Feature(name, params)


@pytest.mark.parametrize("name", registry.names("features"))
def test_every_choice_works_where_the_feature_suits(name, stored_arrays):
    tried = 0
    for make in KINDS.values():
        pixels, facts = make()
        arrays = stored_arrays(pixels[:4], **facts)
        for params in features.feature(name).module.CHOICES or (features.feature(name).params,):
            feature = features.Feature(name, params)
            if feature.module.suits(arrays):
                assert np.isfinite(features.extract(_all(arrays), feature, _state(arrays, feature))).all()
                tried += 1
    assert tried, "a feature that suits nothing"


@pytest.mark.parametrize("name", registry.names("features"))
def test_a_wrong_parameter_is_told(name):
    with pytest.raises(InputError, match="no parameter 'nonsense'"):
        features.feature(name, {"nonsense": 1})


def test_a_misspelt_feature_is_told():
    with pytest.raises(InputError, match="Did you mean"):
        features.feature("hogg")
