"""Networks written as ONNX: the same answers, the same bytes, and a difference that is seen."""

from __future__ import annotations

import numpy as np
import onnx as format_
import pytest

from medloop.networks import onnx, running
from medloop.networks.backbones import BackboneSpec, build
from medloop.torch_compat import torch

NAMES = ["first", "last"]


class _Scores(torch.nn.Module):
    """A backbone with dropout and a batch norm in front of three scores."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.backbone = build(BackboneSpec(side=64, stages=(1, 3)))
        self.last = torch.nn.Sequential(torch.nn.BatchNorm1d(112), torch.nn.Dropout(0.5), torch.nn.Linear(112, 3))

    def forward(self, pixels):
        first, last = self.backbone(pixels)
        return first, self.last(last.mean(dim=(2, 3)))


@pytest.fixture(scope="module")
def net():
    return _Scores().eval()


def test_any_number_of_images(net, pictures):
    written = onnx.write(net, pictures.shape[1:], NAMES)
    graph = format_.load_from_string(written).graph
    assert [each.name for each in graph.input] == ["pixels"]
    assert [each.name for each in graph.output] == NAMES
    whole = running.run(written, pictures)
    for count in (1, 5):
        for mine, theirs in zip(running.run(written, pictures[:count]), whole, strict=True):
            np.testing.assert_allclose(mine, theirs[:count], rtol=1e-4, atol=1e-5)


def test_the_same_network_gives_the_same_bytes(net, pictures):
    written = onnx.write(net, pictures.shape[1:], NAMES)
    assert written == onnx.write(_Scores(), pictures.shape[1:], NAMES)
    assert b"site-packages" not in written
    assert b"/src/" not in written


def test_the_licence_of_the_weights_goes_along(net, pictures):
    told = running.about(onnx.write(net, pictures.shape[1:], NAMES))
    assert told == {
        "weights_name": "tf_efficientnet_lite0",
        "weights_digest": net.backbone.origin.digest,
        "weights_licence": "apache-2.0",
    }


def test_training_goes_on_as_before(net, pictures):
    before = {name: value.clone() for name, value in net.state_dict().items()}
    net.train()
    written = onnx.write(net, pictures.shape[1:], NAMES)
    onnx.check(written, net, pictures)
    assert net.training
    assert net.last[1].training
    assert all(each.requires_grad for each in net.parameters())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    net.eval()


def test_a_difference_is_seen(net, pictures):
    written = onnx.write(net, pictures.shape[1:], NAMES)
    other = _Scores().eval()
    assert onnx.check(written, other, pictures) <= 1e-4
    with torch.no_grad():
        other.last[2].bias[1] += 0.1
    with pytest.raises(RuntimeError, match="differ by"):
        onnx.check(written, other, pictures)
    with torch.no_grad():
        other.last[2].bias[1] = torch.nan
    with pytest.raises(RuntimeError, match="differ by nan"):
        onnx.check(written, other, pictures)


def test_volumes(pictures):
    class Volumes(torch.nn.Module):
        def forward(self, pixels):
            return pixels.float().mean(dim=(1, 3, 4))

    volumes = pictures[:, :, None].repeat(4, axis=2)
    written = onnx.write(Volumes(), volumes.shape[1:], ["scores"])
    np.testing.assert_allclose(running.run(written, volumes)[0], volumes.mean(axis=(1, 3, 4)), rtol=1e-5)


def test_answers_by_name(pictures):
    class Named(torch.nn.Module):
        def forward(self, pixels):
            values = pixels.float()
            return {"mean": values.mean(dim=(2, 3)), "most": values.amax(dim=(2, 3)), "other": values}

    written = onnx.write(Named(), pictures.shape[1:], ("most", "mean"))
    assert running.names(written) == ("most", "mean")
    most, mean = running.run(written, pictures)
    np.testing.assert_allclose(most, pictures.max(axis=(2, 3)))
    np.testing.assert_allclose(mean, pictures.mean(axis=(2, 3)), rtol=1e-5)
    assert onnx.check(written, _WithParameter(Named()), pictures) < 1e-5


class _WithParameter(torch.nn.Module):
    def __init__(self, module):
        super().__init__()
        self.module, self.own = module, torch.nn.Parameter(torch.zeros(1))

    def forward(self, pixels):
        return self.module(pixels)
