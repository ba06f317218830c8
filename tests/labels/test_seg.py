"""DICOM segmentations beside the series they are about."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import SimpleITK as itk

from medloop import readers
from medloop.errors import InputError, Unreadable
from medloop.readers import seg
from medloop.types import TargetKind
from tests.segs import SHAPE, write_seg, write_series

LIVER, CYST = np.zeros(SHAPE[1:], int), np.zeros(SHAPE[1:], int)
LIVER[1:4, 1:5] = 1
CYST[2, 2] = 1


@pytest.fixture
def study(tmp_path):
    """Two series, the first with a segmentation of two segments on slices 1 to 3."""
    write_series(tmp_path / "one", "1.5")
    write_series(tmp_path / "two", "1.6")
    write_seg(tmp_path / "one.dcm", "1.5", {1: "Liver", 2: "Cyst"}, [(1, 1, LIVER), (1, 3, LIVER), (2, 1, CYST)])
    return tmp_path


def test_segments_lie_where_their_frames_say(study, read_folder, problems):
    found = read_folder(study)
    (truth,) = found.further
    assert found.target.kind is TargetKind.MASKS
    assert found.target.classes == ("Liver", "Cyst")
    expected = np.zeros(SHAPE, int)
    expected[1], expected[3] = LIVER + CYST, LIVER
    image = readers.read(truth.masks[0])
    assert np.array_equal(image.pixels[0, 0], expected)
    np.testing.assert_allclose(image.affine_lps, readers.read(found.cases[0].images[0]).affine_lps)
    assert [case.images[0].series for case in found.cases] == ["1.5"]
    assert problems(found) == [f"{found.unlabelled[0].name}: it has no segmentation"]
    assert found.files == {str(study / "one.dcm")}


def test_several_files_of_one_series_are_one_mask(study, read_folder):
    write_seg(study / "two.dcm", "1.5", {1: "Spleen", 2: "Background"}, [(1, 0, CYST), (2, 2, LIVER)])
    found = read_folder(study)
    assert found.target.classes == ("Liver", "Cyst", "Spleen")
    assert [each["count"] for each in found.found] == [23, 1, 1]


def test_fractions_count_from_half_on(study, read_folder):
    write_seg(study / "one.dcm", "1.5", {1: "Liver"}, [(1, 0, 120 * LIVER + 10 * CYST), (1, 1, 200 * CYST)], most=255)
    assert read_folder(study).found[0]["count"] == 2


def test_a_segmentation_of_a_series_that_is_not_there_is_told(study, read_folder, problems):
    write_seg(study / "other.dcm", "1.7", {1: "Lung"}, [(1, 0, LIVER)])
    found = read_folder(study)
    assert found.target.classes == ("Liver", "Cyst")
    assert "other.dcm: the series that it is about is not among the images" in problems(found)
    with pytest.raises(InputError) as caught:
        read_folder(study, labels=str(study / "other.dcm"))
    assert caught.value.code == "bad-labels"


def test_named_by_labels_and_by_masks(study, read_folder):
    assert read_folder(study, labels=str(study / "one.dcm")).target.classes == ("Liver", "Cyst")
    assert read_folder(study, masks="one.dcm").target.classes == ("Liver", "Cyst")


def test_what_is_no_segmentation_is_a_reason(study, tmp_path):
    with pytest.raises(Unreadable, match="not a DICOM segmentation"):
        seg.describe(str(study / "one" / "0.dcm"))
    (tmp_path / "x.dcm").write_text("no")
    with pytest.raises(Unreadable, match="not a readable DICOM file"):
        seg.describe(str(tmp_path / "x.dcm"))


def test_a_broken_segmentation_is_told_and_its_case_unknown(study, read_folder, problems):
    write_seg(study / "two.dcm", "1.6", {1: "Liver"}, [(1, 0, LIVER)])
    content = (study / "one.dcm").read_bytes()
    (study / "one.dcm").write_bytes(content[: len(content) - 20])
    found = read_folder(study)
    assert [case.images[0].series for case in found.cases] == ["1.6"]
    assert any("is broken" in each for each in problems(found))


@pytest.mark.shared
@pytest.mark.parametrize(
    ("images", "file", "truth"),
    [
        ("ct-3slice", "liver.dcm", "liver_seg.nrrd"),
        ("24x38x3/image", "24x38x3/seg/label.seg", "24x38x3/nrrd/label.nrrd"),
        ("24x38x3/image", "sparse-labelmap-noppv.dcm", "sparse_labelmap_noppv_seg.nrrd"),
    ],
)
def test_segmentations_of_another_program_are_as_that_program_wrote_them(shared_data, tmp_path, read_folder, images, file, truth):
    source = shared_data / "dicom" / "dcmqi" / "segmentations"
    shutil.copytree(source / images, tmp_path / "images")
    shutil.copy(source / file, tmp_path / "seg.dcm")
    (mask,) = read_folder(tmp_path).further[0].masks
    expected = itk.GetArrayFromImage(itk.ReadImage(str(source / truth)))
    assert np.array_equal(readers.read(mask).pixels[0, 0] > 0, expected > 0)
