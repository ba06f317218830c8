"""Averages of weights against the same sums written plainly."""

import dataclasses

import pytest
import torch

from medloop.learning.average import Average
from medloop.learning.plan import Plan
from tests.learning.lessons import Net

EMA, SWA = Plan(average="ema", ema_decay=0.9), Plan(average="swa", epochs=4, swa_from=0.5)


def change(net):
    with torch.no_grad():
        net.head.weight.add_(1.0)
        net.norm.running_mean.add_(2.0)


def test_ema_forgets_the_first_weights_quickly_then_slowly():
    net = Net()
    average = Average(net, EMA)
    wanted = None
    for count in range(30):
        change(net)
        average.after_step()
        now = net.head.weight.detach().clone()
        decay = min(0.9, (1 + count) / (10 + count))
        wanted = now if wanted is None else decay * wanted + (1 - decay) * now
    torch.testing.assert_close(average.tensors["head.weight"], wanted)
    assert not torch.equal(average.tensors["head.weight"], net.head.weight)


def test_swa_is_the_mean_of_the_last_epochs():
    net = Net()
    average = Average(net, SWA)
    for epoch in range(1, 5):
        change(net)
        average.after_step()
        average.after_epoch(epoch)
    torch.testing.assert_close(average.tensors["head.weight"], net.head.weight - 0.5)
    torch.testing.assert_close(average.tensors["norm.running_mean"], net.norm.running_mean - 1.0)
    assert average.count == 2
    assert "norm.num_batches_tracked" not in average.tensors


def test_swa_of_a_training_that_stops_early_has_its_last_epoch():
    net = Net()
    average = Average(net, dataclasses.replace(SWA, stop_after=1))
    average.after_epoch(1)
    assert average.ready


@pytest.mark.parametrize("plan", [EMA, Plan()])
def test_the_network_gets_its_own_weights_back(plan):
    net = Net()
    average = Average(net, plan)
    average.after_step()
    change(net)
    own = net.head.weight.detach().clone()
    with average.in_place():
        assert torch.equal(net.head.weight, own) == (plan.average == "none")
    assert torch.equal(net.head.weight, own)


def test_goes_on_from_what_was_kept():
    net, other = Net(), Net()
    average, resumed = Average(net, EMA), Average(other, EMA)
    average.after_step()
    resumed.restore({name: each.clone() for name, each in average.tensors.items()}, average.count)
    for each in (net, other):
        change(each)
    average.after_step()
    resumed.after_step()
    assert all(torch.equal(resumed.tensors[name], each) for name, each in average.tensors.items())
