"""Cutting and scaling keep every voxel at its place in the patient; SimpleITK is the judge."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from medloop.prep import _grid, crop, fit, resample, sample
from medloop.prep._itk import affine_from, to_itk
from medloop.types import Image


def tilted(shape=(20, 30, 40), spacing=(2.5, 0.8, 1.1)) -> Image:
    """A volume with smooth content, turned in space, whose values are a function of the place in millimetres."""
    angle = 0.3
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn * np.array(spacing[::-1])
    affine[:3, 3] = (-12.0, 33.0, 104.0)
    return Image(pixels=of_place(shape, affine)[None, None], spacing_mm=spacing, affine_lps=affine, modality="MR")


def of_place(shape, affine) -> np.ndarray:
    z, y, x = np.indices(shape, np.float64)
    place = np.einsum("ij,j...->i...", affine, np.stack([x, y, z, np.ones_like(x)]))
    return (3 * place[0] - 2 * place[1] + place[2] + 500).astype(np.float32)


def assert_in_place(image: Image, atol: float = 0.02) -> None:
    """The values are those of the places that the affine names, away from the borders; spacing and affine agree."""
    shape = image.pixels.shape[2:]
    inner = tuple(slice(2, -2) if size > 6 else slice(None) for size in shape)
    np.testing.assert_allclose(image.pixels[0, 0][inner], of_place(shape, image.affine_lps)[inner], rtol=0, atol=atol)
    np.testing.assert_allclose(np.linalg.norm(image.affine_lps[:3, :3], axis=0)[::-1], image.spacing_mm, rtol=1e-9)


def test_cut_keeps_place() -> None:
    image = tilted()
    part = _grid.cut(image, (3, 4, 5), (10, 11, 12))
    assert part.pixels.shape == (1, 1, 10, 11, 12)
    assert_in_place(part)


def test_cut_agrees_with_simpleitk() -> None:
    image = tilted()
    whole = to_itk(image.pixels[0, 0], image.affine_lps, image.spacing_mm)
    np.testing.assert_allclose(affine_from(whole), image.affine_lps, atol=1e-6)
    theirs = sitk.RegionOfInterest(whole, [12, 11, 10], [5, 4, 3])
    ours = _grid.cut(image, (3, 4, 5), (10, 11, 12))
    np.testing.assert_array_equal(ours.pixels[0, 0], sitk.GetArrayFromImage(theirs))
    np.testing.assert_allclose(ours.affine_lps, affine_from(theirs), atol=1e-6)


def test_padding_moves_the_origin_outwards() -> None:
    image = tilted()
    padded = fit.step(image, size=(26, 30, 50), pad="edge")
    assert padded.pixels.shape[2:] == (26, 30, 50)
    whole = to_itk(image.pixels[0, 0], image.affine_lps, image.spacing_mm)
    theirs = sitk.ZeroFluxNeumannPad(whole, [5, 0, 3], [5, 0, 3])
    np.testing.assert_allclose(padded.pixels[0, 0], sitk.GetArrayFromImage(theirs))
    np.testing.assert_allclose(padded.affine_lps, affine_from(theirs), atol=1e-6)


@pytest.mark.parametrize("pad", ["edge", "median", "minimum", "zero"])
def test_padding_values(pad: str) -> None:
    pixels = np.arange(1, 10, dtype=np.int16).reshape(1, 1, 1, 3, 3)
    corner = fit.step(Image(pixels=pixels), size=(1, 5, 5), pad=pad).pixels[0, 0, 0, 0, 0]
    assert corner == {"edge": 1, "median": 5, "minimum": 1, "zero": 0}[pad]


@pytest.mark.parametrize("want", [(5.0, 2.0, 2.0), (1.0, 1.0, 1.0), (2.5, 3.3, 0.5)])
def test_resample_keeps_place(want) -> None:
    image = tilted((24, 40, 44))
    out = resample.step(image, spacing_mm=want)
    np.testing.assert_allclose(out.spacing_mm, want, rtol=1e-9)
    assert_in_place(out, atol=0.25)


def test_resample_agrees_with_simpleitk_on_the_grid_it_states() -> None:
    """Growing is linear interpolation: SimpleITK on the same grid gives the same values inside."""
    image = tilted((16, 20, 24))
    image = Image(np.sin(image.pixels / 40).astype(np.float32), image.spacing_mm, image.affine_lps)
    out = resample.step(image, spacing_mm=(1.3, 0.5, 0.6))
    grid = to_itk(out.pixels[0, 0], out.affine_lps, out.spacing_mm)
    theirs = sitk.GetArrayFromImage(
        sitk.Resample(to_itk(image.pixels[0, 0], image.affine_lps, image.spacing_mm), grid, sitk.Transform(), sitk.sitkLinear)
    )
    inner = (slice(3, -3), slice(3, -3), slice(3, -3))
    np.testing.assert_allclose(out.pixels[0, 0][inner], theirs[inner], atol=2e-4)


def test_the_check_of_places_fails_when_centres_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scaling without moving voxel centres (a common mistake) is seen by the check above."""
    monkeypatch.setattr(resample, "scaled", lambda old, new, factor: np.diag([*factor[::-1], 1.0]))
    out = resample.step(tilted((24, 40, 44)), spacing_mm=(5.0, 2.0, 2.0))
    with pytest.raises(AssertionError):
        assert_in_place(out, atol=0.25)


def test_crop_keeps_place_and_content() -> None:
    image = tilted((30, 40, 50))
    pixels = np.zeros_like(image.pixels)
    pixels[:, :, 8:22, 10:30, 12:44] = image.pixels[:, :, 8:22, 10:30, 12:44]
    out = crop.step(Image(pixels, image.spacing_mm, image.affine_lps), margin=0)
    assert out.pixels.shape[2:] == (14, 20, 32)
    assert_in_place(out)


def test_spread_slices_keep_place() -> None:
    out = sample.step(tilted((21, 30, 40)), slices="spread", count=7)
    assert out.pixels.shape[2:] == (7, 30, 40)
    assert_in_place(out)
