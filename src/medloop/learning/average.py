"""Weights averaged over the course of training: smoother than those of the last step, and as a rule better.

``ema``: Polyak and Juditsky 1992, with a decay that rises from the start so that the first weights are soon forgotten. ``swa``:
Izmailov et al., Averaging weights leads to wider optima, UAI 2018; the statistics of batch norms are averaged like weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from medloop.learning.plan import Plan


class Average:
    """The average of a network's weights and statistics. ``count``: how often it was told of new ones."""

    def __init__(self, net: nn.Module, plan: Plan) -> None:
        self._net = net
        self._plan = plan
        self.count = 0
        self.tensors: dict[str, Tensor] = {}

    @property
    def ready(self) -> bool:
        """Whether there is an average yet."""
        return self.count > 0

    def after_step(self) -> None:
        """Take in the weights after a step (``ema``)."""
        if self._plan.average == "ema":
            self._add(1 - min(self._plan.ema_decay, (1 + self.count) / (10 + self.count)))

    def after_epoch(self, epoch: int) -> None:
        """Take in the weights after an epoch, from 1 (``swa``)."""
        if self._plan.average == "swa" and epoch > min(self._plan.swa_from * self._plan.epochs, self._plan.last - 1):
            self._add(1 / (self.count + 1))

    def restore(self, tensors: Mapping[str, Tensor], count: int) -> None:
        """Go on from an average that was kept."""
        self.count = count
        self.tensors = (
            {name: torch.empty_like(each).copy_(tensors[name]) for name, each in self._current().items()} if count else {}
        )

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The network has the averaged weights while this lasts, if there are any yet."""
        if not self.ready:
            yield
            return
        current = self._current()
        kept = {name: each.clone() for name, each in current.items()}
        try:
            _copy(current, self.tensors)
            yield
        finally:
            _copy(current, kept)

    def _current(self) -> dict[str, Tensor]:
        """What is averaged: every weight and every statistic, but no counters."""
        return {name: each.detach() for name, each in self._net.state_dict().items() if each.is_floating_point()}

    def _add(self, share: float) -> None:
        current = self._current()
        if self.ready:
            torch._foreach_lerp_(list(self.tensors.values()), list(current.values()), share)
        else:
            self.tensors = {name: each.clone() for name, each in current.items()}
        self.count += 1


def _copy(into: Mapping[str, Tensor], of: Mapping[str, Tensor]) -> None:
    with torch.no_grad():
        for name, each in into.items():
            each.copy_(of[name])
