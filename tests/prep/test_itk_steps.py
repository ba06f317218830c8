"""N4 and rigid alignment: each undoes a disturbance of known size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from medloop import prep
from medloop.errors import InputError, Unreadable
from medloop.prep import align, bias
from medloop.prep._itk import to_itk
from medloop.types import Image, Step


def head(shape=(24, 40, 36)) -> np.ndarray:
    """A skull, a brain and a few uneven lumps; no symmetry."""
    z, y, x = (np.linspace(-1, 1, size).reshape(-1, *[1] * (2 - axis)) for axis, size in enumerate(shape))
    radius = np.sqrt((z / 0.8) ** 2 + (y / 0.85) ** 2 + (x / 0.7) ** 2)
    volume = np.where(radius < 1, 40.0, 0.0) + np.where(radius < 0.85, 60.0, 0.0)
    for (cz, cy, cx), size, value in (((0.2, 0.3, 0.1), 0.3, 50), ((-0.3, -0.2, 0.3), 0.2, -40), ((0.1, -0.4, -0.2), 0.25, 70)):
        volume = volume + value * (((z - cz) ** 2 + (y - cy) ** 2 + (x - cx) ** 2) < size**2)
    noise = np.random.default_rng(5).normal(0, 1, shape)
    return ndimage.gaussian_filter(volume + noise, 0.7).astype(np.float32)


def test_bias_takes_a_slow_change_of_brightness_away() -> None:
    clean = head()
    inside = clean > 70
    field = np.exp(np.linspace(-0.6, 0.6, clean.shape[1]))[None, :, None]
    shaded = Image((clean * field)[None, None].astype(np.float32), spacing_mm=(4, 4, 4), modality="MR")
    even = bias.step(shaded, shrink=2).pixels[0, 0]

    def unevenness(volume: np.ndarray) -> float:
        return float(np.std(np.log(volume[inside] / clean[inside])))

    assert unevenness(even) < 0.4 * unevenness(shaded.pixels[0, 0])


def test_bias_leaves_ct_and_colour_alone() -> None:
    ct = Image(head()[None, None], modality="CT")
    assert bias.step(ct) is ct
    rgb = Image(np.zeros((1, 3, 1, 64, 64), np.uint8), colour=True)
    assert bias.step(rgb) is rgb


def test_bias_of_a_single_slice() -> None:
    out = bias.step(Image(head()[None, None, 12:13], modality="MR"), shrink=2)
    assert out.pixels.shape == (1, 1, 1, 40, 36)
    assert np.isfinite(out.pixels).all()


@pytest.fixture
def reference(tmp_path: Path) -> tuple[Path, Image]:
    affine = np.diag([4.0, 4.0, 5.0, 1.0])
    affine[:3, 3] = (-70, -80, -60)
    image = Image(head()[None, None], spacing_mm=(5, 4, 4), affine_lps=affine, modality="MR")
    path = tmp_path / "reference.nii.gz"
    sitk.WriteImage(to_itk(image.pixels[0, 0], affine, None), str(path))
    return path, image


def test_align_undoes_a_known_turn_and_shift(reference: tuple[Path, Image]) -> None:
    path, fixed = reference
    move = sitk.Euler3DTransform((5.0, -3.0, 2.0), 0.08, -0.05, 0.12, (9.0, -7.0, 4.0))
    whole = to_itk(fixed.pixels[0, 0], fixed.affine_lps, None)
    moved = sitk.GetArrayFromImage(sitk.Resample(whole, whole, move, sitk.sitkLinear, 0.0))
    image = Image(moved[None, None], fixed.spacing_mm, fixed.affine_lps, "MR")
    out = align.step(image, reference=str(path))
    inner = (slice(4, -4), slice(6, -6), slice(6, -6))
    before = np.corrcoef(moved[inner].ravel(), fixed.pixels[0, 0][inner].ravel())[0, 1]
    after = np.corrcoef(out.pixels[0, 0][inner].ravel(), fixed.pixels[0, 0][inner].ravel())[0, 1]
    assert before < 0.9
    assert after > 0.97
    np.testing.assert_allclose(out.affine_lps, fixed.affine_lps, atol=1e-4)
    assert out.spacing_mm == (5, 4, 4)
    np.testing.assert_array_equal(out.pixels, align.step(image, reference=str(path)).pixels)


def test_align_says_what_is_wrong(tmp_path: Path, reference: tuple[Path, Image]) -> None:
    path, image = reference
    with pytest.raises(InputError, match="cannot be used"):
        align.step(image, reference=str(tmp_path / "none.nii.gz"))
    (tmp_path / "text.nii.gz").write_text("no image")
    with pytest.raises(InputError, match="not an image"):
        align.step(image, reference=str(tmp_path / "text.nii.gz"))
    with pytest.raises(Unreadable, match="flat"):
        align.step(Image(image.pixels[:, :, :1]), reference=str(path))


def test_another_reference_is_another_key(reference: tuple[Path, Image]) -> None:
    path, image = reference
    steps = [Step("align", {"reference": str(path)})]
    before = prep.key(steps)
    assert prep.key(steps) == before
    sitk.WriteImage(to_itk(image.pixels[0, 0] + 1, image.affine_lps, None), str(path))
    assert prep.key(steps) != before
