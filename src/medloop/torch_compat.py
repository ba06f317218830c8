"""Makes torchvision, and so timm, import beside a torch without CUDA. Rooms with networks take torch and timm from here.

The public torchvision wheel is linked against CUDA. Beside a CPU torch its C++ part does not load, and its Python part then stops
at operators that were never declared. Declaring their schemas is enough: nothing in medloop calls them.
"""

from __future__ import annotations

import torch

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


def _declare() -> torch.library.Library | None:
    """Declare what a torchvision that cannot load its operators expects to find. None where there is nothing to do."""
    if torch.version.cuda is not None or torch.version.hip is not None:
        return None
    declared = torch.library.Library("torchvision", "FRAGMENT")
    for schema in _SCHEMAS:
        try:
            declared.define(schema)
        except RuntimeError:  # somebody declared it before
            continue
    return declared


_DECLARED = _declare()

import timm  # noqa: E402  (only after the declaration)

__all__ = ["timm", "torch"]
