import nibabel
import numpy as np
import pytest

from medloop import readers
from medloop.compute import Compute
from medloop.writers import nifti

TILTED = np.array([[0.7, 0.1, 0, -20], [-0.1, 0.7, 0.3, 5], [0, -0.2, 2.5, 100], [0, 0, 0, 1]])


def read_back(content, folder):
    (folder / "m.nii.gz").write_bytes(content)
    with Compute(0) as compute:
        collection = readers.collect(str(folder), images=None, cache=None, compute=compute)
    return readers.read(collection.refs[0])


def test_a_mask_lies_where_its_image_lies(tmp_path):
    mask = np.random.default_rng(0).integers(0, 3, (4, 5, 6)).astype(np.uint8)
    image = read_back(nifti.mask_bytes(mask, TILTED), tmp_path)
    assert np.array_equal(image.pixels[0, 0], mask)
    assert image.affine_lps == pytest.approx(TILTED, abs=1e-5)


def test_a_place_that_is_not_known_is_not_made_up(tmp_path):
    mask = np.ones((4, 5, 6), np.uint8)
    image = read_back(nifti.mask_bytes(mask, None, (3.0, 2.0, 1.0)), tmp_path)
    assert image.affine_lps is None
    assert image.spacing_mm == pytest.approx((3, 2, 1))


def test_equal_masks_give_equal_bytes_and_say_that_they_are_labels(tmp_path):
    mask = np.ones((2, 3, 4), np.uint8)
    content = nifti.mask_bytes(mask, TILTED)
    assert content == nifti.mask_bytes(mask, TILTED)
    (tmp_path / "m.nii.gz").write_bytes(content)
    header = nibabel.load(tmp_path / "m.nii.gz").header
    assert header.get_intent()[0] == "label"
    assert header.get_xyzt_units()[0] == "mm"


def test_a_flat_mask_is_refused():
    with pytest.raises(ValueError, match="three axes"):
        nifti.mask_bytes(np.zeros((3, 4), np.uint8))


def test_values_of_the_mask_files_come_back(tmp_path):
    mask = np.zeros((2, 3, 4), np.uint8)
    mask[1, 2, 3] = 1
    image = read_back(nifti.mask_bytes(mask, TILTED, values=(0, 1000)), tmp_path)
    assert image.pixels[0, 0, 1, 2, 3] == 1000
    assert image.pixels.sum() == 1000


def test_a_map_is_read_in_its_own_unit_where_its_image_lies(tmp_path):
    steps = np.random.default_rng(0).integers(0, 201, (4, 5, 6)).astype(np.uint8)
    content = nifti.map_bytes(steps, 0.02, TILTED)
    image = read_back(content, tmp_path)
    assert image.pixels[0, 0] == pytest.approx(0.02 * steps, abs=1e-6)
    assert image.affine_lps == pytest.approx(TILTED, abs=1e-5)
    assert content == nifti.map_bytes(steps, 0.02, TILTED)
    header = nibabel.load(tmp_path / "m.nii.gz").header
    assert header.get_data_dtype() == np.uint8
    assert header.get_intent()[0] == "estimate"
    with pytest.raises(ValueError, match="three axes"):
        nifti.map_bytes(steps[0], 0.02)
