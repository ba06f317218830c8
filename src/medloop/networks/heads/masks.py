"""Masks: what each pixel belongs to. Scores of none and of K classes, taught by cross-entropy and soft Dice together.

Dice over a batch (Milletari et al., 3DV 2016) sees a small class as well as a large one, cross-entropy has a slope everywhere;
their sum is what nnU-Net learns with (Isensee et al., Nature Methods 2021).
"""

from __future__ import annotations

from collections.abc import Sequence

from torch.nn.functional import cross_entropy

from medloop.networks.pyramid import Mix, enlarged
from medloop.torch_compat import torch
from medloop.types import UNKNOWN

_SMOOTH = 1.0
_GREY, _SPREAD = 0.45, 0.25
_FINE = 16


class MaskHead(torch.nn.Module):
    """The finest map of a pyramid ``(N, width, y, x)`` to scores ``(N, K + 1, *size)``; the first is of none of the classes."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.scores = torch.nn.Conv2d(width, classes + 1, 1)

    def forward(self, values: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
        """``size``: ``(Y, X)`` of the picture."""
        return enlarged(self.scores(values), size)


class FineMaskHead(torch.nn.Module):
    """The same, with a look at the pixels themselves: the finest map of a backbone has half of them a side, and what is between two
    of its cells it cannot say. ``channels``: of the pixels.
    """

    def __init__(self, width: int, classes: int, channels: int) -> None:
        super().__init__()
        self.look = torch.nn.Conv2d(channels, _FINE, 3, padding=1)
        self.across = torch.nn.Conv2d(width, _FINE, 1, bias=False)
        self.mix = Mix(_FINE)
        self.scores = torch.nn.Conv2d(_FINE, classes + 1, 1)

    def forward(self, values: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
        """``pixels``: ``(N, channels, Y, X)``, 0 to 255."""
        seen = (pixels.to(values.dtype) / 255 - _GREY) / _SPREAD
        found: torch.Tensor = self.scores(self.mix(self.look(seen) + enlarged(self.across(values), pixels.shape[-2:])))
        return found


def loss(scores: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Cross-entropy over the known pixels plus 1 - Dice, averaged over the classes that occur in them.

    ``scores``: ``(N, K + 1, [Z,] Y, X)``. ``truth``: ``(N, [Z,] Y, X)`` uint8, `UNKNOWN` where nothing is known: that costs
    nothing, and where all is unknown the loss is 0.
    """
    scores = scores.float()
    seen = truth != UNKNOWN
    wanted = torch.where(seen, truth, 0).long()
    each = cross_entropy(scores, wanted, reduction="none") * seen
    return each.sum() / seen.sum().clamp(min=1) + _dice(scores, wanted, seen)


def known(truth: torch.Tensor) -> torch.Tensor:
    """``(N,)`` bool: cases of which any pixel is known."""
    return (truth != UNKNOWN).flatten(1).any(dim=1)


def _dice(scores: torch.Tensor, wanted: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    """1 - soft Dice over the whole batch, the mean of the classes that are there (0 where none is)."""
    count = scores.shape[1]
    shares = (scores.softmax(dim=1) * seen[:, None]).transpose(0, 1).flatten(1)[1:]
    truth = torch.stack([((wanted == kind) & seen).flatten() for kind in range(1, count)]).to(shares)
    sizes = truth.sum(dim=1)
    dice = (2 * (shares * truth).sum(dim=1) + _SMOOTH) / (shares.sum(dim=1) + sizes + _SMOOTH)
    there = (sizes > 0).to(dice)
    return ((1 - dice) * there).sum() / there.sum().clamp(min=1)
