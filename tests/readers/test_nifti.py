"""NIfTI volumes keep their voxels and their place."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel
import numpy as np
import pytest

from medloop import prep, readers
from medloop.errors import InputError, Unreadable
from medloop.readers import nifti
from medloop.types import Step

AFFINE = np.array([[-0.9, 0.1, 0, 30], [0.1, 0.9, 0.2, -40], [0, -0.1, 2.5, 7], [0, 0, 0, 1]])
VOXELS = np.random.default_rng(0).integers(-500, 500, (5, 6, 7)).astype(np.int16)


def _read(gather, path: Path):
    (ref,) = gather(path).refs
    image = readers.read(ref)
    assert (image.pixels.shape, image.pixels.dtype.name, image.colour) == (ref.shape, ref.dtype, ref.colour)
    assert image.spacing_mm == ref.spacing_mm
    return ref, image


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_voxels_axes_and_lps(tmp_path: Path, gather, name):
    nibabel.save(nibabel.Nifti1Image(VOXELS, AFFINE), tmp_path / name)
    ref, image = _read(gather, tmp_path)
    assert ref.shape == (1, 1, 7, 6, 5)
    assert np.array_equal(image.pixels[0, 0], VOXELS.transpose(2, 1, 0))
    assert np.allclose(image.affine_lps, np.diag([-1, -1, 1, 1]) @ AFFINE)
    assert image.spacing_mm == pytest.approx(tuple(np.linalg.norm(AFFINE[:3, :3], axis=0)[::-1]))


def test_a_wrong_sign_would_be_caught(tmp_path: Path, gather, monkeypatch):
    monkeypatch.setattr(nifti, "_RAS_TO_LPS", np.eye(4))
    with pytest.raises(AssertionError):
        test_voxels_axes_and_lps(tmp_path, gather, "a.nii")


def test_time_and_channels(tmp_path: Path, gather):
    voxels = np.arange(2 * 3 * 4 * 5 * 2, dtype=np.float32).reshape(2, 3, 4, 5, 2)
    nibabel.save(nibabel.Nifti1Image(voxels, AFFINE), tmp_path / "a.nii")
    ref, image = _read(gather, tmp_path)
    assert ref.shape == (5, 2, 4, 3, 2)
    assert image.pixels[3, 1, 2, 0, 1] == voxels[1, 0, 2, 3, 1]


def test_scale_and_intercept(tmp_path: Path, gather):
    volume = nibabel.Nifti1Image(VOXELS, AFFINE)
    volume.header.set_slope_inter(0.5, -3)
    volume.to_filename(tmp_path / "a.nii")
    raw = nibabel.load(tmp_path / "a.nii")
    assert (raw.dataobj.slope, raw.dataobj.inter) == (0.5, -3)
    _, image = _read(gather, tmp_path)
    assert image.pixels.dtype == np.float32
    assert np.allclose(image.pixels[0, 0].transpose(2, 1, 0), raw.get_fdata())


def test_rgb_voxels(tmp_path: Path, gather):
    colours = np.random.default_rng(1).integers(0, 256, (5, 6, 7, 3), np.uint8)
    voxels = np.ascontiguousarray(colours).view([("R", "u1"), ("G", "u1"), ("B", "u1")])[..., 0]
    nibabel.save(nibabel.Nifti1Image(voxels, AFFINE), tmp_path / "a.nii")
    ref, image = _read(gather, tmp_path)
    assert ref.shape == (1, 3, 7, 6, 5)
    assert np.array_equal(image.pixels[0], colours.transpose(3, 2, 1, 0))


def test_big_endian_and_wide_types(tmp_path: Path, gather):
    nibabel.save(nibabel.Nifti1Image(VOXELS.astype(">i2"), AFFINE), tmp_path / "a.nii")
    nibabel.save(nibabel.Nifti1Image(VOXELS.astype(np.float64), AFFINE), tmp_path / "b.nii")
    for ref in gather(tmp_path).refs:
        assert np.array_equal(readers.read(ref).pixels[0, 0], VOXELS.transpose(2, 1, 0))


def test_no_stated_place_means_no_affine(tmp_path: Path, gather):
    volume = nibabel.Nifti1Image(VOXELS, None)
    volume.header.set_zooms((0.5, 0.6, 3))
    volume.header["sform_code"] = volume.header["qform_code"] = 0
    nibabel.save(volume, tmp_path / "a.nii")
    _, image = _read(gather, tmp_path)
    assert image.affine_lps is None
    assert image.spacing_mm == pytest.approx((3, 0.6, 0.5))


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.nii", b"\0" * 400, "not a readable NIfTI"),
        ("a.nii.gz", b"\x1f\x8b rubbish", "not a readable NIfTI"),
        ("a.nii.gz", gzip.compress(b"short", mtime=0), "not a readable NIfTI"),
        ("a.nii", b"", "the file is empty"),
    ],
)
def test_broken_files_say_why(tmp_path: Path, gather, name, content, reason):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=reason):
        gather(tmp_path)


def test_a_truncated_volume_says_so_when_read(tmp_path: Path, gather):
    for name in ("a.nii", "b.nii.gz"):
        nibabel.save(nibabel.Nifti1Image(np.random.default_rng(0).normal(size=(9, 9, 9)), AFFINE), tmp_path / name)
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-900])
    assert [type(image) for image in readers.read_many(gather(tmp_path).refs)] == [Unreadable, Unreadable]


def test_complex_numbers_are_refused(tmp_path: Path, gather):
    nibabel.save(nibabel.Nifti1Image(VOXELS.astype(np.complex64), AFFINE), tmp_path / "a.nii")
    with pytest.raises(InputError, match="complex"):
        gather(tmp_path)


@pytest.mark.shared
def test_development_volumes(shared_data: Path, gather):
    found = gather(shared_data / "cord")
    for ref, image in zip(found.refs, readers.read_many(found.refs), strict=True):
        theirs = nibabel.load(ref.files[0])
        stored = np.asarray(theirs.dataobj).astype(image.pixels.dtype)
        assert np.array_equal(image.pixels.transpose(4, 3, 2, 0, 1), stored.reshape((*stored.shape, 1, 1)[:5]))
        assert np.allclose(image.affine_lps, np.diag([-1, -1, 1, 1]) @ theirs.affine)


@pytest.mark.parametrize("axes", ["LPS", "RAS", "PSR", "SLA", "IRP"])
def test_where_the_axes_run_is_told_and_turned_by(tmp_path: Path, gather, axes):
    """The size that a plan expects is that of the volume once it is turned."""
    affine = np.zeros((4, 4))
    affine[3, 3] = 1.0
    for column, letter in enumerate(axes):
        world, sign = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}[letter]
        affine[world, column] = sign
    affine[:3, :3] += 0.05
    nibabel.save(nibabel.Nifti1Image(np.random.default_rng(0).normal(size=(7, 5, 3)), affine), tmp_path / "v.nii.gz")
    ref = gather(tmp_path).refs[0]
    assert ref.fact("axes") == axes
    turned = prep.apply(readers.read(ref), [Step("orient")])
    assert list(turned.pixels.shape[2:]) == prep.plan([ref])[-1].params["size"]


def test_a_volume_that_hides_its_axes_would_be_planned_wrongly(tmp_path: Path, gather, monkeypatch):
    monkeypatch.setattr(nifti, "axes_of", lambda affine: None)
    with pytest.raises(AssertionError):
        test_where_the_axes_run_is_told_and_turned_by(tmp_path, gather, "PSR")
