"""Label maps read through the readers of their files."""

from __future__ import annotations

import dataclasses

import nibabel
import numpy as np
import PIL.Image as pil
import pytest

from medloop import readers
from medloop.errors import Unreadable
from medloop.readers import labelmap
from medloop.readers.labelmap import Grid
from medloop.types import Image, ImageRef

RANDOM = np.random.default_rng(3)


def test_values_of_colours_and_their_names():
    planes = np.zeros((1, 3, 1, 1, 3), np.uint8)
    planes[0, :, 0, 0, 1], planes[0, :, 0, 0, 2] = (255, 0, 16), (7, 7, 7)
    values = labelmap.whole(Image(planes, colour=True))
    assert [labelmap.named(value) for value in values.ravel()] == ["0", "#ff0010", "7"]
    assert values[0, 0, 1] == labelmap.value_of((255, 0, 16))


@pytest.mark.parametrize(
    ("pixels", "told"),
    [
        (np.full((1, 1, 1, 2, 2), 0.5), "no whole numbers"),
        (np.full((1, 1, 1, 2, 2), np.nan), "no whole numbers"),
        (np.full((1, 1, 1, 2, 2), -3), "whole numbers from 0"),
        (np.zeros((2, 1, 1, 2, 2)), "2 time points"),
        (np.zeros((1, 2, 1, 2, 2)), "2 channels"),
        (np.zeros((1, 3, 1, 2, 2), np.uint16), "8 bits"),
    ],
)
def test_what_can_be_no_label_map_is_a_reason(pixels, told):
    with pytest.raises(Unreadable, match=told):
        labelmap.whole(Image(pixels))


def test_resampling_follows_the_patient():
    """Each voxel of the new grid has the value of the nearest voxel, checked one by one."""
    values = RANDOM.integers(0, 9, (4, 5, 6))
    turn = np.array([[0, 1.5, 0, 3], [-1, 0, 0, 4], [0, 0, 2, -5], [0, 0, 0, 1.0]])
    onto = Grid((3, 6, 7), np.array([[1.1, 0, 0, 2.2], [0, 0.9, 0, -1], [0, 0, 1.7, -4], [0, 0, 0, 1.0]]))
    found = labelmap.resampled(values, turn, onto)
    inside = 0
    for z, y, x in np.ndindex(found.shape):
        place = np.rint(np.linalg.inv(turn) @ onto.affine_lps @ [x, y, z, 1]).astype(int)[2::-1]
        within = all(0 <= each < length for each, length in zip(place, values.shape, strict=True))
        assert found[z, y, x] == (values[tuple(place)] if within else labelmap.OUTSIDE)
        inside += within
    assert 0 < inside < found.size


def test_a_reference_reads_through_the_other_reader(tmp_path, gather):
    voxels = RANDOM.integers(0, 4, (4, 5, 3)).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([-1, -1, 2, 1])), tmp_path / "m.nii.gz")
    (mask,) = gather(tmp_path).refs
    ref = labelmap.reference(mask)
    image = readers.read(ref)
    assert ref.shape == image.pixels.shape == (1, 1, 3, 5, 4)
    assert image.pixels.dtype == np.dtype(ref.dtype) == np.int32
    assert np.array_equal(image.pixels[0, 0], voxels.T)
    onto = Grid((6, 5, 4), np.diag([1.0, 1.0, 1.0, 1.0]))
    moved = labelmap.reference(mask, onto)
    assert moved.stamp != ref.stamp
    assert readers.read(moved).spacing_mm == (1.0, 1.0, 1.0)
    assert np.array_equal(readers.read(moved).pixels[0, 0, ::2], voxels.T)


def test_a_mask_that_does_not_say_where_it_lies_cannot_be_brought_to_a_grid(tmp_path, gather):
    pil.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "m.png")
    (mask,) = gather(tmp_path).refs
    with pytest.raises(Unreadable, match="where it lies"):
        readers.read(labelmap.reference(mask, Grid((1, 4, 4), np.eye(4))))


def test_headers_alone_say_where_an_image_lies(tmp_path, write_dicom, gather):
    for number in range(3):
        write_dicom(tmp_path / f"{number}.dcm", InstanceNumber=number, ImagePositionPatient=[1, 2, 3 * number])
    (ref,) = gather(tmp_path).refs
    np.testing.assert_allclose(readers.affine(ref), readers.read(ref).affine_lps)
    assert readers.affine(dataclasses.replace(ref, item="time", shape=(3, 1, 1, 3, 4))) is not None


def test_pictures_lie_nowhere(tmp_path, gather):
    pil.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "m.png")
    ref: ImageRef = gather(tmp_path).refs[0]
    assert readers.affine(ref) is None
