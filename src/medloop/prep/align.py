"""Turn and shift every volume onto one reference (rigid, mutual information; SimpleITK)."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Annotated

import numpy as np
import SimpleITK as sitk
from pydantic import Field

from medloop.errors import InputError, Unreadable
from medloop.prep._grid import followed
from medloop.prep._itk import affine_from, grey_of, to_itk
from medloop.types import Floats, Image

VERSION = 1
_BINS = 50
_GRID = 40_000


def step(
    image: Image,
    *,
    reference: str,
    iterations: Annotated[int, Field(ge=1, le=1000)] = 100,
) -> Image:
    """The image on the voxel grid of ``reference`` (a NIfTI, NRRD or MetaImage volume) after the rigid move that fits best.

    All frames and channels move together, by the fit of their mean. What lies outside is filled with the smallest value.
    Raises `InputError` when the reference cannot be read, `Unreadable` when the two do not meet or the image is flat.
    """
    fixed = _reference(reference, _when(reference))
    if image.pixels.shape[2] < 2:
        raise Unreadable("a flat picture cannot be aligned to a volume")
    moving = to_itk(grey_of(image), image.affine_lps, image.spacing_mm)
    try:
        move = _fit(fixed, moving, iterations)
    except RuntimeError as error:
        raise Unreadable("it cannot be aligned to the reference (they do not meet)") from error
    shape = (*image.pixels.shape[:2], *fixed.GetSize()[::-1])
    pixels = np.empty(shape, np.float32)
    for frame, channel in np.ndindex(*shape[:2]):
        volume = image.pixels[frame, channel]
        part = to_itk(volume, image.affine_lps, image.spacing_mm)
        pixels[frame, channel] = sitk.GetArrayFromImage(sitk.Resample(part, fixed, move, sitk.sitkLinear, float(volume.min())))
    whole = image.pixels.dtype.kind in "iu"
    x, y, z = fixed.GetSpacing()
    return replace(
        image,
        pixels=(np.rint(pixels) if whole else pixels).astype(image.pixels.dtype),
        affine_lps=affine_from(fixed),
        spacing_mm=(z, y, x),
        from_voxel=followed(image, np.linalg.inv(affine_from(moving)) @ _matrix(move) @ affine_from(fixed)),
    )


def content(*, reference: str, iterations: int = 0) -> str:
    """Hash of the reference file, which goes into the cache key. Raises `InputError` when it cannot be read."""
    del iterations
    try:
        return hashlib.blake2b(Path(reference).expanduser().read_bytes(), digest_size=12).hexdigest()
    except OSError as error:
        raise _no_reference(reference, str(error.strerror)) from error


def _when(reference: str) -> int:
    try:
        return Path(reference).expanduser().stat().st_mtime_ns
    except OSError as error:
        raise _no_reference(reference, str(error.strerror)) from error


@lru_cache(maxsize=1)
def _reference(path: str, mtime_ns: int) -> sitk.Image:
    """The volume; the time of the file is part of the key, so a changed one is read anew."""
    del mtime_ns
    try:
        image = sitk.ReadImage(str(Path(path).expanduser()), sitk.sitkFloat32)
    except RuntimeError as error:
        raise _no_reference(path, "it is not an image that can be read") from error
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        raise _no_reference(path, "it is not one grey volume")
    return image


def _no_reference(path: str, why: str) -> InputError:
    return InputError(
        "bad-reference",
        got=f"The reference volume {path} cannot be used: {why}.",
        allowed="A NIfTI, NRRD or MetaImage file with one grey volume.",
        fix="Mend 'reference' of the step align in the recipe.",
    )


def _fit(fixed: sitk.Image, moving: sitk.Image, iterations: int) -> sitk.Transform:
    """The rigid move from the reference's space to the image's, from centres of mass, coarse to fine. The same every time."""
    start = sitk.CenteredTransformInitializer(
        fixed, moving, sitk.Euler3DTransform(), sitk.CenteredTransformInitializerFilter.MOMENTS
    )
    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfThreads(1)
    method.SetMetricAsMattesMutualInformation(_BINS)
    method.SetMetricSamplingStrategy(method.REGULAR)
    method.SetMetricSamplingPercentage(min(1.0, _GRID / fixed.GetNumberOfPixels()), 1)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-4, iterations, relaxationFactor=0.6)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([4, 2, 1])
    method.SetSmoothingSigmasPerLevel([2.0, 1.0, 0.0])
    method.SetInitialTransform(start, inPlace=True)
    method.Execute(fixed, moving)
    return start


def _matrix(move: sitk.Euler3DTransform) -> Floats:
    """4 by 4: millimetres in the reference to millimetres in the image."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(move.GetMatrix()).reshape(3, 3)
    matrix[:3, 3] = move.TransformPoint((0.0, 0.0, 0.0))
    return matrix
