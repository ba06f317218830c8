"""Pretrained networks as eyes: pixels in, feature maps out. Any network of timm that tells its intermediate maps.

VGG, ResNet, DenseNet, EfficientNet, MobileNet, ConvNeXt, ViT, DINO and the rest are taken by timm's names.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch.nn.functional import avg_pool2d, interpolate

from medloop.errors import InputError
from medloop.networks import weights
from medloop.networks.weights import State, Weights
from medloop.progress import QUIET, Progress
from medloop.torch_compat import timm, torch
from medloop.types import Json

DEFAULT = "tf_efficientnet_lite0"
"""Its weights come with a package, so it needs no network."""
_COLOURS = 3
_QUARTERS = 4
_SMALLEST = 32
_FILTERS = ("checkpoint_filter_fn", "_filter_fn", "_filter_torchvision_pretrained")
_COUNTER = "num_batches_tracked"
_GREY, _SPREAD = 0.45, 0.25
"""Mean and standard deviation, of 0 to 1, of levelled images: about those of photographs."""


@dataclass(frozen=True, slots=True)
class BackboneSpec:
    """What is wanted of a backbone; with its tensors all that is needed to build it again.

    ``side``: pixels of the longer side of what the network sees; one that cuts it into patches sees a square of whole patches.
    ``stages``: which maps, shallow to deep, from 0 (-1 is the deepest); ``()`` is all. ``level``: each image is brought to the same
    mean and standard deviation first. ``weights``: ``pretrained``, the path of a file, or ``none`` (a random start: for tests, and
    where a saved state is loaded afterwards). ``channels``: of what comes in, each seen by itself, such as contrasts or
    neighbouring slices; 0 is one shown as grey, three as colours, of any other number the mean as grey. The first layer's weights
    for red, green and blue are then repeated for the channels, in proportion, as timm does; weights that were learnt for so many
    stay as they are.
    """

    name: str = DEFAULT
    side: int = 112
    stages: tuple[int, ...] = ()
    level: bool = False
    weights: str = "pretrained"
    channels: int = 0

    def to_json(self) -> Json:
        """As plain JSON."""
        return asdict(self) | {"stages": list(self.stages)}

    @staticmethod
    def from_json(saved: Json) -> BackboneSpec:
        """Back from `to_json`."""
        return BackboneSpec(**{**saved, "stages": tuple(saved["stages"])})


class Backbone(torch.nn.Module):
    """Pixels to feature maps. Build it with `build`.

    ``channels`` and ``reductions`` (pixels of input to one of the map) hold a number for each map that `forward` returns.
    ``origin`` tells where the weights came from, None for a state that was given.
    """

    def __init__(self, spec: BackboneSpec, net: torch.nn.Module, stages: tuple[_Stage, ...], origin: Weights | None) -> None:
        super().__init__()
        self.spec = spec
        self.net = net
        self.origin = origin
        self.channels = tuple(stage.channels for stage in stages)
        self.reductions = tuple(stage.reduction for stage in stages)
        self._indices = [stage.index for stage in stages]
        self._patch = _patch(net)
        facts = weights.known(spec.name)
        self.register_buffer("mean", _by_channel(facts.mean, spec.channels), persistent=False)
        self.register_buffer("deviation", _by_channel(facts.std, spec.channels), persistent=False)

    def forward(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """``(N, C, Y, X)`` uint8, or float from 0 to 255, to maps ``(N, C_i, Y_i, X_i)``, shallow to deep.

        How many channels there are, and what they are shown as: see `BackboneSpec`.
        """
        maps: list[torch.Tensor] = self.net.forward_intermediates(  # type: ignore[operator]
            self._seen(pixels), indices=self._indices, intermediates_only=True, output_fmt="NCHW", norm=False
        )
        return maps

    def _seen(self, pixels: torch.Tensor) -> torch.Tensor:
        """What the network is shown: ``(N, 3, Y', X')``, or as many channels as its spec has, float, in the network's own scale."""
        values = pixels.to(self.mean.dtype) / 255  # type: ignore[arg-type]
        if not self.spec.channels and values.shape[1] not in (1, 3):
            values = values.mean(dim=1, keepdim=True)
        if self.spec.level:
            over = (2, 3) if self.spec.channels else (1, 2, 3)
            middle = values.mean(dim=over, keepdim=True)
            spread = (values - middle).square().mean(dim=over, keepdim=True).sqrt()
            values = (values - middle) / (spread + 1 / 255) * _SPREAD + _GREY
        return (_resized(values, self.spec.side, self._patch) - self.mean) / self.deviation  # type: ignore[operator]

    def blocks(self) -> list[list[torch.nn.Parameter]]:
        """Parameters in groups, the stem first, the deepest last: for freezing, rates by depth, and unfreezing step by step."""
        groups = timm.models.group_parameters(self.net, self.net.group_matcher(coarse=True))  # type: ignore[operator]
        named = dict(self.net.named_parameters())
        blocks: list[list[torch.nn.Parameter]] = []
        for _, names in sorted(groups.items()):
            block = [named[name] for name in names]
            if blocks and all(each.ndim == 1 for each in block):  # a batch norm belongs to the layer before it
                blocks[-1] += block
            elif block:
                blocks.append(block)
        return blocks

    def freeze(self, count: int) -> None:
        """The first ``count`` blocks are never trained, nor do their batch norms follow the data; the others are trained."""
        for number, block in enumerate(self.blocks()):
            for parameter in block:
                parameter.requires_grad_(number >= count)
        self.train(self.training)

    def train(self, mode: bool = True) -> Backbone:
        """As for every module; but parts of which no parameter is trained stay as in use, batch norm and dropout with them."""
        super().train(mode)
        if mode:
            for part in _still(self.net):
                part.eval()
        return self


@dataclass(frozen=True, slots=True)
class _Stage:
    """One map that a network can give: its number in timm, its channels, the pixels of input to one of the map."""

    index: int
    channels: int
    reduction: int


def build(spec: BackboneSpec, *, state: Mapping[str, torch.Tensor] | None = None, tell: Progress = QUIET) -> Backbone:
    """A backbone in evaluation mode, with pretrained weights or with ``state`` (what `Backbone.state_dict` gave).

    Layers beyond the deepest wanted stage are dropped. Raises `InputError` for an unknown name, stages or side that the network
    does not have, and weights that are not its own.
    """
    weights.known(spec.name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = _skeleton(spec)
    stages = _stages(net, spec)
    whole = dict(net.state_dict())
    net.prune_intermediate_layers([stage.index for stage in stages], prune_norm=True, prune_head=True)
    origin = None
    if state is not None:
        _load(net, whole, {key.removeprefix("net."): value for key, value in state.items()}, spec)
    elif spec.weights != "none":
        file = None if spec.weights == "pretrained" else Path(spec.weights)
        found, origin = weights.find(spec.name, file, tell)
        _load(net, whole, found, spec)
    return Backbone(spec, net, stages, origin).eval()


def _skeleton(spec: BackboneSpec) -> Any:
    """The whole network with random weights. One that cuts the image into patches is made for the side that it will see."""
    net = timm.create_model(spec.name, pretrained=False, in_chans=spec.channels or _COLOURS)
    if (patch := _patch(net)) > 1:
        side = _whole(spec.side, patch)
        net.set_input_size(img_size=(side, side))
    return net


def _stages(net: Any, spec: BackboneSpec) -> tuple[_Stage, ...]:
    """The wanted stages; a ViT, which has a map after every block, is asked at each quarter of its depth."""
    told = [dict(each) for each in (net.feature_info if isinstance(net.feature_info, list) else net.feature_info.info)]
    every = [_Stage(index, each["num_chs"], each["reduction"]) for index, each in enumerate(told)]
    if _patch(net) > 1:
        every = [every[len(every) * (quarter + 1) // _QUARTERS - 1] for quarter in range(_QUARTERS)]
    wanted = tuple(len(every) + number if number < 0 else number for number in spec.stages) or tuple(range(len(every)))
    if any(not 0 <= number < len(every) for number in wanted) or list(wanted) != sorted(set(wanted)):
        raise InputError(
            "unknown-stage",
            got=f"Stages {list(spec.stages)} of {spec.name} are asked for.",
            allowed=f"Rising numbers from 0 to {len(every) - 1}, or -1 for the deepest.",
            fix="Choose among them, or leave stages out for all.",
        )
    return tuple(every[number] for number in wanted)


def _patch(net: Any) -> int:
    """The side of the patches into which a ViT cuts the image, 1 for other networks."""
    size = getattr(getattr(net, "patch_embed", None), "patch_size", 1)
    return int(size[0] if isinstance(size, tuple) else size)


def _load(net: Any, whole: Mapping[str, torch.Tensor], given: State, spec: BackboneSpec) -> None:
    """Give the network its tensors. Raises `InputError` where one is missing, has another shape or belongs to a deeper network.

    ``whole``: the tensors of the network before its last layers were dropped.
    """
    wanted = net.state_dict()
    given = _repeated(net, _converted(net, given), wanted)
    missing = [name for name in wanted if name not in given and not name.endswith(_COUNTER)]
    other = [name for name, tensor in wanted.items() if name in given and given[name].shape != tensor.shape]
    parts = {name.split(".")[0] for name in wanted}
    beyond = [name for name in given if name not in whole and name.split(".")[0] in parts and not name.endswith(_COUNTER)]
    if missing or other or beyond:
        first = (missing or other or beyond)[0]
        why = "is missing" if missing else "has another shape" if other else "does not belong to it"
        raise InputError(
            "wrong-weights",
            got=f"The weights are not those of {spec.name}: of {len(wanted)} tensors {len(missing)} are missing, {len(other)} have "
            f"another shape, {len(beyond)} are too many ('{first}' {why}).",
            allowed=f"Weights of {spec.name}, as timm or torchvision name them.",
            fix="Name the backbone that the weights were trained with, or the file that belongs to this backbone.",
        )
    net.load_state_dict({name: given[name] for name in wanted if name in given}, strict=False)


def _converted(net: Any, given: State) -> State:
    """Tensors by timm's names, where the weights were published under others or for another size of image."""
    module = sys.modules[type(net).__module__]
    for name in _FILTERS:
        if convert := getattr(module, name, None):
            try:
                return dict(convert(dict(given), net))
            except TypeError:
                return dict(convert(dict(given)))
    return given


def _repeated(net: Any, given: State, wanted: State) -> State:
    """With the first layer's weights for three colours repeated for as many channels as the network takes."""
    first = net.pretrained_cfg["first_conv"]
    for name in [f"{each}.weight" for each in ([first] if isinstance(first, str) else first)]:
        if name in given and name in wanted and given[name].shape[1:2] == (_COLOURS,) != wanted[name].shape[1:2]:
            given = {**given, name: timm.models.adapt_input_conv(wanted[name].shape[1], given[name])}
    return given


def centre(backbone: Backbone, count: int) -> None:
    """Let it begin with the middle one alone, as grey, of ``count`` slices that it is shown together, and learn of the others.

    Repeated colour weights would begin with the mean of all: a picture blurred across slices.
    """
    first = backbone.net.pretrained_cfg["first_conv"]  # type: ignore[index]
    with torch.no_grad():
        for name in [first] if isinstance(first, str) else first:
            weight = backbone.net.get_parameter(f"{name}.weight")
            parts = weight.reshape(len(weight), count, -1, *weight.shape[2:])
            middle = torch.zeros_like(parts)
            middle[:, count // 2] = parts.sum(dim=1)
            weight.copy_(middle.reshape(weight.shape))


def _by_channel(values: Sequence[float], channels: int) -> torch.Tensor:
    """A number for each colour, ``(1, 3, 1, 1)``, or for each of the channels that take their weights."""
    return torch.tensor([values[each % _COLOURS] for each in range(channels or _COLOURS)]).reshape(1, -1, 1, 1)


def _resized(values: torch.Tensor, side: int, patch: int) -> torch.Tensor:
    """The longer side to ``side``, the other in proportion; a square for patches. Neighbours are averaged where it shrinks."""
    old = (int(values.shape[2]), int(values.shape[3]))
    new = (_whole(side * old[0] / max(old), 1), _whole(side * old[1] / max(old), 1)) if patch == 1 else (_whole(side, patch),) * 2
    if new == old:
        return values
    factor = (max(old[0] // new[0], 1), max(old[1] // new[1], 1))
    if factor != (1, 1):
        values = avg_pool2d(values, factor)
    return interpolate(values, new, mode="bilinear", align_corners=False)


def _whole(side: float, patch: int) -> int:
    """The nearest multiple of ``patch`` that is not too small for any network."""
    return max(round(side / patch), math.ceil(_SMALLEST / patch)) * patch


def _still(net: torch.nn.Module) -> Iterator[torch.nn.Module]:
    """Parts that have parameters, of which none is trained."""
    for part in net.modules():
        parameters = list(part.parameters())
        if parameters and not any(each.requires_grad for each in parameters):
            yield part
