"""A whole network: prepared images in, raw scores out. Backbone, pooling, the joining of slices, a linear head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from medloop.networks import necks
from medloop.networks.backbones import Backbone
from medloop.networks.heads import LinearHead
from medloop.torch_compat import torch
from medloop.types import Json

TURNS = (1, 2, 4, 8)
"""Views that scores can be averaged over: as it is; and left-right; and up-down, both; and the same transposed."""


@dataclass(frozen=True, slots=True)
class ClassifierSpec:
    """What stands on a backbone.

    ``columns``: of raw scores. ``regions``: see `necks.Pool`. ``join``: see `necks.JOINS`. ``slices``: of a volume that go through
    the backbone, evenly spaced (0: all). ``planes``: the axes that slices are taken across, of ``z``, ``y``, ``x``. ``dropout``:
    before the last layer. ``views``: see `TURNS` and `Viewed`.
    """

    columns: int
    regions: tuple[int, ...] = (1,)
    join: str = "mean"
    slices: int = 0
    planes: str = "z"
    dropout: float = 0.0
    views: int = 1

    def to_json(self) -> dict[str, Json]:
        """Plain JSON."""
        return asdict(self) | {"regions": list(self.regions)}

    @staticmethod
    def from_json(saved: Json) -> ClassifierSpec:
        """Back from `to_json`."""
        return ClassifierSpec(**{**saved, "regions": tuple(saved["regions"])})


class Answer(torch.nn.Module):
    """Pooled numbers of slices ``(N, S, width)`` to raw scores ``(N, columns)``: the part of a classifier that is always learnt."""

    def __init__(self, width: int, spec: ClassifierSpec) -> None:
        super().__init__()
        self.level = necks.Level(width)
        self.join = necks.join(spec.join, width)
        self.head = LinearHead(self.join.width, spec.columns, spec.dropout)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """``(N, columns)``."""
        scores: torch.Tensor = self.head(self.join(self.level(features)))
        return scores

    def blocks(self) -> list[list[torch.nn.Parameter]]:
        """One block: all of it."""
        return [list(self.parameters())]


class Classifier(torch.nn.Module):
    """Prepared pixels ``(N, C, Y, X)`` or ``(N, C, Z, Y, X)``, uint8 or float 0 to 255, to raw scores ``(N, columns)``."""

    def __init__(self, backbone: Backbone, spec: ClassifierSpec) -> None:
        super().__init__()
        self.spec = spec
        self.backbone = backbone
        self.pool = necks.Pool(backbone.channels, spec.regions)
        self.answer = Answer(self.pool.width, spec)

    def blocks(self) -> list[list[torch.nn.Parameter]]:
        """Parameters from the stem to the head; the head is the last block."""
        return [*self.backbone.blocks(), *self.answer.blocks()]

    def features(self, pixels: torch.Tensor) -> torch.Tensor:
        """Pooled numbers of every slice, ``(N, S, width)``; a flat picture has one."""
        if pixels.dim() == 4:
            pooled: torch.Tensor = self.pool(self.backbone(pixels))
            return pooled[:, None]
        return torch.cat([self._of_plane(_across(pixels, plane, self.spec.slices)) for plane in self.spec.planes], dim=1)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """``(N, columns)``."""
        scores: torch.Tensor = self.answer(self.features(pixels))
        return scores

    def _of_plane(self, slices: torch.Tensor) -> torch.Tensor:
        """``(N, C, S, Y, X)`` to ``(N, S, width)``: slices through the backbone as pictures of their own."""
        channels, count, rows, columns = slices.shape[1:]
        flat = slices.transpose(1, 2).reshape(-1, channels, rows, columns)
        pooled: torch.Tensor = self.pool(self.backbone(flat))
        return pooled.reshape(-1, count, self.pool.width)


class Viewed(torch.nn.Module):
    """A classifier whose scores are the mean over the views of its spec: how it answers once it has learnt."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """``(N, columns)``."""
        return torch.stack([self.classifier(view) for view in views(pixels, self.classifier.spec.views)]).mean(dim=0)


def _across(volume: torch.Tensor, plane: str, slices: int) -> torch.Tensor:
    """``(N, C, Z, Y, X)`` seen across an axis, ``(N, C, S, rows, columns)``: the middles of ``slices`` equal parts."""
    axis = 2 + "zyx".index(plane)
    turned = volume.movedim(axis, 2)
    depth = turned.shape[2]
    if not 0 < slices < depth:
        return turned
    wanted = [(2 * part + 1) * depth // (2 * slices) for part in range(slices)]
    return turned[:, :, wanted]


def views(pixels: torch.Tensor, count: int) -> Sequence[torch.Tensor]:
    """``count`` flipped and turned views (see `TURNS`) of pictures or of every slice; the first is the picture as it is."""
    flips: list[list[int]] = [[], [-1], [-2], [-2, -1]]
    plain = [pixels if not axes else pixels.flip(axes) for axes in flips[: min(count, 4)]]
    return plain if count < 8 else plain + [each.transpose(-2, -1) for each in plain]
