from __future__ import annotations

import numpy as np
import pytest

from medloop.networks import backbones, classifier, onnx
from medloop.networks.backbones import BackboneSpec
from medloop.networks.classifier import Classifier, ClassifierSpec, Viewed
from medloop.torch_compat import torch

SHAPES = {
    "flat": ((1, 20, 24), ClassifierSpec(3, regions=(1, 2), dropout=0.2)),
    "colour": ((3, 24, 24), ClassifierSpec(1, views=4)),
    "attention": ((1, 9, 20, 20), ClassifierSpec(2, join="attention", slices=4, planes="zyx")),
    "recurrent": ((1, 6, 20, 24), ClassifierSpec(1, join="gru")),
}


def _net(spec, side=32):
    torch.manual_seed(1)
    net = Classifier(backbones.build(BackboneSpec(side=side, stages=(1, 2), weights="none")), spec)
    return net.eval()


def _pixels(shape, count=5):
    return np.random.default_rng(0).integers(0, 256, (count, *shape), dtype=np.uint8)


@pytest.fixture(params=SHAPES, ids=str)
def made(request):
    shape, spec = SHAPES[request.param]
    net, pixels = _net(spec), _pixels(shape)
    with torch.no_grad():
        net.answer.level.learn(net.features(torch.from_numpy(pixels)))
        torch.nn.init.normal_(net.answer.head.linear.weight)
    return net, pixels


def test_every_case_by_itself_and_as_onnx(made):
    net, pixels = made
    with torch.no_grad():
        together = net(torch.from_numpy(pixels))
        alone = torch.cat([net(torch.from_numpy(pixels[[row]])) for row in range(len(pixels))])
    assert together.shape == (len(pixels), net.spec.columns)
    assert float(together.std(0).min()) > 0
    np.testing.assert_allclose(together, alone, atol=1e-4)
    viewed = Viewed(net)
    content = onnx.write(viewed, pixels.shape[1:], ["scores"])
    assert onnx.check(content, viewed, pixels) < onnx.TOLERANCE


def test_the_check_above_finds_other_weights():
    net, pixels = _net(ClassifierSpec(2)), _pixels((1, 24, 24))
    content = onnx.write(net, pixels.shape[1:], ["scores"])
    with torch.no_grad():
        net.answer.head.linear.weight.mul_(1.1)
    with pytest.raises(RuntimeError, match="differ"):
        onnx.check(content, net, pixels)


def test_views_make_the_answer_the_same_for_flipped_pictures():
    pixels = torch.from_numpy(_pixels((1, 24, 24)))
    for count, change in ((2, lambda x: x.flip(-1)), (4, lambda x: x.flip(-2)), (8, lambda x: x.transpose(-1, -2))):
        net = Viewed(_net(ClassifierSpec(2, views=count)))
        plain = _net(ClassifierSpec(2))
        with torch.no_grad():
            np.testing.assert_allclose(net(pixels), net(change(pixels)), atol=1e-4)
            assert not np.allclose(plain(pixels), plain(change(pixels)), atol=1e-4)
    assert [len(classifier.views(pixels, count)) for count in classifier.TURNS] == list(classifier.TURNS)


def test_blocks_hold_every_parameter_once_and_the_head_last():
    net = _net(ClassifierSpec(2, join="attention"))
    blocks = net.blocks()
    found = [id(each) for block in blocks for each in block]
    assert sorted(found) == sorted(id(each) for each in net.parameters())
    assert any(each is net.answer.head.linear.weight for each in blocks[-1])
    assert len(blocks) > 3


def test_slices_are_evenly_spaced_across_each_axis():
    volume = torch.arange(8 * 4 * 6, dtype=torch.float32).reshape(1, 1, 8, 4, 6)
    found = classifier._across(volume, "z", 4)
    assert torch.equal(found, volume[:, :, [1, 3, 5, 7]])
    assert classifier._across(volume, "x", 2).shape == (1, 1, 2, 8, 4)
    assert torch.equal(classifier._across(volume, "y", 9), volume.movedim(3, 2))


def test_specs_travel_as_json():
    spec = ClassifierSpec(4, (1, 3), "gru", 7, "zy", 0.1, 2)
    assert ClassifierSpec.from_json(spec.to_json()) == spec
