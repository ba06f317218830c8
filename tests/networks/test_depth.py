from __future__ import annotations

import pytest

from medloop.networks import backbones, depth
from medloop.networks.backbones import BackboneSpec
from medloop.torch_compat import timm, torch


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "resnet18"])
def test_blocks_are_left_out_only_while_learning(name):
    spec = BackboneSpec(name=name, side=32, stages=(1, 2), weights="none")
    net = backbones.build(spec)
    for module in net.modules():  # a residual branch of a new network may begin as nothing
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.ones_(module.weight)
    pixels = torch.randint(0, 256, (4, 1, 24, 24), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    with torch.no_grad():
        before = net(pixels)[-1]
        assert depth.skip(net, 0.5) > 2
        assert torch.equal(net(pixels)[-1], before)
        for module in net.modules():
            if isinstance(module, timm.layers.DropPath):
                module.train()
        torch.manual_seed(1)
        assert not torch.equal(net(pixels)[-1], before)


def test_deeper_blocks_are_left_out_more_often():
    net = backbones.build(BackboneSpec(side=32, stages=(1, 2, 3), weights="none"))
    depth.skip(net, 0.4)
    rates = [module.drop_prob for module in net.modules() if isinstance(module, timm.layers.DropPath)]
    assert rates == sorted(rates)
    assert rates[-1] == pytest.approx(0.4)
