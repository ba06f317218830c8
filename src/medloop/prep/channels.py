"""One number of channels for all: grey, or red, green and blue."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from medloop.errors import Unreadable
from medloop.types import Image

VERSION = 1
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def step(image: Image, *, to: Literal["grey", "rgb"] = "grey") -> Image:
    """``grey``: luma of colours, others stay. ``rgb``: grey three times. Raises `Unreadable` for other numbers of channels."""
    pixels, count = image.pixels, image.pixels.shape[1]
    if to == "grey" and image.colour and count == 3:
        luma = sum(weight * pixels[:, channel : channel + 1].astype(np.float32) for channel, weight in enumerate(_LUMA))
        whole = pixels.dtype.kind in "iu"
        return replace(image, pixels=np.asarray(np.rint(luma) if whole else luma).astype(pixels.dtype), colour=False)
    if to == "rgb" and not image.colour:
        if count != 1:
            raise Unreadable(f"an image of {count} channels cannot be shown in colour")
        return replace(image, pixels=np.repeat(pixels, 3, axis=1), colour=True)
    return image
