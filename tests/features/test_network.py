from __future__ import annotations

import subprocess
import sys

import cv2
import numpy as np
import pytest

from medloop import features
from medloop.compute import Compute
from medloop.errors import InputError
from medloop.features import network
from medloop.networks import backbones, onnx

SIDE = {"side": 32}


def _pixels(count=3, channels=1, depth=1, rows=32, columns=32, seed=0):
    draw = np.random.default_rng(seed)
    pixels = draw.normal(size=(count, channels, depth, rows, columns)).astype(np.float32)
    for picture in pixels.reshape(-1, rows, columns):
        picture[:] = cv2.GaussianBlur(picture, (0, 0), 2) * 6
    return np.clip(128 + 40 * pixels, 0, 255).astype(np.uint8)


def _state(arrays, feature, cache=None):
    return features.fit(arrays, np.arange(len(arrays)), feature, seed=0, compute=Compute(0), cache=cache)


@pytest.fixture
def rows(stored_arrays):
    """A function: pixels and parameters to features."""

    def compute(pixels, **params):
        arrays, feature = stored_arrays(pixels), features.feature("network", SIDE | params)
        return features.extract(arrays.take(np.arange(len(arrays))), feature, _state(arrays, feature))

    return compute


def test_eight_views_do_not_care_how_a_picture_is_turned(rows):
    pixels = _pixels()
    turned = np.swapaxes(pixels, -1, -2)[..., ::-1]
    np.testing.assert_allclose(rows(turned, views=8), rows(pixels, views=8), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(rows(pixels[..., ::-1], views=2), rows(pixels, views=2), rtol=1e-3, atol=1e-3)
    assert np.abs(rows(turned, views=1) - rows(pixels, views=1)).max() > 0.1
    assert np.abs(rows(turned, views=2) - rows(pixels, views=2)).max() > 0.1


def test_views_lie_side_by_side_or_are_averaged(rows):
    pixels = _pixels()
    each = rows(pixels, views=4, join="each").reshape(len(pixels), 4, -1)
    np.testing.assert_allclose(each.mean(axis=1), rows(pixels, views=4), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(each[:, 0], rows(pixels), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(each[:, 2], rows(pixels[..., ::-1, :]), rtol=1e-3, atol=1e-3)


def test_a_region_sees_its_own_part(stored_arrays):
    pixels = _pixels(2, rows=64, columns=64)
    pixels[1] = pixels[0]
    pixels[1, :, :, 40:, 40:] = 255 - pixels[1, :, :, 40:, 40:]
    arrays = stored_arrays(pixels)
    feature = features.feature("network", {"side": 64, "regions": [1, 2], "stages": [0]})
    state = _state(arrays, feature)
    found = features.extract(arrays.take(np.arange(2)), feature, state)
    whole, quarters = feature.blocks(state)
    assert (whole.name, quarters.name) == ("stage 0", "stage 0 2x2")
    assert whole.width + quarters.width == found.shape[1]
    change = np.abs(found[1] - found[0])[whole.width :].reshape(4, -1).max(axis=1)
    assert change[3] > 0.1
    assert change[:3].max() < 1e-4


def test_stages_are_those_of_all(rows, stored_arrays):
    feature = features.feature("network", SIDE)
    arrays = stored_arrays(_pixels())
    blocks = feature.blocks(_state(arrays, feature))
    assert [block.name for block in blocks] == [f"stage {number}" for number in range(5)]
    whole = rows(_pixels())
    ends = np.cumsum([block.width for block in blocks])
    np.testing.assert_allclose(rows(_pixels(), stages=(1, 2)), whole[:, ends[0] : ends[2]], rtol=1e-4, atol=1e-4)


def test_levelled_pictures_are_alike_whatever_their_exposure(rows):
    pixels = _pixels()
    darker = (pixels // 2 + 20).astype(np.uint8)
    gap = {level: np.abs(rows(darker, level=level) - rows(pixels, level=level)).mean() for level in (True, False)}
    assert gap[True] < 0.2 * gap[False]


def test_a_volume_is_the_mean_and_deviation_of_its_slices(rows):
    volume = _pixels(2, depth=4)
    slices = np.stack([rows(volume[:, :, place : place + 1]) for place in range(4)])
    found = rows(volume, slices=4)
    np.testing.assert_allclose(found, np.concatenate([slices.mean(axis=0), slices.std(axis=0)], axis=1), rtol=1e-3, atol=1e-3)
    with_others = rows(volume, slices=4, axes="zyx")
    assert with_others.shape[1] == 3 * found.shape[1]
    np.testing.assert_allclose(with_others[:, : found.shape[1]], found, rtol=1e-4, atol=1e-4)


def test_a_volume_projected_is_a_picture_for_each_axis(rows):
    volume = _pixels(2, depth=32)
    flat = [volume.mean(axis=axis, dtype=np.float32) for axis in (2, 3)]
    shown = [np.rint(255 * each / each.max(axis=(1, 2, 3), keepdims=True)).astype(np.uint8)[:, :, None] for each in flat]
    found = rows(volume, slices=0, axes="zy")
    np.testing.assert_allclose(found, np.concatenate([rows(each) for each in shown], axis=1), rtol=1e-3, atol=1e-3)


def test_every_column_has_a_name(stored_arrays):
    for params, depth in (({}, 1), ({"views": 2, "join": "each"}, 1), ({"axes": "zx", "regions": [1, 2]}, 9), ({"slices": 0}, 9)):
        arrays = stored_arrays(_pixels(2, depth=depth))
        feature = features.feature("network", SIDE | params)
        state = _state(arrays, feature)
        blocks = feature.blocks(state)
        found = features.extract(arrays.take(np.arange(2)), feature, state)
        assert sum(block.width for block in blocks) == found.shape[1]
        assert len({block.name for block in blocks}) == len(blocks)


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
@pytest.mark.parametrize("views", [1, 8])
def test_any_channels_and_any_aspect(rows, channels, views):
    found = rows(_pixels(2, channels, rows=40, columns=28), views=views)
    assert found.shape == (2, 1024)
    assert np.ptp(found, axis=0).max() > 0


def test_it_is_made_once_for_all_images(stored_arrays, tmp_path, monkeypatch):
    feature = features.feature("network", SIDE)
    first = _state(stored_arrays(_pixels()), feature, tmp_path)
    monkeypatch.setattr(network, "_exported", lambda *anything: pytest.fail("made again"))
    monkeypatch.setattr(network, "_eyes", type(network._eyes)())
    second = _state(stored_arrays(_pixels(seed=1)), feature, tmp_path)
    np.testing.assert_array_equal(first["onnx"], second["onnx"])
    assert len(list((tmp_path / "features").iterdir())) == 1


def test_other_weights_in_the_same_file_are_noticed(stored_arrays, tmp_path):
    from safetensors.torch import save_file

    arrays, path = stored_arrays(_pixels()), tmp_path / "weights.safetensors"
    told = []
    for scale in (1.0, 0.5):
        spec = backbones.BackboneSpec(side=32, weights="none")
        save_file({name: tensor * scale for name, tensor in backbones.build(spec).state_dict().items()}, path)
        feature = features.feature("network", SIDE | {"weights": str(path)})
        told.append((feature.source(arrays), _state(arrays, feature)["onnx"].tobytes()))
    assert told[0][0] != told[1][0]
    assert told[0][1] != told[1][1]


def test_a_network_that_onnx_gets_wrong_is_never_used(stored_arrays, monkeypatch):
    honest = onnx.write

    def wrong(module, *rest):
        module[0].net.conv_stem.weight.data *= 1.01
        content = honest(module, *rest)
        module[0].net.conv_stem.weight.data /= 1.01
        return content

    monkeypatch.setattr(onnx, "write", wrong)
    monkeypatch.setattr(network, "_eyes", type(network._eyes)())
    with pytest.raises(RuntimeError, match="differ"):
        _state(stored_arrays(_pixels()), features.feature("network", SIDE))


@pytest.mark.parametrize(
    "params",
    [{"views": 3}, {"join": "sum"}, {"regions": [0]}, {"slices": -1}, {"axes": "zz"}, {"axes": "t"}, {"side": 4}, {"stages": [9]}],
    ids=str,
)
def test_what_means_nothing_is_told(stored_arrays, params):
    with pytest.raises(InputError):
        _state(stored_arrays(_pixels(depth=2)), features.feature("network", SIDE | params))


def test_an_unknown_backbone_and_missing_weights_are_told(stored_arrays, tmp_path):
    arrays = stored_arrays(_pixels())
    with pytest.raises(InputError, match="tf_efficientnet_lite0"):
        _state(arrays, features.feature("network", {"backbone": "tf_efficientnet_light0"}))
    with pytest.raises(InputError, match="nowhere"):
        _state(arrays, features.feature("network", {"weights": str(tmp_path / "nowhere.safetensors")}))


def test_computing_needs_no_torch(stored_arrays, tmp_path):
    arrays, feature = stored_arrays(_pixels()), features.feature("network", SIDE)
    np.savez(tmp_path / "state.npz", pixels=arrays.take([0, 1]), **_state(arrays, feature))
    code = (
        "import sys, numpy as np\n"
        "from medloop import features\n"
        f"state = dict(np.load({str(tmp_path / 'state.npz')!r}))\n"
        f"rows = features.extract(state.pop('pixels'), features.feature('network', {SIDE!r}), state)\n"
        "assert rows.shape == (2, 1024), rows.shape\n"
        "assert 'torch' not in sys.modules, 'torch'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
