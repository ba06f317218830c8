"""Maps that know both what and where: deep maps carried back up to the shallow ones.

A feature pyramid (Lin et al., CVPR 2017) that narrows as its maps grow, as the decoder of a U-Net does (Ronneberger et al., MICCAI
2015). Its norms are group norms (Wu and He, ECCV 2018): they ask nothing of the batch, so a step may go through in parts and the
statistics of the backbone's batch norms may stand still.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from torch.nn.functional import interpolate, relu

from medloop.torch_compat import torch

_GROUP = 8
_LEAST = 16
_FULL = 8  # from this reduction on maps have the whole width


class Pyramid(torch.nn.Module):
    """Maps ``(N, C_i, Y_i, X_i)``, shallow to deep, to as many of the same sizes with ``widths[i]`` channels.

    ``channels``, ``reductions``: of the maps that come in (see `backbones.Backbone`). ``width``: channels where a map's side is an
    eighth of the picture's or less; half as many at a quarter, a quarter as many at a half, but 16 at least.
    """

    def __init__(self, channels: Sequence[int], reductions: Sequence[int], width: int = 64) -> None:
        super().__init__()
        self.reductions = tuple(reductions)
        self.widths = tuple(max(_LEAST, width * min(each, _FULL) // _FULL // _GROUP * _GROUP) for each in reductions)
        self.across = torch.nn.ModuleList(torch.nn.Conv2d(*pair, 1) for pair in zip(channels, self.widths, strict=True))
        self.up = torch.nn.ModuleList(torch.nn.Conv2d(deep, here, 1, bias=False) for here, deep in pairwise(self.widths))
        self.mix = torch.nn.ModuleList(Mix(each) for each in self.widths)

    def nearest(self, reduction: int) -> int:
        """The number of the map that comes nearest to so many pixels a cell."""
        return min(range(len(self.reductions)), key=lambda level: abs(math.log(self.reductions[level] / reduction)))

    def forward(self, maps: Sequence[torch.Tensor], finest: int = 0) -> dict[int, torch.Tensor]:
        """The maps by number, those from ``finest`` on; what is finer costs nothing."""
        found: dict[int, torch.Tensor] = {}
        for level in reversed(range(finest, len(self.widths))):
            values = self.across[level](maps[level])
            if found:
                values = values + enlarged(self.up[level](found[level + 1]), values.shape[2:])
            found[level] = self.mix[level](values)
        return found


class Mix(torch.nn.Module):
    """Neighbours seen together: a 3 by 3 convolution, a group norm, a rectifier. Shapes stay."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.convolution = torch.nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm = torch.nn.GroupNorm(width // _GROUP, width)
        torch.nn.init.kaiming_normal_(self.convolution.weight, nonlinearity="relu")

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """``(N, width, Y, X)``."""
        return relu(self.norm(self.convolution(values)))


def enlarged(values: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """``(N, C, y, x)`` to ``(N, C, *size)``, bilinear."""
    wanted = (int(size[0]), int(size[1]))
    if tuple(values.shape[2:]) == wanted:
        return values
    return interpolate(values, wanted, mode="bilinear", align_corners=False)
