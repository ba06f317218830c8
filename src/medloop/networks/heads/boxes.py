"""Boxes without anchors: for each cell of a map, whether a centre lies there, of which class, and how far the edges are.

Centres learn by the focal loss of CenterNet (Zhou et al. 2019, after Lin et al., ICCV 2017): near a centre a false answer costs
less. Edges learn by generalised intersection over union (Rezatofighi et al., CVPR 2019) all over the top of each hill (TTFNet, Liu
et al., AAAI 2020). The maps to learn from are those of `medloop.targets.boxes.encode`.
"""

from __future__ import annotations

from torch.nn.functional import logsigmoid

from medloop.networks.pyramid import Mix
from medloop.torch_compat import torch

_RARE = -4.6
"""Before anything is learnt a centre is as likely as 1 in 100: else the many empty cells would drown the first steps."""
_FIRST_SIZE = 1.1
_LARGEST = 6.0
_EDGES = 5.0


class BoxHead(torch.nn.Module):
    """A map ``(N, width, y, x)`` whose cells are ``stride`` pixels wide to centres and sizes of boxes of K classes."""

    def __init__(self, width: int, classes: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.centre_mix, self.size_mix = Mix(width), Mix(width)
        self.centres = torch.nn.Conv2d(width, classes, 1)
        self.sizes = torch.nn.Conv2d(width, 4, 1)
        for layer, bias in ((self.centres, _RARE), (self.sizes, _FIRST_SIZE)):
            torch.nn.init.normal_(layer.weight, std=0.01)
            torch.nn.init.constant_(layer.bias, bias)  # type: ignore[arg-type]

    def forward(self, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """``(N, K, y, x)`` logits, and ``(N, 4, y, x)`` pixels to the upper, left, lower and right edge, float32."""
        sizes = self.sizes(self.size_mix(values)).float().clamp(max=_LARGEST).exp() * self.stride
        return self.centres(self.centre_mix(values)), sizes


def loss(answers: tuple[torch.Tensor, torch.Tensor], wanted: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """What centres and edges cost together, for each box in the batch; cases of which nothing is known cost nothing.

    ``answers``: centres ``(N, K, [Z,] y, x)`` and sizes ``(N, 4, [Z,] y, x)``. ``wanted``: ``centres``, ``sizes``, ``weights``
    and ``known`` as in `medloop.targets.boxes.BoxMaps`, of the same shapes; ``known`` ``(N,)`` bool.
    """
    centres, sizes, weights, known = wanted
    seen = known.to(torch.float32).reshape(-1, *[1] * (centres.dim() - 1))
    at_centres = (_focal(answers[0].float(), centres.float()) * seen).sum() / ((centres == 1) * seen).sum().clamp(min=1)
    counts = weights.float() * seen[:, 0]
    at_edges = (_apart(answers[1].float(), sizes.float()) * counts).sum() / counts.sum().clamp(min=1)
    return at_centres + _EDGES * at_edges


def _focal(logits: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """What each cell costs."""
    there = -((1 - logits.sigmoid()) ** 2) * logsigmoid(logits)
    nothing = -((1 - wanted) ** 4) * logits.sigmoid() ** 2 * logsigmoid(-logits)
    return torch.where(wanted == 1, there, nothing)


def _apart(answers: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """1 less the generalised intersection over union of boxes around one point, ``(N, 4, ...)`` each, to ``(N, ...)``."""
    common, around = torch.minimum(answers, wanted), torch.maximum(answers, wanted)
    shared, hull = _area(common).clamp(min=0), _area(around)
    union = _area(answers) + _area(wanted) - shared
    return 1 - shared / union.clamp(min=1e-6) + (hull - union) / hull.clamp(min=1e-6)


def _area(sizes: torch.Tensor) -> torch.Tensor:
    up, left, down, right = sizes.unbind(dim=1)
    return (up + down) * (left + right)
