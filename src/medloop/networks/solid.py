"""Volumes seen as volumes: MONAI's SegResNet behind the interface of `multitask.Multitask`.

An encoder of residual blocks, and a light decoder (Myronenko, BrainLes 2018). It begins at random: for volumes
whose slices say little by themselves (shapes), or that are labelled in plenty. What is asked of the case comes from all maps of the
encoder, pooled; masks come from the decoder. Importing this module imports MONAI, which takes seconds.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from monai.networks.nets.segresnet import SegResNet
from torch.nn.functional import avg_pool3d, interpolate, pad

from medloop.errors import InputError
from medloop.networks.multitask import Multitask, MultitaskSpec
from medloop.networks.solid_spec import SolidSpec
from medloop.torch_compat import torch

_CAN = ("classes", "masks", "measures", "embedding")
_GREY, _SPREAD = 0.45, 0.25
_GROUPS = 4


class SolidBackbone(torch.nn.Module):
    """``(N, C, Z, Y, X)`` uint8, or float from 0 to 255, to maps ``(N, C_i, Z_i, Y_i, X_i)``, shallow to deep.

    Beyond its end a volume goes on as it ends, up to whole cells of the deepest map.
    """

    def __init__(self, spec: SolidSpec) -> None:
        super().__init__()
        net = _whole(spec, 1)
        self.spec = spec
        self.first, self.down = net.convInit, net.down_layers
        self.channels = tuple(spec.filters * 2**level for level in range(spec.levels))

    def forward(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """The maps."""
        cells = (each * 2 ** (self.spec.levels - 1) for each in self.spec.reduce)
        beyond = [-int(side) % cell for side, cell in zip(pixels.shape[2:], cells, strict=True)]
        values = (pixels.to(next(self.parameters()).dtype) / 255 - _GREY) / _SPREAD
        values = pad(values, (0, beyond[2], 0, beyond[1], 0, beyond[0]), mode="replicate")
        values = self.first(avg_pool3d(values, self.spec.reduce) if max(self.spec.reduce) > 1 else values)
        maps = []
        for layer in self.down:
            values = layer(values)
            maps.append(values)
        return maps

    def blocks(self) -> list[list[torch.nn.Parameter]]:
        """The stem, then each level."""
        return [list(part.parameters()) for part in (self.first, *self.down)]


class SolidMasks(torch.nn.Module):
    """Maps of the encoder back up to scores ``(N, K + 1, Z, Y, X)``."""

    def __init__(self, spec: SolidSpec, classes: int) -> None:
        super().__init__()
        net = _whole(spec, classes + 1)
        self.reduce = spec.reduce
        self.up, self.blocks, self.scores = net.up_samples, net.up_layers, net.conv_final

    def forward(self, maps: Sequence[torch.Tensor], size: Sequence[int]) -> torch.Tensor:
        """``size``: of the volume that came in."""
        values = maps[-1]
        for up, block, beside in zip(self.up, self.blocks, reversed(maps[:-1]), strict=True):
            values = block(up(values) + beside)
        scores: torch.Tensor = self.scores(values)
        if max(self.reduce) > 1:
            whole = [int(side) * each for side, each in zip(scores.shape[2:], self.reduce, strict=True)]
            scores = interpolate(scores, whole, mode="trilinear", align_corners=False)
        return scores[:, :, : int(size[0]), : int(size[1]), : int(size[2])]


class Solid(Multitask):
    """A `Multitask` for volumes ``(N, C, Z, Y, X)``; a flat picture is a volume of one slice. No boxes, and no image made up."""

    def __init__(self, backbone: SolidBackbone, spec: MultitaskSpec) -> None:
        cannot = [name for name in spec.outputs if name not in _CAN]
        if cannot or spec.regions != (1,) or spec.context or spec.guided:
            raise InputError(
                "solid-network",
                got=f"A network that sees whole volumes is asked for {', '.join(cannot) or 'regions or neighbours of slices'}.",
                allowed=f"{', '.join(_CAN)}, of the whole volume.",
                fix="Leave it out, or take a network that goes slice by slice.",
            )
        super().__init__(backbone, spec)

    def maps(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """What the backbone says of every volume, ``(N, C_i, Z_i, Y_i, X_i)``."""
        found: list[torch.Tensor] = self.backbone(pixels if pixels.dim() == 5 else pixels[:, :, None])
        return found

    def learn_levels(self, features: torch.Tensor) -> None:
        """Nothing: what a network says that begins at random is no scale for what it will say."""

    def _look_at_places(self, spec: MultitaskSpec) -> None:
        self.masks = SolidMasks(self.backbone.spec, spec.masks)

    def _of_places(self, maps: Sequence[torch.Tensor], pixels: torch.Tensor, asked: Collection[str]) -> dict[str, torch.Tensor]:
        if "masks" not in asked:
            return {}
        size = pixels.shape[2:] if pixels.dim() == 5 else (1, *pixels.shape[2:])
        scores = self.masks(maps, size)
        return {"masks": scores if pixels.dim() == 5 else scores[:, :, 0]}

    def _pooled(self, maps: Sequence[torch.Tensor], pixels: torch.Tensor, guides: torch.Tensor | None) -> torch.Tensor:
        del guides
        pooled: torch.Tensor = self.pool([each.flatten(2, 3) for each in maps])
        return pooled[:, None]


def build(spec: SolidSpec, *, state: Mapping[str, torch.Tensor] | None = None) -> SolidBackbone:
    """A backbone in evaluation mode, at its (always same) random start or with ``state`` (what its ``state_dict`` gave)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        backbone = SolidBackbone(spec)
    if state is not None:
        backbone.load_state_dict(dict(state))
    return backbone.eval()


def _whole(spec: SolidSpec, outputs: int) -> SegResNet:
    """MONAI's network, of which the parts are taken."""
    return SegResNet(
        spatial_dims=3,
        init_filters=spec.filters,
        in_channels=spec.channels,
        out_channels=outputs,
        norm=("group", {"num_groups": _GROUPS}) if spec.norm == "group" else spec.norm,
        blocks_down=spec.blocks or (1,) + (2,) * (spec.levels - 1),
        blocks_up=(1,) * (spec.levels - 1),
    )
