"""Reconstruction: the image made up again where blocks of it were hidden. It needs no labels, and where it fails something is odd.

After He et al., Masked autoencoders, CVPR 2022, with a convolutional network and a coarse answer. Grey values are told in units of
each image's own mean and standard deviation.
"""

from __future__ import annotations

from torch.nn.functional import adaptive_avg_pool2d, interpolate

from medloop.networks.pyramid import Mix
from medloop.torch_compat import torch


class ImageHead(torch.nn.Module):
    """A map of a pyramid ``(N, width, y, x)`` to grey values ``(N, 1, y, x)``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mix = Mix(width)
        self.grey = torch.nn.Conv2d(width, 1, 1)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """``(N, 1, y, x)``."""
        found: torch.Tensor = self.grey(self.mix(values))
        return found


def hide(pixels: torch.Tensor, blocks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The image without what is hidden, and what was there, as `loss` wants it.

    ``pixels``: ``(N, C, [Z,] Y, X)``, uint8 or float. ``blocks``: ``(N, rows, columns)`` bool, a grid laid over each image (over
    all slices of a volume); where it is True the image's mean is shown. What was there: ``(N, [Z,] Y, X)`` float32, NaN where not
    hidden.
    """
    hidden = interpolate(blocks[:, None].float(), pixels.shape[-2:], mode="nearest") > 0
    if pixels.dim() == 5:
        hidden = hidden[:, :, None]
    inner = tuple(range(2, pixels.dim()))
    shown = torch.where(hidden, pixels.float().mean(dim=inner, keepdim=True).to(pixels.dtype), pixels)
    return shown, torch.where(hidden[:, 0], grey(pixels), torch.nan)


def grey(pixels: torch.Tensor) -> torch.Tensor:
    """``(N, C, [Z,] Y, X)`` to ``(N, [Z,] Y, X)`` float32: the mean of the channels, in units of the image's mean and deviation."""
    values = pixels.float().mean(dim=1)
    flat = values.flatten(1)
    mean, deviation = flat.mean(dim=1), flat.std(dim=1, unbiased=False)
    over = (-1,) + (1,) * (values.dim() - 1)
    return (values - mean.reshape(over)) / (deviation.reshape(over) + 1)


def loss(outputs: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Mean absolute error over what was hidden.

    ``outputs``: ``(N, 1, [Z,] y, x)``. ``truth``: ``(N, [Z,] Y, X)`` of a size as large or larger, NaN where nothing was hidden.
    """
    there = torch.isfinite(truth)
    values = torch.stack([torch.where(there, truth, 0.0), there.to(truth)], dim=1).float()
    small = _pooled(values, outputs.shape[-2:])
    share = small[:, 1]
    error = (outputs[:, 0].float() - small[:, 0] / share.clamp(min=1e-6)).abs()
    return (error * share).sum() / share.sum().clamp(min=1e-6)


def known(truth: torch.Tensor) -> torch.Tensor:
    """``(N,)`` bool: cases of which anything was hidden."""
    return torch.isfinite(truth).flatten(1).any(dim=1)


def _pooled(values: torch.Tensor, size: torch.Size) -> torch.Tensor:
    """``(N, 2, [Z,] Y, X)`` averaged to ``size`` within every slice."""
    flat = values.flatten(0, -3)[:, None]
    return adaptive_avg_pool2d(flat, (int(size[0]), int(size[1]))).reshape(*values.shape[:-2], *size)
