"""Where a network looks: what each place of its feature maps adds to a score.

Grad-CAM (Selvaraju et al., ICCV 2017) weighs maps by the mean of the score's gradient. Here the gradient of each place itself
weighs it (HiResCAM, Draelos and Carin 2020): the same where maps are averaged before a linear layer, and right as well where also
their deviation, regions or tokens of a ViT reach the head. One stage is looked at: the deepest whose map is still fine enough to
point.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import safetensors.torch
from torch.nn.functional import interpolate

from medloop.networks.backbones import BackboneSpec, build
from medloop.networks.classifier import Classifier, ClassifierSpec
from medloop.torch_compat import torch
from medloop.types import Array, Floats, Integers, Json, TargetKind

_FINE = 6  # places a side, at least

Score = Callable[[torch.Tensor], torch.Tensor]
"""From raw scores ``(N, columns)`` to the one number of each case that is explained, ``(N,)``."""


def rebuilt(network: Mapping[str, Json], backbone: bytes, answer: Mapping[str, Array]) -> Classifier:
    """A saved network.

    ``network``: specs of backbone and classifier; ``backbone``: safetensors; ``answer``: what stands behind it.
    """
    spec = replace(BackboneSpec.from_json(network["backbone"]), weights="none")
    eyes = build(spec, state=safetensors.torch.load(backbone))
    net = Classifier(eyes, ClassifierSpec.from_json(network["classifier"]))
    net.answer.load_state_dict({name: torch.from_numpy(np.array(each)) for name, each in answer.items()})
    return net.eval()


def heat_for(net: Classifier, pixels: Array, kind: TargetKind, choices: Integers) -> Floats:
    """``(N, Z, Y, X)`` of at least 0: what speaks for each of the answers ``choices``; for numbers, what moves them either way.

    ``pixels``: uint8, as the network takes them.
    """
    chosen = torch.from_numpy(np.array(choices, np.int64))
    signed = contributions(net, torch.from_numpy(np.array(pixels)), lambda scores: margin(scores, kind, chosen))
    found = signed.abs() if kind is TargetKind.NUMBER else signed.clamp(min=0)
    return np.asarray(found.numpy())


def margin(scores: torch.Tensor, kind: TargetKind, choices: torch.Tensor) -> torch.Tensor:
    """How much raw scores ``(N, columns)`` speak for each choice: its log odds against the other classes; numbers: the number."""
    if kind is TargetKind.NUMBER:
        return scores[:, 0]
    if kind is TargetKind.BINARY:
        return torch.where(choices == 1, scores[:, 0], -scores[:, 0])
    chosen = scores.gather(1, choices[:, None])[:, 0]
    if kind is TargetKind.MULTILABEL:
        return chosen
    others = scores.masked_fill(torch.nn.functional.one_hot(choices, scores.shape[1]).bool(), -torch.inf)
    return chosen - others.logsumexp(dim=1)


def heat(net: Classifier, pixels: torch.Tensor, score: Score) -> torch.Tensor:
    """``(N, Z, Y, X)`` of at least 0 (a flat picture: Z is 1): how much each place adds to the score.

    ``pixels``: ``(N, C, Y, X)`` or ``(N, C, Z, Y, X)``, as the network takes them. The network is left as it was, in evaluation
    mode.
    """
    signed = contributions(net, pixels, score)
    return signed.clamp(min=0)


def contributions(net: Classifier, pixels: torch.Tensor, score: Score) -> torch.Tensor:
    """As `heat`, with what speaks against the score below 0."""
    calls: list[torch.Tensor] = []
    net.eval()
    hook = net.backbone.register_forward_hook(lambda _, __, maps: calls.append(_fine(maps)))
    try:
        with torch.enable_grad():
            scores = net(pixels.float().requires_grad_())
            slopes = torch.autograd.grad(score(scores).sum(), calls)
    finally:
        hook.remove()
    shape = (len(pixels), *(pixels.shape[2:] if pixels.dim() == 5 else (1, *pixels.shape[2:])))
    planes = net.spec.planes if pixels.dim() == 5 else "z"
    found = [(each * slope).sum(dim=1).detach() for each, slope in zip(calls, slopes, strict=True)]
    return torch.stack([_spread(cells, shape, plane) for plane, cells in zip(planes, found, strict=True)]).sum(dim=0)


def _fine(maps: Sequence[torch.Tensor]) -> torch.Tensor:
    """The deepest map that is fine enough, or the finest."""
    fine = [each for each in maps if min(each.shape[-2:]) >= _FINE]
    return fine[-1] if fine else maps[0]


def _spread(cells: torch.Tensor, shape: Sequence[int], plane: str) -> torch.Tensor:
    """Cells ``(N S, y, x)`` of slices across an axis, spread over every pixel of ``(N, Z, Y, X)``."""
    axis = 1 + "zyx".index(plane)
    rest = [shape[each] for each in (1, 2, 3) if each != axis]
    laid = cells.reshape(shape[0], 1, -1, *cells.shape[1:]).float()
    size = (shape[axis], *rest)
    share = laid[0, 0].numel() / (size[0] * size[1] * size[2])
    wide = interpolate(laid, size, mode="trilinear", align_corners=False)[:, 0]
    return share * wide.movedim(1, axis)
