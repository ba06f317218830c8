"""Between maps and answers: maps pooled to numbers, and the numbers of slices or frames joined to those of one case.

A flat picture is a sequence of one. A volume's slices, or a cine's frames, go through the same backbone one by one and are joined
by their mean, by gated attention (Ilse et al., ICML 2018) or by a recurrent layer that reads them in order both ways (GRU).
"""

from __future__ import annotations

from collections.abc import Sequence

from medloop.networks.pyramid import enlarged
from medloop.torch_compat import torch

JOINS = ("mean", "attention", "gru")
_HIDDEN = 64
_FLOOR = 1e-6


class Pool(torch.nn.Module):
    """Maps ``(N, C_i, Y_i, X_i)`` to ``(N, width)``: mean and standard deviation of every channel over every region.

    ``regions``: sides of grids laid over each map; ``(1, 2)`` is the whole map and its four quarters. ``guides``: how many further
    regions there are, which are not the same in every picture.
    """

    def __init__(self, channels: Sequence[int], regions: Sequence[int] = (1,), guides: int = 0) -> None:
        super().__init__()
        self.regions = tuple(regions)
        self.width = 2 * sum(channels) * (sum(side * side for side in self.regions) + guides)

    def forward(self, maps: Sequence[torch.Tensor], guides: torch.Tensor | None = None) -> torch.Tensor:
        """``(N, width)`` float32. ``guides``: ``(N, G, Y, X)`` from 0 to 1, how much each place is of each of those regions."""
        found = [_moments(part) for each in maps for side in self.regions for part in _cut(each.float(), side)]
        if guides is not None:
            found += [_weighed(each.float(), enlarged(guides.float(), each.shape[-2:])) for each in maps]
        return torch.cat(found, dim=1)


def _cut(maps: torch.Tensor, side: int) -> list[torch.Tensor]:
    """The cells of a grid of ``side`` by ``side``; those of a map smaller than the grid overlap."""
    if side == 1:
        return [maps]
    rows, columns = (_edges(int(size), side) for size in maps.shape[-2:])  # a traced size would round to 0, not down
    return [maps[..., top:bottom, left:right] for top, bottom in rows for left, right in columns]


def _edges(size: int, side: int) -> list[tuple[int, int]]:
    return [(size * cell // side, max(-(-size * (cell + 1) // side), size * cell // side + 1)) for cell in range(side)]


def _moments(maps: torch.Tensor) -> torch.Tensor:
    """``(N, C, Y, X)`` to ``(N, 2 C)``: means, then standard deviations (never quite 0, where a root has no slope)."""
    mean = maps.mean(dim=(2, 3))
    variance = (maps - mean[:, :, None, None]).square().mean(dim=(2, 3))
    return torch.cat([mean, (variance + _FLOOR).sqrt()], dim=1)


def _weighed(maps: torch.Tensor, guides: torch.Tensor) -> torch.Tensor:
    """``(N, C, Y, X)`` and ``(N, G, Y, X)`` to ``(N, 2 G C)``: means and deviations within each region; of one that is empty, 0."""
    values, shares = maps.flatten(2).transpose(1, 2), guides.flatten(2)
    shares = shares / (shares.sum(dim=2, keepdim=True) + _FLOOR)
    mean = shares @ values
    variance = (shares @ values.square() - mean.square()).clamp(min=0)
    return torch.cat([mean, (variance + _FLOOR).sqrt()], dim=2).flatten(1)


class Level(torch.nn.Module):
    """Puts every number on one scale, learnt once by `learn` and then fixed: ``(x - mean) * inverse``, at most 8 either way."""

    mean: torch.Tensor
    inverse: torch.Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("inverse", torch.ones(width))

    def learn(self, features: torch.Tensor) -> None:
        """From training features ``(N, S, width)``. A number that never changes is left out."""
        rows = features.reshape(-1, features.shape[-1]).double()
        mean, deviation = rows.mean(dim=0), rows.std(dim=0, unbiased=False)
        live = deviation > _FLOOR * mean.abs().clamp(min=1.0)
        self.mean.copy_(mean.float())
        self.inverse.copy_(torch.where(live, 1 / deviation.clamp(min=1e-12), 0.0).float())

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """The same shape."""
        return ((features - self.mean) * self.inverse).clamp(-8.0, 8.0)


class Mean(torch.nn.Module):
    """``(N, S, width)`` to ``(N, width)``: every slice counts the same."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """``(N, width)``."""
        return features.mean(dim=1)


class Attention(torch.nn.Module):
    """``(N, S, width)`` to ``(N, width)``: a mean in which slices count by gated attention, ``w (tanh(V h) * sigmoid(U h))``.

    It begins as the plain mean: ``w`` starts at 0.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.tanh, self.gate = torch.nn.Linear(width, _HIDDEN), torch.nn.Linear(width, _HIDDEN)
        self.weight = torch.nn.Linear(_HIDDEN, 1, bias=False)
        torch.nn.init.zeros_(self.weight.weight)

    def shares(self, features: torch.Tensor) -> torch.Tensor:
        """``(N, S)``, each row adding up to 1: how much each slice counts."""
        weighed = self.weight(torch.tanh(self.tanh(features)) * torch.sigmoid(self.gate(features)))
        return torch.softmax(weighed[..., 0], dim=1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """``(N, width)``."""
        return (self.shares(features)[..., None] * features).sum(dim=1)


class Recurrent(torch.nn.Module):
    """``(N, S, width)`` to ``(N, 128)``: slices in order through a gated recurrent unit both ways, its states averaged."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = 2 * _HIDDEN
        self.squeeze = torch.nn.Linear(width, 2 * _HIDDEN)
        self.cell = torch.nn.GRU(2 * _HIDDEN, _HIDDEN, batch_first=True, bidirectional=True)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """``(N, 128)``."""
        start = features.new_zeros(2, features.shape[0], _HIDDEN)
        states, _ = self.cell(self.squeeze(features), start)
        mean: torch.Tensor = states.mean(dim=1)
        return mean


_KINDS: dict[str, type[Mean | Attention | Recurrent]] = {"mean": Mean, "attention": Attention, "gru": Recurrent}


def join(name: str, width: int) -> Mean | Attention | Recurrent:
    """The layer of that name (one of `JOINS`) for sequences of ``width`` numbers; ``.width`` says how many come out."""
    return _KINDS[name](width)
