"""Networks run without torch: few at a time, sessions kept, wrong input said."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import onnx as format_
import pytest
from onnx import TensorProto, helper

from medloop.errors import InputError
from medloop.networks import running


def _model(factor=2.0, shape=(1, 8, 8)):
    """Mean of the pixels times a factor, and the number of images in the call."""
    made = helper.make_graph(
        [
            helper.make_node("Cast", ["pixels"], ["values"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["values", "factor"], ["scaled"]),
            helper.make_node("ReduceMean", ["scaled"], ["score"], axes=list(range(1, len(shape) + 1)), keepdims=0),
            helper.make_node("Shape", ["pixels"], ["shape"]),
            helper.make_node("Gather", ["shape", "zero"], ["count"]),
            helper.make_node("Shape", ["score"], ["many"]),
            helper.make_node("Expand", ["count", "many"], ["counts"]),
        ],
        "mean",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["images", *shape])],
        [
            helper.make_tensor_value_info("score", TensorProto.FLOAT, ["images"]),
            helper.make_tensor_value_info("counts", TensorProto.INT64, ["images"]),
        ],
        [
            helper.make_tensor("factor", TensorProto.FLOAT, [], [factor]),
            helper.make_tensor("zero", TensorProto.INT64, [1], [0]),
        ],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    format_.checker.check_model(model)
    return model.SerializeToString()


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 255, (50, 1, 8, 8), dtype=np.uint8)


@pytest.mark.parametrize("threads", [1, 2])
def test_bytes_and_arrays_are_the_same_model(images, threads):
    expected = images.mean(axis=(1, 2, 3)) * 2
    for model in (_model(), np.frombuffer(_model(), np.uint8), np.frombuffer(_model(), np.uint8).copy()):
        score, _ = running.run(model, images, threads)
        np.testing.assert_allclose(score, expected, rtol=1e-5)


def test_few_at_a_time(images):
    assert running.run(_model(), images)[1].max() <= 16
    large = np.zeros((3, 1, 512, 512), np.uint8)
    assert running.run(_model(shape=(1, 512, 512)), large)[1].tolist() == [1, 1, 1]
    assert running.run(_model(), images[:0])[0].shape == (0,)


def test_what_only_unwanted_answers_need_is_not_in_the_session(images):
    model = _model()
    score, counts = running.run(model, images)
    np.testing.assert_array_equal(running.run(model, images, names=["score"])[0], score)
    [*swapped] = running.run(model, images, names=["counts", "score"])
    np.testing.assert_array_equal(swapped[0], counts)
    np.testing.assert_array_equal(swapped[1], score)
    alone = next(each for key, each in reversed(running._sessions.items()) if key[-1] == ("score",))
    assert [each.name for each in alone.inside.get_outputs()] == ["score"]


def test_a_changed_array_is_another_model(images):
    model = np.frombuffer(_model(2.0), np.uint8).copy()
    before, _ = running.run(model, images)
    model[:] = np.frombuffer(_model(3.0), np.uint8)
    np.testing.assert_allclose(running.run(model, images)[0], before * 1.5, rtol=1e-5)


def test_sessions_of_the_last_few_models_are_kept(images):
    for factor in range(10):
        running.run(_model(float(factor)), images)
    assert len(running._sessions) == running._KEPT
    newest = list(running._sessions.values())
    running.run(_model(9.0), images)
    assert list(running._sessions.values()) == newest


@pytest.mark.parametrize("wrong", [(50, 1, 8, 9), (50, 2, 8, 8), (50, 8, 8)])
def test_images_of_another_shape(wrong):
    with pytest.raises(InputError) as caught:
        running.run(_model(), np.zeros(wrong, np.uint8))
    assert caught.value.code == "wrong-images"


def test_images_of_another_kind(images):
    with pytest.raises(InputError, match="float32"):
        running.run(_model(), images.astype(np.float32))


@pytest.mark.parametrize("content", [b"", b"no network", _model()[:-40]], ids=["empty", "text", "cut"])
def test_what_is_no_network(images, content):
    with pytest.raises(InputError) as caught:
        running.run(content, images)
    assert caught.value.code == "unreadable-network"


def test_no_torch_is_loaded():
    program = "import sys; import medloop.networks.running; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_rounded_answers_are_near_and_do_not_depend_on_how_many_are_asked(images):
    if running.precision() != "bfloat16":
        pytest.skip("this processor does not compute in bfloat16, or OpenVINO is not installed")
    exact, rounded = (running.run(_convolved(), images, rounded=each)[0] for each in (False, True))
    assert not np.array_equal(exact, rounded)
    np.testing.assert_allclose(rounded, exact, rtol=0.02)
    for first, last in ((0, 1), (3, 20), (49, 50)):
        np.testing.assert_array_equal(running.run(_convolved(), images[first:last], rounded=True)[0], rounded[first:last])
    with pytest.raises(InputError) as caught:
        running.run(_convolved(), images[:, :, :-1], rounded=True)
    assert caught.value.code == "wrong-images"
    with pytest.raises(InputError) as caught:
        running.run(b"no network", images, rounded=True)
    assert caught.value.code == "unreadable-network"


def _convolved():
    """The mean of a convolution with weights that bfloat16 does not have."""
    weights = np.random.default_rng(0).uniform(0.1, 1, (4, 1, 3, 3)).astype(np.float32)
    made = helper.make_graph(
        [
            helper.make_node("Cast", ["pixels"], ["values"], to=TensorProto.FLOAT),
            helper.make_node("Conv", ["values", "weights"], ["maps"]),
            helper.make_node("ReduceMean", ["maps"], ["means"], axes=[2, 3], keepdims=0),
        ],
        "convolved",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["images", 1, 8, 8])],
        [helper.make_tensor_value_info("means", TensorProto.FLOAT, ["images", 4])],
        [helper.make_tensor("weights", TensorProto.FLOAT, weights.shape, weights.ravel())],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model.SerializeToString()
