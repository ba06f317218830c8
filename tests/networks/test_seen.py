"""Answers over views: a picture that is turned is answered alike, turned."""

import numpy as np
import pytest
import torch

from medloop.networks import backbones, onnx, seen
from medloop.networks.backbones import BackboneSpec
from medloop.networks.multitask import Multitask, MultitaskSpec
from medloop.networks.seen import Seen

SPEC = MultitaskSpec(columns=3, masks=2, boxes=2, measures=2, embedding=4, kinds=3, width=16, stride=8)
UP, LEFT, DOWN, RIGHT = range(4)


@pytest.fixture(scope="module")
def net():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = Multitask(backbones.build(BackboneSpec(side=32, stages=(0, 1, 2), weights="none")), SPEC).eval()
    with torch.no_grad():
        made.boxes.sizes.weight.normal_(std=0.3, generator=torch.Generator().manual_seed(1))
    return made


def answers(module, pixels):
    with torch.inference_mode():
        return dict(zip(module.names, module(pixels), strict=True))


def pictures():
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 3, 32, 32), dtype=np.uint8))


TURNS = {
    "left-right": (lambda each: each.flip(-1), [UP, RIGHT, DOWN, LEFT]),
    "up-down": (lambda each: each.flip(-2), [DOWN, LEFT, UP, RIGHT]),
    "transposed": (lambda each: each.transpose(-2, -1), [LEFT, UP, RIGHT, DOWN]),
}


@pytest.mark.parametrize("turn", TURNS)
def test_turned_pictures_are_answered_alike(net, turn):
    turned, order = TURNS[turn]
    module = Seen(net, 8)
    plain, other = answers(module, pictures()), answers(module, turned(pictures()))
    for name in ("classes", "measures", "embedding"):
        torch.testing.assert_close(other[name], plain[name], atol=1e-3, rtol=1e-3)
    for name in ("masks", "centres"):
        torch.testing.assert_close(other[name], turned(plain[name]), atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(other["sizes"], turned(plain["sizes"])[:, order], atol=1e-2, rtol=1e-2)
    alone = answers(Seen(net, 1), turned(pictures()))
    assert not torch.allclose(alone["masks"], turned(answers(Seen(net, 1), pictures())["masks"]), atol=1e-3)


def test_masks_are_probabilities_and_onnx_says_the_same(net):
    module = Seen(net, 4).eval()
    found = answers(module, pictures())
    torch.testing.assert_close(found["masks"].sum(dim=1), torch.ones(2, 32, 32))
    torch.testing.assert_close(found["embedding"].norm(dim=1), torch.ones(2))
    content = onnx.write(module, (3, 32, 32), list(module.names))
    onnx.check(content, module, pictures().numpy(), 1e-3)


def test_edges_that_are_not_turned_back_are_noticed(net, monkeypatch):
    monkeypatch.setitem(seen._BACK, "sizes", seen._back)
    module = Seen(net, 8)
    plain, other = answers(module, pictures()), answers(module, pictures().flip(-1))
    assert not torch.allclose(other["sizes"], plain["sizes"].flip(-1)[:, TURNS["left-right"][1]], atol=1e-2)


@pytest.mark.parametrize("sure", [12.0, -12.0])
def test_where_all_views_are_sure_nothing_is_lost(sure):
    """12 is a chance of six in a million against it: of the difference to 1 float32 keeps two digits."""
    views = [torch.full((1, 2, 4, 4), sure), torch.full((1, 2, 4, 4), sure + 0.01)]
    torch.testing.assert_close(seen._joined("centres", views), torch.full((1, 2, 4, 4), sure + 0.005), atol=1e-3, rtol=0)
