"""Rules felt while learning: each costs as far as the probabilities of masks break it, in expectation, and nothing once it holds.

The penalties are those of `medloop.targets.rules.penalties`. They are meant for whole images: of a patch neither a least size nor
a share says anything.
"""

from __future__ import annotations

from collections.abc import Sequence

from medloop.targets.rules import Penalty
from medloop.torch_compat import torch

_HALF = 0.5
_FEW = 16.0
"""A class of fewer voxels than about this many hardly weighs: its shares say little."""


def loss(scores: torch.Tensor, penalties: Sequence[Penalty], voxel_mm: torch.Tensor) -> torch.Tensor:
    """The sum over penalties of the mean over cases, a scalar.

    ``scores``: ``(N, K + 1, [Z,] Y, X)`` before softmax. ``voxel_mm``: ``(N, 3)`` ``z, y, x`` of a voxel of these, NaN where
    unknown: there a bound in mm costs nothing.
    """
    shares = scores.float().softmax(dim=1)
    total = shares.sum() * 0
    for each in penalties:
        total = total + each.weight * _costs(shares, each, voxel_mm).mean()
    return total


def _costs(shares: torch.Tensor, penalty: Penalty, voxel_mm: torch.Tensor) -> torch.Tensor:
    """``(N,)``."""
    what = shares[:, penalty.what]
    if penalty.kind == "size":
        return _size(what.flatten(1), penalty, voxel_mm.to(what))
    if penalty.kind == "present":
        return _hinge(what.flatten(1).amax(dim=1), None if penalty.low is None else _HALF, None if penalty.high is None else _HALF)
    of = shares[:, penalty.of]
    if penalty.kind == "inside":
        least = penalty.low or 0.0
        stray = (what * (least - enclosed(of.detach()))).flatten(1).sum(dim=1)
        return stray.clamp(min=0) / (what.flatten(1).sum(dim=1) + _FEW)
    mine, other = what.flatten(1).sum(dim=1), of.flatten(1).sum(dim=1)
    there = (mine + other) / (mine + other + _FEW)
    return _hinge(mine / (mine + other).clamp(min=1e-6), penalty.low, penalty.high) * there.detach()


def _size(what: torch.Tensor, penalty: Penalty, voxel_mm: torch.Tensor) -> torch.Tensor:
    """By how many times the expected size is off, as a logarithm. What is absent is not too small."""
    voxel = voxel_mm[:, 3 - penalty.axes :].prod(dim=1)
    known = torch.isfinite(voxel)
    voxel = torch.where(known, voxel, torch.ones_like(voxel))
    size = torch.log((what.sum(dim=1) + 1) * voxel)
    there = (what.amax(dim=1) > _HALF).to(what)
    cost = torch.zeros_like(size)
    if penalty.low is not None:
        cost = cost + there * (torch.log(penalty.low + voxel) - size).clamp(min=0)
    if penalty.high is not None:
        cost = cost + (size - torch.log(penalty.high + voxel)).clamp(min=0)
    return cost * known


def _hinge(values: torch.Tensor, low: float | None, high: float | None) -> torch.Tensor:
    below = values * 0 if low is None else (low - values).clamp(min=0)
    return below if high is None else below + (values - high).clamp(min=0)


def enclosed(of: torch.Tensor) -> torch.Tensor:
    """As `medloop.targets.rules.enclosed`, of probabilities ``(N, [Z,] Y, X)``: met in more than half of the directions."""
    axes = [axis for axis in range(1, of.dim()) if of.shape[axis] > 1]
    met = [torch.cummax(of, dim=axis).values for axis in axes]
    met += [torch.cummax(of.flip(axis), dim=axis).values.flip(axis) for axis in axes]
    most = torch.stack(met).sort(dim=0, descending=True).values[len(axes)] if axes else of
    return torch.maximum(of, most)
