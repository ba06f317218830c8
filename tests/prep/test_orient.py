"""Every stored orientation of one volume becomes the same volume; SimpleITK's DICOMOrient is the judge."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
import SimpleITK as sitk

from medloop.prep import orient
from medloop.prep._itk import affine_from, to_itk
from medloop.types import Image

CODES = [
    "".join(letters[flip] for letters, flip in zip(axes, flips, strict=True))
    for axes in permutations(["LR", "PA", "SI"])
    for flips in product((0, 1), repeat=3)
]


def volume() -> sitk.Image:
    rng = np.random.default_rng(3)
    affine = np.diag([0.9, 1.2, 3.0, 1.0])
    affine[:3, 3] = (10, -20, 30)
    return to_itk(rng.normal(size=(4, 5, 6)), affine, None)


@pytest.mark.parametrize("code", CODES)
def test_all_48_orientations_become_one(code: str) -> None:
    original = volume()
    stored = sitk.DICOMOrient(original, code)
    x, y, z = stored.GetSpacing()
    out = orient.step(
        Image(sitk.GetArrayFromImage(stored)[None, None], spacing_mm=(z, y, x), affine_lps=affine_from(stored), modality="MR")
    )
    np.testing.assert_array_equal(out.pixels[0, 0], sitk.GetArrayFromImage(original))
    np.testing.assert_allclose(out.affine_lps, affine_from(original), atol=1e-9)
    np.testing.assert_allclose(out.spacing_mm, original.GetSpacing()[::-1])


def test_flat_pictures_and_unknown_orientation_stay() -> None:
    pixels = np.arange(12.0).reshape(1, 1, 1, 3, 4)
    flat = Image(pixels, affine_lps=np.diag([-1.0, -1.0, 1.0, 1.0]))
    assert orient.step(flat) is flat
    unknown = Image(np.arange(24.0).reshape(1, 1, 2, 3, 4))
    assert orient.step(unknown) is unknown


def test_a_gantry_tilt_keeps_its_shear() -> None:
    affine = np.array([[1.0, 0, 0, 0], [0, 1, -0.4, 0], [0, 0, 2.5, 0], [0, 0, 0, 1]])
    affine[:, 0] *= -1
    pixels = np.arange(60.0).reshape(1, 1, 3, 4, 5)
    out = orient.step(Image(pixels, affine_lps=affine, spacing_mm=(2.53, 1, 1)))
    np.testing.assert_array_equal(out.pixels, pixels[..., ::-1])
    np.testing.assert_allclose(out.affine_lps[:3, :3], [[1, 0, 0], [0, 1, -0.4], [0, 0, 2.5]])
    np.testing.assert_allclose(out.affine_lps[:3, 3], [-4, 0, 0])
