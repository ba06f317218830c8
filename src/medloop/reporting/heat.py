"""Heat over grey: where a model looked, on the prepared image it was given."""

from __future__ import annotations

import numpy as np
from PIL import Image as Pillow

from medloop.reporting.sheets import SHOWN, as_grey, fitted, montage
from medloop.types import Array, Floats, Image

_SCALE = np.array([[110, 0, 60], [215, 40, 35], [250, 140, 25], [255, 245, 110]], np.float32)
_MOST_COVERED = 0.75


def colours(heat: Floats) -> Array:
    """``(Y, X)`` of 0 to 1 to ``(Y, X, 3)`` float32: dark red to yellow, ever lighter (so it reads without colour too)."""
    knots = np.linspace(0, 1, len(_SCALE))
    return np.stack([np.interp(heat, knots, _SCALE[:, channel]) for channel in range(3)], axis=-1).astype(np.float32)


def overlay(grey: Array, heat: Floats) -> Array:
    """``(Y, X)`` uint8 under heat ``(Y, X)`` of 0 to 1, as ``(Y, X, 3)`` uint8: where it is cold the picture shows unchanged."""
    cover = (_MOST_COVERED * np.clip(heat, 0, 1) ** 0.75)[..., None]
    mixed = (1 - cover) * grey[..., None] + cover * colours(heat)
    return np.asarray(np.clip(np.rint(mixed), 0, 255).astype(np.uint8))


def heat_picture(image: Image, heat: Floats) -> Array:
    """The prepared image in grey under its heat ``(Z, Y, X)``, ``(Y', X', 3)`` uint8.

    A volume is shown as three planes through its hottest place: across z, y and x.
    """
    grey = as_grey(image)
    if len(grey) == 1:
        return _laid(grey[0], heat[0])
    place = [int(each) for each in np.unravel_index(int(heat.argmax()), heat.shape)]
    shown = [_laid(grey.take(at, axis), np.asarray(heat.take(at, axis))) for axis, at in enumerate(place)]
    return np.stack([montage([each[..., channel] for each in shown]) for channel in range(3)], axis=-1)


def _laid(grey: Array, heat: Floats) -> Array:
    """One plane with its heat, both smoothly enlarged to the size they are shown at, or made smaller."""
    grey = fitted(grey)
    scale = max(1.0, SHOWN / min(grey.shape))
    size = round(grey.shape[1] * scale), round(grey.shape[0] * scale)
    smooth = Pillow.fromarray(heat.astype(np.float32)).resize(size, Pillow.Resampling.BILINEAR)
    return overlay(np.asarray(Pillow.fromarray(grey).resize(size, Pillow.Resampling.BICUBIC)), np.asarray(smooth))
