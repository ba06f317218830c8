from __future__ import annotations

import pytest
import torch

from medloop.networks import pyramid
from medloop.networks.pyramid import Pyramid


def _maps(count=2):
    torch.manual_seed(0)
    return [torch.randn(count, channels, side, side + 3) for channels, side in ((8, 17), (12, 9), (24, 5))]


def test_as_many_maps_of_the_same_sizes_that_narrow_upwards():
    net = Pyramid((8, 12, 24), (2, 4, 8), 96)
    assert net.widths == (24, 48, 96)
    found = net(_maps())
    assert [tuple(found[level].shape[1:]) for level in range(3)] == [(24, 17, 20), (48, 9, 12), (96, 5, 8)]
    coarse = net(_maps(), 1)
    assert set(coarse) == {1, 2}
    assert torch.equal(coarse[1], found[1])
    assert [net.nearest(reduction) for reduction in (1, 2, 4, 7, 64)] == [0, 0, 1, 2, 2]
    assert Pyramid((8,), (4,), 8).widths == (16,)


def test_deep_maps_reach_the_shallow_ones_and_never_the_other_way():
    net, maps = Pyramid((8, 12, 24), (2, 4, 8), 32), [each.requires_grad_() for each in _maps()]
    found = net(maps)
    shallow, deep = found[0], found[2]
    slopes = torch.autograd.grad(shallow.square().sum(), maps, retain_graph=True)
    assert all(float(each.abs().sum()) > 0 for each in slopes)
    slopes = torch.autograd.grad(deep.square().sum(), maps, allow_unused=True)
    assert [each is None for each in slopes] == [True, True, False]


def _alone_as_together(net, maps):
    net.train()
    return all(
        torch.allclose(one, several[1:], atol=1e-5)
        for one, several in zip(net([each[1:] for each in maps]).values(), net(maps).values(), strict=True)
    )


def test_a_case_is_seen_by_itself_also_while_learning():
    assert _alone_as_together(Pyramid((8, 12, 24), (2, 4, 8), 32), _maps())


def test_the_check_above_finds_norms_over_the_batch(monkeypatch):
    monkeypatch.setattr(pyramid.torch.nn, "GroupNorm", lambda groups, width: torch.nn.BatchNorm2d(width))
    assert not _alone_as_together(Pyramid((8, 12, 24), (2, 4, 8), 32), _maps())


@pytest.mark.parametrize("size", [(7, 9), (16, 12)])
def test_enlarged_keeps_levels(size):
    values = torch.full((1, 2, 5, 6), 3.0)
    assert torch.equal(pyramid.enlarged(values, size), torch.full((1, 2, *size), 3.0))
