"""What each kind of answer costs: the losses of the heads by the names of targets, for `medloop.networks.joint.Joint`.

Targets of a batch, by name; unknown ones cost nothing:

- ``classes``: ``(N,)`` whole numbers, below 0 where unknown, or numbers with NaN where unknown: ``(N, K)`` labels or shares,
  ``(N,)``.
- ``masks``: ``(N, [Z,] Y, X)`` uint8, `UNKNOWN` where unknown.
- ``neighbours``: the masks of volumes, ``(N, Z, Y, X)``.
- ``boxes``: the tuple that `medloop.networks.heads.boxes.loss` wants.
- ``measures``: ``(N, M)``, scaled, NaN where unknown.
- ``image``: what `medloop.networks.heads.reconstruction.hide` gave beside the pixels.
- ``embedding``: ``(N,)`` whole numbers, below 0 where unknown.
- ``rules``: ``(N, 3)`` mm of a voxel, ``z, y, x``, NaN where unknown; they are asked of masks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from medloop.networks.heads import boxes, masks, measures, neighbours, reconstruction, rules, similarity
from medloop.networks.joint import Cost
from medloop.networks.losses import Loss
from medloop.targets.rules import Penalty
from medloop.torch_compat import torch
from medloop.types import TargetKind


@dataclass(frozen=True, slots=True, eq=False)
class OfClasses:
    """A loss of classes, labels or a number as `losses.make` gives it, for cases of which some are not known."""

    loss: Loss

    def __call__(self, scores: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        """Mean over the known cases."""
        if self.loss.kind not in (TargetKind.BINARY, TargetKind.MULTICLASS):
            return self.loss(scores, truth)
        seen = known_classes(truth)
        over = seen.reshape((-1,) + (1,) * (truth.dim() - 1))
        return self.loss(scores, torch.where(over, truth, 0), seen.float())


def known_classes(truth: torch.Tensor) -> torch.Tensor:
    """``(N,)`` bool."""
    if not truth.is_floating_point():
        return truth >= 0
    return torch.isfinite(truth).reshape(len(truth), -1).any(dim=1)


def known_boxes(wanted: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """``(N,)`` bool."""
    return wanted[-1]


def of_boxes(centres: torch.Tensor, sizes: torch.Tensor, wanted: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """See `heads.boxes.loss`."""
    return boxes.loss((centres, sizes), wanted)


PLAIN: Mapping[str, Cost] = {
    "masks": Cost(("masks",), masks.loss, masks.known),
    "neighbours": Cost(("masks",), neighbours.loss, neighbours.known),
    "boxes": Cost(("centres", "sizes"), of_boxes, known_boxes),
    "measures": Cost(("measures",), measures.loss, measures.known),
    "image": Cost(("image",), reconstruction.loss, reconstruction.known),
    "embedding": Cost(("embedding", "proxies"), similarity.loss, similarity.known),
}
"""What learns nothing from the training cases beforehand."""


@dataclass(frozen=True, slots=True, eq=False)
class OfRules:
    """What masks cost that break rules."""

    penalties: Sequence[Penalty]

    def __call__(self, scores: torch.Tensor, voxel_mm: torch.Tensor) -> torch.Tensor:
        """See `heads.rules.loss`."""
        return rules.loss(scores, self.penalties, voxel_mm)


def every_case(voxel_mm: torch.Tensor) -> torch.Tensor:
    """``(N,)`` bool: rules hold for all."""
    return torch.ones(len(voxel_mm), dtype=torch.bool, device=voxel_mm.device)


def of(targets: Iterable[str], classes: Loss | None = None, penalties: Sequence[Penalty] = ()) -> dict[str, Cost]:
    """The costs of these targets; ``classes`` and ``penalties`` are needed where classes and rules are among them."""
    own = {"rules": Cost(("masks",), OfRules(penalties), every_case)}
    if classes is not None:
        own["classes"] = Cost(("classes",), OfClasses(classes), known_classes)
    return {name: {**PLAIN, **own}[name] for name in targets}
