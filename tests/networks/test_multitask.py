from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from medloop.networks import backbones, costs, multitask, onnx, running
from medloop.networks.backbones import BackboneSpec
from medloop.networks.classifier import Classifier, ClassifierSpec
from medloop.networks.joint import Joint, JointSpec
from medloop.networks.multitask import OUTPUTS, Multitask, MultitaskSpec

ALL = MultitaskSpec(columns=3, masks=2, boxes=1, measures=2, image=True, embedding=8, kinds=3, width=32)


def _net(spec, channels=0, weights="none", side=48):
    torch.manual_seed(1)
    return Multitask(backbones.build(BackboneSpec(side=side, stages=(0, 1, 2), weights=weights, channels=channels)), spec).eval()


def _pixels(*shape):
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))


@pytest.mark.parametrize("shape", [(2, 1, 40, 48), (2, 1, 3, 40, 48)], ids=["flat", "deep"])
def test_each_answer_has_its_shape_and_only_what_is_asked_is_answered(shape):
    net, pixels = _net(ALL), _pixels(*shape)
    inner, deep = shape[2:], shape[2:-2]
    with torch.inference_mode():
        found = net(pixels)
        few = _net(MultitaskSpec(masks=2, width=32))(pixels)
        assert set(net.answers(net.maps(pixels), pixels, ("classes",))) == {"classes"}
    assert tuple(found) != ()
    assert {name: tuple(each.shape) for name, each in found.items()} == {
        "classes": (2, 3),
        "masks": (2, 3, *inner),
        "centres": (2, 1, *deep, 5, 6),
        "sizes": (2, 4, *deep, 5, 6),
        "measures": (2, 2),
        "image": (2, 1, *deep, 10, 12),
        "embedding": (2, 8),
    }
    assert set(few) == {"masks"}
    assert ALL.outputs == OUTPUTS


@pytest.mark.parametrize("join", ["mean", "attention", "gru"])
def test_specs_travel_as_json(join):
    spec = MultitaskSpec(2, 3, 1, 4, 2, True, 16, 5, (1, 2), join, 0.1, 48, 2, True, 3)
    assert MultitaskSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec
    assert BackboneSpec.from_json(json.loads(json.dumps(BackboneSpec(channels=4).to_json()))) == BackboneSpec(channels=4)


def test_a_slice_comes_after_those_before_it_and_before_those_behind_it():
    volume = torch.arange(2 * 4, dtype=torch.float32).reshape(1, 2, 4, 1, 1)  # channel 0: 0..3, channel 1: 4..7
    found = multitask.slices(volume, 1)[:, :, 0, 0]
    assert found.tolist() == [[0, 4, 0, 4, 1, 5], [0, 4, 1, 5, 2, 6], [1, 5, 2, 6, 3, 7], [2, 6, 3, 7, 3, 7]]
    assert multitask.slices(volume, 0)[:, :, 0, 0].tolist() == [[0, 4], [1, 5], [2, 6], [3, 7]]
    assert multitask.slices(volume[:, :, 1], 1)[0, :, 0, 0].tolist() == [1, 5] * 3
    assert multitask.slices(volume[:, :, :2], 2)[:, ::2, 0, 0].tolist() == [[0, 0, 0, 1, 1], [0, 0, 1, 1, 1]]


def test_slices_of_cases_do_not_mix():
    net, pixels = _net(MultitaskSpec(2, 1, context=1, join="attention"), channels=6), _pixels(3, 2, 4, 24, 24)
    with torch.inference_mode():
        whole, one = net(pixels), net(pixels[1:2])
        other = pixels.clone()
        other[:, :, 3] = 0
        changed = (net(other)["masks"] != whole["masks"]).flatten(3).any(dim=3).any(dim=1)
    for name in whole:
        np.testing.assert_allclose(whole[name][1:2], one[name], atol=1e-4)
    assert changed.tolist() == [[False, False, True, True]] * 3


def test_blocks_hold_every_parameter_once_and_what_is_new_last():
    net = _net(ALL)
    blocks = net.blocks()
    assert sorted(id(each) for block in blocks for each in block) == sorted(id(each) for each in net.parameters())
    assert len(blocks) == len(net.backbone.blocks()) + 2
    assert any(each is net.masks.scores.weight for each in blocks[-1])
    assert any(each is net.answer.head.linear.weight for each in blocks[-2])


def test_a_network_of_classes_is_where_this_one_can_begin():
    start = Classifier(backbones.build(BackboneSpec(side=48, stages=(0, 1, 2), weights="none")), ClassifierSpec(3))
    with torch.no_grad():
        for each in start.parameters():
            each.add_(torch.randn_like(each) * 0.01)
    spec = BackboneSpec(side=48, stages=(0, 1, 2), weights="none")
    net = Multitask(backbones.build(spec, state=start.backbone.state_dict()), MultitaskSpec(columns=3, masks=1)).eval()
    net.answer.load_state_dict(start.answer.state_dict())
    pixels = _pixels(2, 1, 40, 48)
    with torch.inference_mode():
        np.testing.assert_allclose(net(pixels)["classes"], start.eval()(pixels), atol=1e-5)


@pytest.mark.parametrize("guide", [{"masks": 2}, {"boxes": 2}], ids=["masks", "boxes"])
@pytest.mark.parametrize("shape", [(2, 1, 40, 48), (2, 1, 3, 40, 48)], ids=["flat", "deep"])
def test_what_is_asked_of_the_case_looks_where_the_network_sees_things(guide, shape):
    net, pixels = _net(MultitaskSpec(columns=3, width=16, guided=True, **guide)), _pixels(*shape)
    plain = _net(MultitaskSpec(columns=3, width=16, **guide))
    maps = net.maps(pixels)
    assert net.pool.width == 3 * plain.pool.width
    assert set(net.answers(maps, pixels, ("classes",))) == {"classes"}
    before = net.pooled(maps, pixels)
    torch.testing.assert_close(before, net.features(pixels))
    torch.testing.assert_close(before[..., : plain.pool.width], plain.features(pixels))
    last = net.masks.scores if "masks" in guide else net.boxes
    net.answers(maps, pixels, ("classes",))["classes"].sum().backward()
    assert all(each.grad is None for each in last.parameters()), "classes do not pull at what is said of places"
    with torch.no_grad():
        for each in last.parameters():
            each.add_(torch.randn_like(each))
    after = net.pooled(maps, pixels)
    torch.testing.assert_close(after[..., : plain.pool.width], before[..., : plain.pool.width])
    assert not torch.allclose(after[..., plain.pool.width :], before[..., plain.pool.width :])


GUIDED = MultitaskSpec(columns=3, masks=2, boxes=1, width=16, guided=True)
DEEP = MultitaskSpec(2, 1, context=1, join="gru")
FINE = MultitaskSpec(masks=2, context=1, fine=3)


@pytest.mark.parametrize(
    ("spec", "shape"), [(ALL, (1, 40, 48)), (GUIDED, (1, 40, 45)), (DEEP, (1, 3, 24, 24)), (FINE, (1, 3, 25, 24))]
)
def test_onnx_answers_as_torch_does(spec, shape):
    net, pixels = _net(spec), _pixels(3, *shape).numpy()
    names = spec.outputs[::-1]
    content = onnx.write(net, shape, names)
    assert running.names(content) == names
    assert onnx.check(content, net, pixels) < onnx.TOLERANCE
    assert running.run(content, pixels)[names.index("masks")].shape == (3, spec.masks + 1, *shape[1:])
    with torch.no_grad():
        net.masks.scores.bias[1] += 1
    with pytest.raises(RuntimeError, match="differ"):
        onnx.check(content, net, pixels)


def test_four_pictures_are_learnt_by_heart(pictures):
    pixels = torch.from_numpy(pictures[:4])
    values = torch.nn.functional.avg_pool2d(pixels.float().mean(dim=1), 7, 1, 3)
    truth = ((values > 90).to(torch.uint8) + (values > 150).to(torch.uint8)).contiguous()
    net = _net(MultitaskSpec(masks=2), weights="pretrained")
    joint = Joint(net, costs.of(["masks"]), JointSpec())
    optimiser = torch.optim.AdamW(joint.parameters(), 3e-3)
    for _ in range(40):
        optimiser.zero_grad()
        joint.loss(joint(pixels), {"masks": truth}).backward()
        optimiser.step()
    with torch.inference_mode():
        found = net(pixels)["masks"].argmax(dim=1)
    for kind in (1, 2):
        mine, theirs = found == kind, truth == kind
        assert float(2 * (mine & theirs).sum() / (mine.sum() + theirs.sum())) > 0.85
