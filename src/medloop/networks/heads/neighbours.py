"""Neighbouring slices agree: what belongs together in the truth of two slices should be told alike in both.

A volume that goes slice by slice is answered slice by slice, and an outline may jump where nothing does. Only pixels of which the
truth is known and the same in both slices count, so that ends of organs stay where they are.
"""

from __future__ import annotations

from medloop.torch_compat import torch
from medloop.types import UNKNOWN


def loss(scores: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Mean share, from 0 to 1, that moves from one kind to another between slices; 0 where no pixels count.

    ``scores``: ``(N, K + 1, Z, Y, X)``. ``truth``: ``(N, Z, Y, X)`` uint8, `UNKNOWN` where nothing is known.
    """
    shares = scores.float().softmax(dim=1)
    moved = (shares[:, :, 1:] - shares[:, :, :-1]).abs().sum(dim=1) / 2
    alike = (truth[:, 1:] == truth[:, :-1]) & (truth[:, 1:] != UNKNOWN)
    return (moved * alike).sum() / alike.sum().clamp(min=1)


def known(truth: torch.Tensor) -> torch.Tensor:
    """``(N,)`` bool: volumes with a pair of slices in which anything counts."""
    alike = (truth[:, 1:] == truth[:, :-1]) & (truth[:, 1:] != UNKNOWN)
    return alike.flatten(1).any(dim=1)
