"""Several targets learnt together: how much each of their losses counts.

- ``fixed``: as much as is said, 1 where nothing is.
- ``uncertainty`` (Kendall, Gal and Cipolla, CVPR 2018): each loss is divided by a variance that is learnt with the network, and
  pays half its logarithm: ``exp(-s) loss + s / 2``.
- ``gradients``: each target pulls equally hard at the maps that all share. That is where GradNorm (Chen et al., ICML 2018) comes to
  rest when all are to learn equally fast; here it is computed, not learnt, now and then, from the lengths of the gradients at the
  backbone's maps (as Sener and Koltun, NeurIPS 2018, do) in place of those at the last shared layer's weights.

In every way weights stay between 1/20 and 20, and what is said of them counts as a factor beside.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from medloop.errors import unknown_name
from medloop.torch_compat import torch
from medloop.types import Json

HOW = ("fixed", "uncertainty", "gradients")
Tensors: TypeAlias = Mapping[str, Any]
"""By name; those of a target that needs several are a tuple."""

_MOST = 20.0
_BOUND = math.log(_MOST)  # of a log variance
_EVERY = 8  # steps between two looks at the gradients
_MEMORY = 0.8  # of how long gradients were before


class Shared(Protocol):
    """A network whose answers come from maps that all of them share, such as `multitask.Multitask`."""

    def maps(self, pixels: torch.Tensor) -> Sequence[torch.Tensor]:
        """What is shared."""
        ...

    def answers(self, maps: Sequence[torch.Tensor], pixels: torch.Tensor, asked: Collection[str]) -> dict[str, torch.Tensor]:
        """What is asked, by name."""
        ...

    def blocks(self) -> list[list[torch.nn.Parameter]]:
        """Parameters from the stem to the heads."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Cost:
    """What one target costs.

    ``outputs``: the names of the answers it is about. ``loss``: these answers and the truth to a scalar, the mean over the cases of
    which the truth is known, 0 where none is. ``known``: the truth to ``(N,)`` bool, which those are.
    """

    outputs: tuple[str, ...]
    loss: Callable[..., torch.Tensor]
    known: Callable[[Any], torch.Tensor]


@dataclass(frozen=True, slots=True)
class JointSpec:
    """``how``: see `HOW`. ``weights``: by target, 1 where nothing is said."""

    how: str = "fixed"
    weights: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.how not in HOW:
            raise unknown_name("way to join losses", self.how, HOW)

    def to_json(self) -> dict[str, Json]:
        """Plain JSON."""
        return {"how": self.how, "weights": dict(self.weights)}

    @staticmethod
    def from_json(saved: Json) -> JointSpec:
        """Back from `to_json`. Raises `InputError` for a way that is not in `HOW`."""
        return JointSpec(str(saved["how"]), {str(name): float(weight) for name, weight in saved["weights"].items()})


class Joint(torch.nn.Module):
    """A network with the losses of its targets: what a training is given, ``Lesson(net=joint, loss=joint.loss, told=joint.told)``.

    ``costs``: by target; those whose target a batch does not bring, or of which no case is known, cost nothing, and only what they
    are about is asked of the network. ``net`` is what is kept afterwards.
    """

    log_variances: torch.nn.Parameter
    given: torch.Tensor
    pulls: torch.Tensor
    steps: torch.Tensor

    def __init__(self, net: Any, costs: Mapping[str, Cost], spec: JointSpec) -> None:
        super().__init__()
        for name in spec.weights:
            if name not in costs:
                raise unknown_name("target with a weight", name, costs)
        self.net, self.costs, self.spec = net, dict(costs), spec
        self.names = tuple(costs)
        self.asked = tuple(dict.fromkeys(name for cost in costs.values() for name in cost.outputs))
        learnt = spec.how == "uncertainty"
        self.log_variances = torch.nn.Parameter(torch.zeros(len(costs) if learnt else 0))
        self.register_buffer("given", torch.tensor([float(spec.weights.get(name, 1.0)) for name in costs]))
        self.register_buffer("pulls", torch.zeros(len(costs)))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self._shared: tuple[Sequence[torch.Tensor], Tensors] = (), {}
        self._sums: torch.Tensor | None = None

    def blocks(self) -> list[list[torch.nn.Parameter]]:
        """Those of the network; what is learnt here belongs to the last."""
        blocks = [list(block) for block in self.net.blocks()]
        blocks[-1] += [self.log_variances] if len(self.log_variances) else []
        return blocks

    def forward(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        """What the network answers."""
        maps = self.net.maps(pixels)
        found: dict[str, torch.Tensor] = self.net.answers(maps, pixels, self.asked)
        if self.spec.how == "gradients" and torch.is_grad_enabled():
            self._shared = [each for each in maps if each.requires_grad], found
            # Fabric forbids to go back from what it is given, unless it does so itself
            found = {name: each.view_as(each) for name, each in found.items()}
        return found

    def loss(self, outputs: Tensors, targets: Tensors, weights: torch.Tensor | None = None) -> torch.Tensor:
        """A scalar. ``weights`` of cases are not known here and must be None."""
        if weights is not None:
            raise ValueError("cases of several targets have no weights")
        brought = [at for at, name in enumerate(self.names) if name in targets]
        if not brought:
            raise ValueError(f"none of {', '.join(self.names)} is among the targets")
        found = [_cost(self.costs[self.names[at]], outputs, targets[self.names[at]]) for at in brought]
        losses, counts = (torch.stack(each) for each in zip(*found, strict=True))
        there = (counts > 0).to(losses)
        if self._shared[0]:
            self._look(outputs, targets, brought)
        weights_now = self._weights()[brought]
        total = (weights_now * losses * there).sum()
        if len(self.log_variances):
            total = total + (self.given * self._bounded())[brought].mul(there).sum() / 2
        self._note(brought, losses.detach(), counts, weights_now.detach())
        return total + self._touch() if torch.distributed.is_initialized() else total

    def told(self) -> dict[str, float]:
        """Mean ``loss NAME`` and mean ``weight NAME`` of each target since it was last asked, for those that had cases."""
        if self._sums is None:
            return {}
        losses, weights, counts = self._sums.double().cpu().tolist()
        self._sums = None
        seen = [(name, losses[at] / counts[at], weights[at] / counts[at]) for at, name in enumerate(self.names) if counts[at]]
        return {f"loss {name}": loss for name, loss, _ in seen} | {f"weight {name}": weight for name, _, weight in seen}

    def _weights(self) -> torch.Tensor:
        """How much each target counts now, ``(T,)``."""
        if self.spec.how == "uncertainty":
            return self.given * torch.exp(-self._bounded())
        if self.spec.how == "gradients":
            looked = self.pulls > 0
            inverse = torch.where(looked, 1 / self.pulls.clamp(min=1e-12), 0.0)
            shares = torch.where(looked, inverse * looked.sum() / inverse.sum().clamp(min=1e-12), 1.0)
            return self.given * shares.clamp(min=1 / _MOST, max=_MOST)
        return self.given

    def _touch(self) -> torch.Tensor:
        """Nothing, from every parameter: processes that join their gradients wait for those of all, whatever was asked."""
        found = [each.sum() for each in self.parameters() if each.requires_grad]
        return 0 * torch.stack(found).sum() if found else self.given.new_zeros(())

    def _bounded(self) -> torch.Tensor:
        return _BOUND * torch.tanh(self.log_variances / _BOUND)

    def _look(self, outputs: Tensors, targets: Tensors, brought: Sequence[int]) -> None:
        """Remember, now and then, how long each loss's gradient at the shared maps is."""
        (maps, answers), self._shared = self._shared, ((), {})
        if int(self.steps) % _EVERY == 0:
            for at in brought:
                cost, before = self.costs[self.names[at]], self.pulls[at]
                ends = [outputs[name].detach().requires_grad_() for name in cost.outputs]
                slopes = torch.autograd.grad(cost.loss(*ends, targets[self.names[at]]), ends)
                length = _length([answers[name] for name in cost.outputs], slopes, maps)
                mixed = torch.where(before > 0, _MEMORY * before + (1 - _MEMORY) * length, length)
                self.pulls[at] = torch.where(length > 0, mixed, before)
        self.steps += 1

    def _note(self, brought: Sequence[int], losses: torch.Tensor, counts: torch.Tensor, weights: torch.Tensor) -> None:
        if self._sums is None:
            self._sums = torch.zeros(3, len(self.names), device=losses.device)
        self._sums[:, brought] += torch.stack([losses * counts, weights * counts, counts])


def _cost(cost: Cost, outputs: Tensors, truth: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss, and of how many cases."""
    loss = cost.loss(*[outputs[name] for name in cost.outputs], truth).float()
    return loss, cost.known(truth).sum().to(loss)


def _length(answers: Sequence[torch.Tensor], slopes: Sequence[torch.Tensor], maps: Sequence[torch.Tensor]) -> torch.Tensor:
    """Of the gradient at the maps, from the slopes at the answers."""
    given = [slope.to(answer.dtype) for slope, answer in zip(slopes, answers, strict=True)]
    found = torch.autograd.grad(answers, maps, given, retain_graph=True, allow_unused=True)
    return torch.stack([each.float().square().sum() for each in found if each is not None]).sum().sqrt()
