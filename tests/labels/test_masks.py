"""Masks beside images: matched, named, checked against the image's grid; what cannot be used is told with its file."""

from __future__ import annotations

import json

import numpy as np
import pytest

from medloop import readers
from medloop.errors import InputError
from medloop.labels import _label_maps
from medloop.types import UNKNOWN, TargetKind

GREY = np.arange(48).reshape(6, 8)


def cell(nucleus=3, cytoplasm=5, other=0):
    """A mask ``(6, 8)`` with so many pixels of each value."""
    flat = np.zeros(48, int)
    flat[:nucleus], flat[nucleus : nucleus + cytoplasm] = 255, 128
    flat[48 - other :] = 77 if other else 0
    return flat.reshape(6, 8)


@pytest.fixture
def cells(tmp_path, write_picture):
    """Three pictures with masks named in three ways."""
    for name, mask in (("1.bmp", "1.png"), ("2.bmp", "2_mask.png"), ("3.bmp", "3-label.png")):
        write_picture(tmp_path / name, GREY)
        write_picture(tmp_path / mask, cell(nucleus=int(name[0])))
    return tmp_path


def test_values_get_the_names_given_and_masks_are_no_images(cells, read_folder, problems):
    found = read_folder(cells, masks="*.png", mask_classes="128=cytoplasm,255=nucleus")
    assert [case.name for case in found.cases] == ["1.bmp", "2.bmp", "3.bmp"]
    (truth,) = found.further
    assert found.target == truth.target
    assert truth.target.kind is TargetKind.MASKS
    assert truth.target.classes == ("cytoplasm", "nucleus")
    assert dict(truth.lookup) == {-1: UNKNOWN, 0: 0, 128: 1, 255: 2}
    assert [int((readers.read(ref).pixels == 255).sum()) for ref in truth.masks] == [1, 2, 3]
    assert [(each["class"], each["cases"], each["count"]) for each in found.found] == [("cytoplasm", 3, 15), ("nucleus", 3, 6)]
    assert problems(found) == []
    assert {label.value for label in found.labels} == {""}


def test_without_names_each_value_is_a_class(cells, read_folder):
    assert read_folder(cells, masks="*.png").target.classes == ("128", "255")


def test_classes_of_a_table_stand_beside_masks(cells, read_folder, write_picture):
    write_picture(cells / "4.bmp", GREY)
    (cells / "labels.csv").write_text("image,class\n1,a\n2,b\n4,a\n")
    found = read_folder(cells, masks="*.png", labels=str(cells / "labels.csv"))
    assert found.target.kind is TargetKind.BINARY
    assert [(label.case, label.value) for label in found.labels] == [("1.bmp", "a"), ("2.bmp", "b"), ("3.bmp", ""), ("4.bmp", "a")]
    assert found.further[0].known.tolist() == [True, True, True, False]
    assert found.further[0].masks[3] is None


def test_values_without_a_class_are_told_and_unknown(cells, read_folder, write_picture, problems):
    write_picture(cells / "1.png", cell(other=4))
    found = read_folder(cells, masks="*.png", mask_classes="128=cytoplasm,255=nucleus")
    assert problems(found) == ["1.png: the value 77 (4 voxels) has no class: taken as unknown"]
    assert dict(found.further[0].lookup)[77] == UNKNOWN
    quiet = read_folder(cells, masks="*.png", mask_classes="255=nucleus,*=background")
    assert problems(quiet) == []
    assert dict(quiet.further[0].lookup) == {-1: UNKNOWN, 0: 0, 77: 0, 128: 0, 255: 1}


def test_a_mask_of_another_size_leaves_its_case_unknown(cells, read_folder, write_picture, problems):
    write_picture(cells / "2_mask.png", np.zeros((6, 9)))
    found = read_folder(cells, masks="*.png")
    assert [case.name for case in found.cases] == ["1.bmp", "3.bmp"]
    assert problems(found) == [
        "2_mask.png: the mask cannot be used: its size is 9 × 6, the image's 8 × 6",
        "2.bmp: it has no mask",
    ]
    assert [ref.name for ref in found.unlabelled] == ["2.bmp"]


def test_the_check_of_sizes_is_what_keeps_such_masks_out(cells, read_folder, write_picture, monkeypatch):
    write_picture(cells / "2_mask.png", np.zeros((6, 9)))
    monkeypatch.setattr(_label_maps, "_onto", lambda pair, found: (None, ""))
    assert len(read_folder(cells, masks="*.png").cases) == 3


def test_empty_masks_are_truth_and_counted(cells, read_folder, write_picture, problems):
    write_picture(cells / "2_mask.png", np.zeros((6, 8)))
    found = read_folder(cells, masks="*.png")
    assert found.further[0].known.all()
    assert "1 of them hold none of these." in found.layout
    assert problems(found) == []


def test_masks_that_hold_nothing_at_all_are_refused(tmp_path, read_folder, write_picture):
    write_picture(tmp_path / "1.bmp", GREY)
    write_picture(tmp_path / "1.png", np.zeros((6, 8)))
    with pytest.raises(InputError, match="hold") as caught:
        read_folder(tmp_path, masks="*.png")
    assert caught.value.code == "empty-masks"


def test_names_of_values_that_no_mask_holds_are_refused_or_told(cells, read_folder):
    with pytest.raises(InputError, match="their values are 128, 255") as caught:
        read_folder(cells, masks="*.png", mask_classes="1=liver")
    assert caught.value.code == "empty-masks"
    assert "liver (in none of them)" in read_folder(cells, masks="*.png", mask_classes="255=nucleus,1=liver,*=background").layout


def test_a_picture_is_no_mask(tmp_path, read_folder, write_picture):
    write_picture(tmp_path / "1.bmp", np.zeros((16, 16)))
    write_picture(tmp_path / "1.png", np.arange(256).reshape(16, 16))
    with pytest.raises(InputError) as caught:
        read_folder(tmp_path, masks="*.png")
    assert caught.value.code == "mask-values"


def test_a_mask_of_half_values_is_told(tmp_path, read_folder, write_volume, problems):
    for name in ("a", "b"):
        write_volume(tmp_path / f"{name}.nii.gz", np.zeros((4, 5, 3), np.float32))
        write_volume(tmp_path / f"{name}_seg.nii.gz", np.full((4, 5, 3), 1.0 if name == "a" else 0.5, np.float32))
    found = read_folder(tmp_path, masks="*_seg.nii.gz")
    assert [case.name for case in found.cases] == ["a.nii.gz"]
    assert any("no whole numbers" in each for each in problems(found))


def test_colours_are_values(tmp_path, read_folder, write_picture):
    mask = np.zeros((6, 8, 3))
    mask[0, :3], mask[1, :2] = (255, 0, 0), (0, 0, 255)
    write_picture(tmp_path / "a.jpg", GREY)
    write_picture(tmp_path / "a_mask.png", mask)
    found = read_folder(tmp_path, masks="*_mask.png", mask_classes="#ff0000=tumour,#0000ff=vessel")
    assert [(each["class"], each["count"]) for each in found.found] == [("tumour", 3), ("vessel", 2)]


def test_a_mask_on_another_grid_is_resampled_and_told(tmp_path, read_folder, write_volume, problems):
    whole = np.zeros((8, 6, 4), np.uint8)
    whole[2:5, 1:4, 1:3] = 1
    write_volume(tmp_path / "a.nii.gz", np.zeros((8, 6, 4), np.float32))
    flipped = np.array([[1, 0, 0, -7], [0, -1, 0, 0], [0, 0, 2, 0], [0, 0, 0, 1]])
    write_volume(tmp_path / "a_seg.nii.gz", whole[::-1], flipped)
    write_volume(tmp_path / "b.nii.gz", np.zeros((8, 6, 4), np.float32))
    write_volume(tmp_path / "b_seg.nii.gz", whole.repeat(2, axis=2), (-1, -1, 1, 1))
    found = read_folder(tmp_path, masks="*_seg.nii.gz", mask_classes="1=lesion")
    first, second = (readers.read(ref) for ref in found.further[0].masks)
    assert np.array_equal(first.pixels[0, 0], whole.transpose(2, 1, 0))
    assert second.pixels.shape == (1, 1, 4, 6, 8)
    assert [each.partition(":")[0] for each in problems(found)] == ["a_seg.nii.gz", "b_seg.nii.gz"]
    assert all("resampled" in each for each in problems(found))
    assert json.loads(found.further[0].masks[0].item)["onto"]["shape"] == [4, 6, 8]


def test_a_mask_elsewhere_in_the_patient_is_not_used(tmp_path, read_folder, write_volume, problems):
    away = np.diag([-1.0, -1.0, 2.0, 1.0])
    away[:3, 3] = 500
    for name, affine in (("a", away), ("b", (-1, -1, 2, 1))):
        write_volume(tmp_path / f"{name}.nii.gz", np.zeros((4, 5, 3), np.float32))
        write_volume(tmp_path / f"{name}_seg.nii.gz", np.ones((4, 5, 3), np.uint8), affine)
    found = read_folder(tmp_path, masks="*_seg.nii.gz")
    assert [case.name for case in found.cases] == ["b.nii.gz"]
    assert "a_seg.nii.gz: the mask cannot be used: it lies elsewhere in the patient than the image" in problems(found)


def test_a_broken_mask_is_told_and_the_rest_goes_on(cells, read_folder, write_picture, problems):
    write_picture(cells / "2.bmp", np.zeros((64, 64)))
    path = write_picture(cells / "2_mask.png", np.random.default_rng(0).integers(0, 2, (64, 64)))
    path.write_bytes(path.read_bytes()[:-200])
    found = read_folder(cells, masks="*.png")
    assert len(found.cases) == 2
    assert any(each.startswith("2_mask.png: the mask cannot be used: broken or cut off") for each in problems(found))


def test_masks_that_fit_no_image_are_refused(tmp_path, read_folder, write_picture):
    write_picture(tmp_path / "a.bmp", GREY)
    write_picture(tmp_path / "b.bmp", GREY)
    write_picture(tmp_path / "other.png", cell())
    with pytest.raises(InputError) as caught:
        read_folder(tmp_path, masks="*.png")
    assert caught.value.code == "no-masks"


def test_labels_found_by_chance_do_not_stand_in_the_way(cells, read_folder):
    (cells / "info.csv").write_text("image,height,weight\n1,171.5,70.5\n2,180.25,81.25\n3,165.1,64.75\n")
    assert read_folder(cells, masks="*.png").target.kind is TargetKind.MASKS


def test_a_split_list_orders_cases_with_masks(cells, read_folder):
    (cells / "train.txt").write_text("1\n3\n")
    (cells / "val.txt").write_text("2\n")
    found = read_folder(cells, masks="*.png", split_lists=f"{cells / 'train.txt'},{cells / 'val.txt'}")
    assert [str(case.given_split) for case in found.cases] == ["train", "val", "train"]


def test_masks_that_have_not_changed_are_not_read_again(cells, tmp_path_factory, read_folder, write_picture, monkeypatch):
    cache = tmp_path_factory.mktemp("cache")
    asked = {"masks": "*.png", "cache": cache}
    first = read_folder(cells, **asked)
    opened = []
    look = _label_maps.look
    monkeypatch.setattr(_label_maps, "look", lambda pair: opened.append(pair.mask.name) or look(pair))
    again = read_folder(cells, **asked)
    assert opened == []
    assert (again.found, again.problems, again.further[0].masks) == (first.found, first.problems, first.further[0].masks)
    write_picture(cells / "2_mask.png", np.zeros((6, 9)))
    assert len(read_folder(cells, **asked).cases) == 2
    assert opened == ["2_mask.png"]


def test_a_resampled_mask_is_kept_as_such(tmp_path, tmp_path_factory, read_folder, write_volume):
    write_volume(tmp_path / "a.nii.gz", np.zeros((4, 5, 3), np.float32))
    write_volume(tmp_path / "a_seg.nii.gz", np.ones((4, 5, 6), np.uint8), (-1, -1, 1, 1))
    asked = {"masks": "*_seg.nii.gz", "cache": tmp_path_factory.mktemp("cache")}
    first, again = (read_folder(tmp_path, **asked).further[0].masks[0] for _ in range(2))
    assert first == again
    assert readers.read(again).pixels.shape == (1, 1, 3, 5, 4)
