"""Depthwise convolutions in bfloat16 on the CPU, without the backward passes that are slow there.

With oneDNN 3 and AVX-512 the gradient of a depthwise convolution's input is some 20 times slower in bfloat16 than in float32 where
it strides, that of its weights 3 times where the kernel is larger than 3 by 3. Those two are done in float32; everything else, the
forward pass above all, stays in bfloat16. It makes an EfficientNet's training about twice as fast.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

_SMALL_KERNEL = 3


class QuickDepthwise(TorchFunctionMode):
    """While this lasts, ``torch.conv2d`` under bfloat16 autocast on the CPU takes the quicker way where there is one."""

    def __torch_function__(
        self, function: Callable[..., Any], types: Sequence[Any], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Every other function is left as it is."""
        if function is torch.conv2d and torch.is_grad_enabled() and torch.is_autocast_enabled("cpu"):
            return _conv2d(*args, **(kwargs or {}))
        return function(*args, **(kwargs or {}))


def _conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    strides, pads = _pair(stride), padding if isinstance(padding, str) else _pair(padding)
    depthwise = groups == input.shape[1] == weight.shape[0] > 1 and _pair(dilation) == [1, 1] and not isinstance(pads, str)
    if not depthwise or (max(strides) == 1 and max(weight.shape[2:]) <= _SMALL_KERNEL):
        return torch.conv2d(input, weight, bias, stride, padding, dilation, groups)
    found: Tensor = _Depthwise.apply(input.to(torch.bfloat16), weight.to(torch.bfloat16), strides, pads)  # type: ignore[no-untyped-call]
    return found if bias is None else found + bias.to(torch.bfloat16).reshape(1, -1, 1, 1)


class _Depthwise(torch.autograd.Function):
    """A depthwise convolution without bias, in bfloat16."""

    @staticmethod
    def forward(ctx: Any, pixels: Tensor, weight: Tensor, strides: list[int], pads: list[int]) -> Tensor:
        """The plain convolution."""
        ctx.save_for_backward(pixels, weight)
        ctx.shape = strides, pads
        return torch.conv2d(pixels, weight, None, strides, pads, 1, len(weight))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        """Each gradient in the type in which it is quicker."""
        pixels, weight = ctx.saved_tensors
        strides, pads = ctx.shape
        wide = {"input": max(strides) > 1, "weight": max(weight.shape[2:]) > _SMALL_KERNEL}

        def gradient(of: str, mask: list[bool]) -> Tensor:
            dtype = torch.float32 if wide[of] else torch.bfloat16
            g, x, w = (each.to(dtype) for each in (gradients[0], pixels, weight))
            found = torch.ops.aten.convolution_backward(g, x, w, None, strides, pads, [1, 1], False, [0, 0], len(w), mask)
            result: Tensor = found[mask.index(True)].to(torch.bfloat16)
            return result

        of_pixels = gradient("input", [True, False, False]) if ctx.needs_input_grad[0] else None
        of_weight = gradient("weight", [False, True, False]) if ctx.needs_input_grad[1] else None
        return of_pixels, of_weight, None, None


def _pair(value: Any) -> list[int]:
    return [int(value)] * 2 if isinstance(value, int) else [int(each) for each in value]
