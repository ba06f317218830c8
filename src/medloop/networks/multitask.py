"""One network that answers several questions of an image: a shared backbone, a pyramid, and a small head for each answer.

A flat picture goes through the backbone as it is. A volume goes slice by slice, each with its neighbours as further channels
(2.5-D); what is asked of pixels is answered slice by slice, what is asked of the case is joined over the slices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from medloop.networks import necks
from medloop.networks.backbones import Backbone
from medloop.networks.classifier import Answer, ClassifierSpec
from medloop.networks.heads.masks import MaskHead
from medloop.networks.pyramid import Pyramid
from medloop.torch_compat import torch
from medloop.types import Json

OUTPUTS = ("classes", "masks")
"""What can be asked, in this order."""


@dataclass(frozen=True, slots=True)
class MultitaskSpec:
    """What stands on a backbone; 0 is: not asked.

    ``columns``: of raw scores of classes. ``masks``: K kinds of tissue. ``regions``, ``join``, ``dropout``: of what is asked of the
    case, see `ClassifierSpec`. ``width``: of the pyramid. ``context``: neighbours of a slice, each side, that it is seen with.
    """

    columns: int = 0
    masks: int = 0
    regions: tuple[int, ...] = (1,)
    join: str = "mean"
    dropout: float = 0.0
    width: int = 64
    context: int = 0

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of what is asked, in the order of `OUTPUTS`."""
        asked = {"classes": self.columns, "masks": self.masks}
        return tuple(name for name in OUTPUTS if asked[name])

    def to_json(self) -> dict[str, Json]:
        """Plain JSON."""
        return asdict(self) | {"regions": list(self.regions)}

    @staticmethod
    def from_json(saved: Json) -> MultitaskSpec:
        """Back from `to_json`."""
        return MultitaskSpec(**{**saved, "regions": tuple(saved["regions"])})


class Multitask(torch.nn.Module):
    """Prepared pixels ``(N, C, Y, X)`` or ``(N, C, Z, Y, X)``, uint8 or float 0 to 255, to answers by name.

    ``classes``: ``(N, columns)``. ``masks``: scores ``(N, K + 1, [Z,] Y, X)`` for every pixel that came in. ``asked``: the names that
    `forward` answers; fewer than the spec has cost less.
    """

    def __init__(self, backbone: Backbone, spec: MultitaskSpec) -> None:
        super().__init__()
        self.spec = spec
        self.asked = spec.outputs
        self.backbone = backbone
        self.pool = necks.Pool(backbone.channels, spec.regions)
        if spec.columns:
            self.answer = Answer(self.pool.width, ClassifierSpec(spec.columns, spec.regions, spec.join, dropout=spec.dropout))
        if spec.masks:
            self.pyramid = Pyramid(backbone.channels, backbone.reductions, spec.width)
            self.masks = MaskHead(self.pyramid.widths[0], spec.masks)

    def blocks(self) -> list[list[torch.nn.Parameter]]:
        """Parameters from the stem to the heads; all that stands on the backbone is the last block."""
        own = {id(each) for each in self.backbone.parameters()}
        return [*self.backbone.blocks(), [each for each in self.parameters() if id(each) not in own]]

    def forward(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        """What is `asked`, by name."""
        return self.answers(self.maps(pixels), pixels)

    def features(self, pixels: torch.Tensor) -> torch.Tensor:
        """Pooled numbers of every slice, ``(N, S, width)``; a flat picture has one."""
        return self._pooled(self.maps(pixels), pixels)

    def maps(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """What the backbone says of every slice, ``(N S, C_i, Y_i, X_i)``: what all answers share."""
        found: list[torch.Tensor] = self.backbone(slices(pixels, self.spec.context))
        return found

    def answers(self, maps: Sequence[torch.Tensor], pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        """What is `asked`, from the maps of these pixels."""
        found = {}
        if "classes" in self.asked:
            found["classes"] = self.answer(self._pooled(maps, pixels))
        if "masks" in self.asked:
            found["masks"] = stacked(self.masks(self.pyramid(maps)[0], pixels.shape[-2:]), pixels)
        return found

    def _pooled(self, maps: Sequence[torch.Tensor], pixels: torch.Tensor) -> torch.Tensor:
        count = pixels.shape[2] if pixels.dim() == 5 else 1
        pooled: torch.Tensor = self.pool(maps)
        return pooled.reshape(-1, count, self.pool.width)


def slices(pixels: torch.Tensor, context: int) -> torch.Tensor:
    """``(N, C, Z, Y, X)`` to ``(N Z, (2 context + 1) C, Y, X)``: each slice after those before it, and before those behind it.

    Beyond the ends the last slice stands for its neighbours; a flat picture ``(N, C, Y, X)`` is its own neighbour.
    """
    if pixels.dim() == 4:
        return pixels if context == 0 else pixels.repeat(1, 2 * context + 1, 1, 1)
    depth = pixels.shape[2]
    seen = [[min(max(at + step, 0), depth - 1) for at in range(depth)] for step in range(-context, context + 1)]
    beside = torch.cat([pixels[:, :, places] for places in seen], dim=1) if context else pixels
    return beside.transpose(1, 2).flatten(0, 1)


def stacked(values: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
    """What was said of slices ``(N Z, K, y, x)`` as volumes ``(N, K, Z, y, x)``; of flat pictures as it is."""
    if pixels.dim() == 4:
        return values
    return values.reshape(-1, pixels.shape[2], *values.shape[1:]).transpose(1, 2)
