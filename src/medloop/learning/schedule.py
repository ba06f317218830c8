"""How the learning rate changes: over the steps, between blocks, and which blocks are trained at all."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn

from medloop.learning.plan import Plan

_STEPS = ((0.85, 0.01), (0.6, 0.1))


def factor(step: int, steps: int, plan: Plan) -> float:
    """The share of the rate at ``step`` (from 0) of ``steps``: a linear rise in the warm-up, then the plan's schedule."""
    rising = round(plan.warm_up * steps)
    if step < rising:
        return (step + 1) / (rising + 1)
    done = (step - rising) / max(1, steps - rising)
    if plan.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * done))
    if plan.schedule == "step":
        return next((share for since, share in _STEPS if done >= since), 1.0)
    return 1.0


def block_rate(block: int, blocks: int, plan: Plan) -> float:
    """The rate of a block (0 is the stem, ``blocks - 1`` the head) before the schedule: discriminative learning rates.

    Howard and Ruder, Universal language model fine-tuning, ACL 2018.
    """
    if block == blocks - 1:
        return plan.rate * plan.head_rate
    return plan.rate * plan.layer_decay ** (blocks - 2 - block)


def frozen_in(epoch: int, blocks: int, plan: Plan) -> int:
    """How many blocks, from the stem on, stand still in an epoch (from 1): gradual unfreezing, from the head down."""
    least = min(plan.frozen, blocks - 1)
    if plan.unfreeze_every == 0:
        return least
    return max(least, blocks - 1 - (epoch - 1) // plan.unfreeze_every)


def parameter_groups(blocks: Sequence[Sequence[nn.Parameter]], plan: Plan) -> list[dict[str, object]]:
    """Groups for an optimiser, two for each block that is ever trained: with weight decay, and without (norms and biases).

    Each has ``base``, its rate before the schedule.
    """
    groups: list[dict[str, object]] = []
    for number in range(min(plan.frozen, len(blocks) - 1), len(blocks)):
        base = block_rate(number, len(blocks), plan)
        for flat, decay in ((False, plan.decay), (True, 0.0)):
            members = [each for each in blocks[number] if (each.ndim < 2) == flat]
            if members:
                groups.append({"params": members, "lr": base, "base": base, "weight_decay": decay})
    return groups


def optimiser(blocks: Sequence[Sequence[nn.Parameter]], plan: Plan) -> torch.optim.Optimizer:
    """The plan's optimiser over all blocks that are ever trained; fused, one pass over the weights."""
    groups = parameter_groups(blocks, plan)
    if plan.optimiser == "sgd":
        return torch.optim.SGD(groups, lr=plan.rate, momentum=plan.momentum, fused=True)
    return torch.optim.AdamW(groups, lr=plan.rate, fused=True)


def set_rates(optimiser: torch.optim.Optimizer, share: float) -> None:
    """Every group at this share of its rate."""
    for group in optimiser.param_groups:
        group["lr"] = group["base"] * share


def freeze(net: nn.Module, blocks: Sequence[Sequence[nn.Parameter]], count: int, *, keep: bool) -> None:
    """Only blocks from ``count`` on are trained; batch norms below them (with ``keep`` all of them) keep their statistics.

    Sets ``net`` to training, so it is called before each epoch.
    """
    for number, block in enumerate(blocks):
        for each in block:
            each.requires_grad_(number >= count)
    net.train()
    still = {id(each) for block in blocks[:count] for each in block}
    for module in net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and (keep or any(id(each) in still for each in module.parameters())):
            module.eval()
