"""Images to SimpleITK and back, in LPS on both sides."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from medloop.types import Array, Floats, Image, SpacingMm


def to_itk(volume: Array, affine_lps: Array | None, spacing_mm: SpacingMm | None) -> sitk.Image:
    """``(Z, Y, X)`` as a float32 SimpleITK image with its place. Without affine the axes are LPS and the origin is 0."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(volume, np.float32))
    affine = affine_of(affine_lps, spacing_mm)
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    image.SetSpacing(lengths.tolist())
    image.SetDirection(_rotation(affine[:3, :3] / lengths).ravel().tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    return image


def affine_of(affine_lps: Array | None, spacing_mm: SpacingMm | None) -> Floats:
    """The affine where known, else one of the spacing (1 mm where that is unknown too)."""
    if affine_lps is not None:
        return np.asarray(affine_lps, np.float64)
    return np.diag([*(spacing_mm or (1.0, 1.0, 1.0))[::-1], 1.0])


def affine_from(image: sitk.Image) -> Floats:
    """The LPS affine of a SimpleITK image: index ``(x, y, z, 1)`` to millimetres."""
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    return affine


def grey_of(image: Image) -> Floats:
    """``(Z, Y, X)`` float32: the first frame, channels averaged."""
    return np.asarray(image.pixels[0].mean(axis=0, dtype=np.float32))


def _rotation(cosines: Floats) -> Floats:
    """The nearest orthonormal matrix: headers carry rounded cosines, and tilted gantries shear."""
    left, _, right = np.linalg.svd(cosines)
    return np.asarray(left @ right)
