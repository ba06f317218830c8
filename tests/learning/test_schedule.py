"""Rates over steps and blocks, weight decay where it belongs, blocks that stand still."""

import dataclasses

import pytest
import torch
from torch import nn

from medloop.learning import schedule
from medloop.learning.plan import Plan
from tests.learning.lessons import Net

PLAN = Plan(rate=0.1, head_rate=5.0, layer_decay=0.5, decay=0.01, warm_up=0.2)


def shares(plan, steps=100):
    return [schedule.factor(step, steps, plan) for step in range(steps)]


def test_the_rate_rises_then_falls_as_a_cosine():
    found = shares(PLAN)
    assert found[:20] == pytest.approx([(k + 1) / 21 for k in range(20)])
    assert max(found) == found[20] == 1
    assert found[60] == pytest.approx(0.5)
    assert found[20:] == sorted(found[20:], reverse=True)
    assert 0 < found[-1] < 0.001


def test_constant_and_stepped_rates():
    assert set(shares(dataclasses.replace(PLAN, schedule="constant"))[20:]) == {1}
    stepped = shares(dataclasses.replace(PLAN, schedule="step", warm_up=0.0))
    assert [stepped[k] for k in (0, 59, 60, 84, 85, 99)] == [1, 1, 0.1, 0.1, 0.01, 0.01]


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_few_steps_still_learn(steps):
    assert all(0 < share <= 1 for share in shares(PLAN, steps))


def test_blocks_further_from_the_head_learn_slower():
    assert [schedule.block_rate(k, 4, PLAN) for k in range(4)] == pytest.approx([0.025, 0.05, 0.1, 0.5])


def test_norms_and_biases_do_not_decay():
    net = Net()
    groups = schedule.parameter_groups(net.blocks(), PLAN)
    decay = {id(each): group["weight_decay"] for group in groups for each in group["params"]}
    assert {name: decay[id(each)] for name, each in net.named_parameters()} == {
        "stem.weight": 0.01, "stem.bias": 0.0, "norm.weight": 0.0, "norm.bias": 0.0, "deep.weight": 0.01, "deep.bias": 0.0,
        "head.weight": 0.01, "head.bias": 0.0,
    }  # fmt: skip


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
def test_frozen_blocks_are_not_given_to_the_optimiser(optimiser):
    net = Net()
    made = schedule.optimiser(net.blocks(), dataclasses.replace(PLAN, frozen=2, optimiser=optimiser))
    assert {id(each) for group in made.param_groups for each in group["params"]} == {id(net.head.weight), id(net.head.bias)}
    schedule.set_rates(made, 0.5)
    assert {group["lr"] for group in made.param_groups} == {0.25}


def test_blocks_are_unfrozen_from_the_head_down():
    plan = dataclasses.replace(PLAN, unfreeze_every=2, frozen=1)
    assert [schedule.frozen_in(epoch, 4, plan) for epoch in range(1, 8)] == [3, 3, 2, 2, 1, 1, 1]
    assert [schedule.frozen_in(epoch, 4, PLAN) for epoch in (1, 9)] == [0, 0]
    assert schedule.frozen_in(1, 4, dataclasses.replace(PLAN, frozen=9)) == 3, "the head is always trained"


def test_freezing_holds_weights_and_statistics():
    net = Net()
    schedule.freeze(net, net.blocks(), 1, keep=False)
    assert [each.requires_grad for each in (net.stem.weight, net.norm.weight, net.deep.weight)] == [False, False, True]
    assert (net.norm.training, net.drop.training) == (False, True)
    schedule.freeze(net, net.blocks(), 0, keep=False)
    assert (net.norm.training, net.stem.weight.requires_grad) == (True, True)
    schedule.freeze(net, net.blocks(), 0, keep=True)
    assert (net.norm.training, net.norm.weight.requires_grad) == (False, True)


def test_a_norm_without_weights_follows_the_plan():
    net = Net()
    net.plain = nn.BatchNorm2d(8, affine=False)
    schedule.freeze(net, net.blocks(), 3, keep=False)
    assert net.plain.training
    assert not torch.is_grad_enabled() or not net.head.weight.requires_grad
