"""Even out the slow change of brightness that MR coils leave (N4: Tustison et al., IEEE TMI 2010; SimpleITK's implementation)."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import numpy as np
import SimpleITK as sitk
from pydantic import Field

from medloop.errors import Unreadable
from medloop.prep._itk import to_itk
from medloop.types import Array, Image

VERSION = 1
_LEAST = 4


def step(
    image: Image,
    *,
    shrink: Annotated[int, Field(ge=1, le=8)] = 4,
    iterations: Annotated[int, Field(ge=1, le=500)] = 30,
    levels: Annotated[int, Field(ge=1, le=5)] = 3,
) -> Image:
    """Divide each frame and channel by its bias field, estimated on a copy ``shrink`` times smaller; float32 comes out.

    Only MR (and images of unknown modality) is changed: CT and radiographs have no such field, colour is left alone. What is at
    or below Otsu's threshold does not take part in the estimate. Raises `Unreadable` where the estimate fails.
    """
    if image.modality not in (None, "MR") or image.colour or min(image.pixels.shape[3:]) < _LEAST * shrink:
        return image
    pixels = np.empty(image.pixels.shape, np.float32)
    for frame, channel in np.ndindex(image.pixels.shape[:2]):
        volume = image.pixels[frame, channel]
        pixels[frame, channel] = _even(volume - min(0.0, float(volume.min())), image, shrink, [iterations] * levels)
    return replace(image, pixels=pixels, window=None)


def _even(volume: Array, image: Image, shrink: int, iterations: list[int]) -> Array:
    flat = volume.shape[0] == 1
    whole = to_itk(volume, image.affine_lps, image.spacing_mm)
    whole = whole[:, :, 0] if flat else whole
    factors = [shrink if size >= _LEAST * shrink else 1 for size in whole.GetSize()]
    try:
        small = sitk.Shrink(whole, factors)
        n4 = sitk.N4BiasFieldCorrectionImageFilter()
        n4.SetMaximumNumberOfIterations(iterations)
        n4.SetNumberOfThreads(1)
        n4.Execute(small, sitk.OtsuThreshold(small, 0, 1))
        field = np.exp(sitk.GetArrayFromImage(n4.GetLogBiasFieldAsImage(whole)))
    except RuntimeError as error:
        raise Unreadable("the bias field cannot be estimated (N4 failed)") from error
    even: Array = volume / np.maximum(field.reshape(volume.shape), 1e-6)
    if not np.isfinite(even).all():
        raise Unreadable("the bias field cannot be estimated (N4 gave no numbers)")
    return even
