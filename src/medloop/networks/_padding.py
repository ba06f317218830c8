"""Padding that depends on the size of the image, settled for one size: without it ONNX Runtime runs a quarter slower.

TensorFlow's networks (``tf_efficientnet_lite0`` among them) pad each convolution by what its input's size asks for. Traced, that is
a graph of sums before every such convolution; for images of one size it is four numbers, which ONNX's convolution takes itself.
"""

from __future__ import annotations

from typing import Any

from torch.nn.functional import conv2d, pad

from medloop.torch_compat import timm, torch


def settle(module: torch.nn.Module, example: torch.Tensor) -> None:
    """Replace such convolutions in place by ones whose padding fits ``example``; what the module answers stays the same."""
    sizes: dict[torch.nn.Module, tuple[int, int]] = {}

    def note(convolution: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        sizes[convolution] = (inputs[0].shape[2], inputs[0].shape[3])

    hooks = [part.register_forward_pre_hook(note) for part in module.modules() if isinstance(part, timm.layers.Conv2dSame)]
    module(example)
    for hook in hooks:
        hook.remove()
    for part in list(module.modules()):
        for name, child in list(part.named_children()):
            if child in sizes:
                setattr(part, name, _Settled(child, sizes[child]))


class _Settled(torch.nn.Module):
    """A convolution with its own padding for each edge."""

    def __init__(self, convolution: Any, size: tuple[int, int]) -> None:
        super().__init__()
        self.convolution = convolution
        edges = [
            _edges(*each) for each in zip(size, convolution.kernel_size, convolution.stride, convolution.dilation, strict=True)
        ]
        self.pads = [edges[0][0], edges[1][0], edges[0][1], edges[1][1]]

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        like = self.convolution
        answer: torch.Tensor = _Padded.apply(values, like.weight, like.bias, like, self.pads)  # type: ignore[no-untyped-call]
        return answer


def _edges(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """Padding before and after, so that the output has a pixel for each step of ``stride``."""
    whole = max((-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
    return whole // 2, whole - whole // 2


class _Padded(torch.autograd.Function):
    """One convolution of ONNX, which unlike torch's pads each edge by itself: ``pads`` are top, left, bottom, right."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, weight: torch.Tensor, bias: Any, like: Any, pads: list[int]) -> torch.Tensor:
        top, left, bottom, right = pads
        return conv2d(pad(values, (left, right, top, bottom)), weight, bias, like.stride, 0, like.dilation, like.groups)

    @staticmethod
    def symbolic(graph: Any, values: Any, weight: Any, bias: Any, like: Any, pads: list[int]) -> Any:
        """What the exporter writes."""
        inputs = [values, weight] if bias is None else [values, weight, bias]
        return graph.op("Conv", *inputs, strides_i=like.stride, dilations_i=like.dilation, group_i=like.groups, pads_i=pads)
