"""Stochastic depth: residual blocks left out at random while a network learns (Huang et al., ECCV 2016)."""

from __future__ import annotations

from medloop.torch_compat import timm, torch

_NAMES = ("drop_path", "drop_path1", "drop_path2")


def skip(net: torch.nn.Module, rate: float) -> int:
    """Leave the deepest residual block out as often as ``rate`` says, those before it in proportion to their depth.

    Works where timm has a place for it. Returns how many blocks are concerned.
    """
    places = [module for module in net.modules() if any(hasattr(module, name) for name in _NAMES)]
    for number, module in enumerate(places, 1):
        for name in _NAMES:
            if hasattr(module, name):
                setattr(module, name, timm.layers.DropPath(rate * number / len(places)).train(module.training))
    return len(places)
