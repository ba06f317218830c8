"""COCO files: boxes, and masks where instances are outlined."""

from __future__ import annotations

import json

import nibabel
import numpy as np
import pytest

from medloop import readers
from medloop.errors import InputError
from medloop.types import Split, TargetKind
from medloop.writers import coco

SQUARE = [[4, 4, 10, 4, 10, 10, 4, 10]]


def entry(number, image, category, bbox=(4, 4, 6, 6), **more):
    return {"id": number, "image_id": image, "category_id": category, "bbox": list(bbox), **more}


def written(path, annotations, names=("a", "b"), **more):
    content = {
        "images": [{"id": place, "file_name": f"{name}.png", "width": 20, "height": 16} for place, name in enumerate(names)],
        "categories": [{"id": 0, "name": "cell"}, {"id": 7, "name": "platelet"}],
        "annotations": annotations,
    }
    path.write_text(json.dumps(content | more))
    return str(path)


@pytest.fixture
def pictures(tmp_path, write_picture):
    for name in "abc":
        write_picture(tmp_path / f"{name}.png", np.zeros((16, 20)))
    return tmp_path


def test_boxes_and_images_without_any(pictures, read_folder, problems):
    written(pictures / "instances.json", [entry(1, 0, 7), entry(2, 0, 0, (0.5, 1, 3, 2))])
    found = read_folder(pictures)
    (truth,) = found.further
    assert found.target.kind is TargetKind.BOXES
    assert truth.target.classes == ("cell", "platelet")
    assert truth.boxes[0].tolist() == [[0, 4, 4, 1, 10, 10], [0, 1, 0.5, 1, 3, 3.5]]
    assert truth.box_classes[0].tolist() == [1, 0]
    assert truth.boxes[1].shape == (0, 6)
    assert [case.name for case in found.cases] == ["a.png", "b.png"]
    assert problems(found) == ["c.png: it has no entry in the COCO file"]


def test_outlines_become_masks(pictures, read_folder):
    runs = {"size": [16, 20], "counts": [0, 3, 16 * 20 - 3]}
    written(pictures / "x.json", [entry(1, 0, 0, segmentation=SQUARE), entry(2, 1, 7, (0, 0, 1, 3), segmentation=runs)])
    boxes, masks = read_folder(pictures).further
    assert masks.target.classes == boxes.target.classes == ("cell", "platelet")
    first, second = (readers.read(ref).pixels[0, 0, 0] for ref in masks.masks)
    lookup = dict(masks.lookup)
    assert {lookup[value] for value in np.unique(first[4:10, 4:10])} == {1}
    assert (first > 0).sum() == 36
    assert lookup[int(second[2, 0])] == 2
    assert (second > 0).sum() == 3


def test_an_image_with_an_instance_that_is_not_outlined_has_no_mask(pictures, read_folder):
    written(pictures / "x.json", [entry(1, 0, 0, segmentation=SQUARE), entry(2, 1, 0)])
    boxes, masks = read_folder(pictures).further
    assert boxes.known.tolist() == [True, True]
    assert masks.known.tolist() == [True, False]


def test_several_files_give_the_split(pictures, read_folder):
    one = written(pictures / "instances_train2017.json", [entry(1, 0, 0)], names="a")
    two = written(pictures / "instances_val2017.json", [entry(1, 0, 7)], names="b")
    found = read_folder(pictures, labels=f"{one},{two}")
    assert [case.given_split for case in found.cases] == [Split.TRAIN, Split.VAL]
    assert [classes.tolist() for classes in found.further[0].box_classes] == [[0], [1]]


def test_boxes_stand_beside_a_table(pictures, read_folder):
    (pictures / "labels.csv").write_text("image,class\na,ill\nb,well\nc,ill\n")
    path = written(pictures / "x.json", [entry(1, 0, 0)])
    found = read_folder(pictures, labels=f"{pictures / 'labels.csv'},{path}")
    assert found.target.kind is TargetKind.BINARY
    assert found.further[0].known.tolist() == [True, True, False]


def test_what_makes_no_sense_is_told(pictures, read_folder, problems):
    annotations = [
        entry(1, 0, 0), entry(2, 0, 3), entry(3, 9, 0), entry(4, 0, 0, (2, 2, 0, 5)), entry(5, 0, 0, (1, 2, 3)),
        entry(6, 0, 0, (30, 2, 4, 4)), entry(7, 1, 0, segmentation={"size": [9, 9], "counts": [81]}),
    ]  # fmt: skip
    images = [
        {"id": 0, "file_name": "a.png"}, {"id": 1, "file_name": "b.png"}, {"id": 2, "file_name": "z.png"},
        {"id": 3, "file_name": "c.png", "width": 99, "height": 99},
    ]  # fmt: skip
    written(pictures / "x.json", annotations, images=images)
    found = read_folder(pictures)
    assert len(found.further[0].boxes[0]) == 1
    told = problems(found)
    assert told[:4] == [
        "x.json: 1 annotations are of image 9, which the file does not list",
        "x.json: a.png: annotation 2 is of category 3, which the file does not name",
        "x.json: a.png: annotation 5 has no box of four numbers; it is left out",
        "x.json: a.png: annotation 4 (cell) has no area, (2, 2) to (2, 7); it is left out",
    ]
    assert any("annotation 6 (cell) lies outside" in each for each in told)
    assert any("z.png: no image has this name" in each for each in told)
    assert any("c.png: it is about an image of 99 × 99" in each for each in told)
    assert any("its run lengths are of an image of [9, 9]" in each for each in told)


@pytest.mark.parametrize("content", ["{", "[]", '{"images": [], "annotations": [], "categories": 3}'])
def test_a_file_that_is_none_is_refused_by_name_and_passed_over_else(pictures, read_folder, content):
    (pictures / "x.json").write_text(content)
    with pytest.raises(InputError) as caught:
        read_folder(pictures, labels=str(pictures / "x.json"))
    assert caught.value.code == "bad-labels"
    with pytest.raises(InputError) as caught:
        read_folder(pictures)
    assert caught.value.code == "no-labels"


def test_files_that_call_a_category_by_two_names_are_refused(pictures, read_folder):
    one = written(pictures / "x.json", [entry(1, 0, 0)])
    two = written(pictures / "y.json", [entry(1, 0, 0)], categories=[{"id": 0, "name": "blob"}])
    with pytest.raises(InputError, match="Category 0"):
        read_folder(pictures, labels=f"{one},{two}")


@pytest.fixture
def volume(tmp_path):
    nibabel.save(nibabel.Nifti1Image(np.arange(960, dtype=np.int16).reshape(12, 8, 10), np.eye(4)), tmp_path / "v.nii.gz")
    (tmp_path / "x.json").write_text("{}")

    def write(*annotations, **image):
        listed = [{"id": 0, "file_name": "v.nii.gz", "width": 12, "height": 8, "depth": 10} | image]
        return written(tmp_path / "x.json", list(annotations), images=listed)

    return write


def test_boxes_of_volumes_say_from_which_slice_to_which(volume, tmp_path, read_folder, problems):
    volume(
        entry(1, 0, 7, (1, 2, 3, 4), z=[2, 5.5]),
        entry(2, 0, 0, (1, 2, 3, 4)),
        entry(3, 0, 0, (1, 2, 3, 4), z=[4, 4]),
        entry(4, 0, 0, (1, 2, 3, 4), z=[8, 12], segmentation=SQUARE),
        entry(5, 0, 0, (1, 2, 3, 4), z=[11, 14]),
    )
    found = read_folder(tmp_path)
    (truth,) = found.further
    assert truth.boxes[0].tolist() == [[2, 2, 1, 5.5, 6, 4], [8, 2, 1, 10, 6, 4]]
    assert truth.box_classes[0].tolist() == [1, 0]
    assert problems(found) == [
        "x.json: v.nii.gz: annotation 2 does not say from which slice to which it goes (z); it is left out",
        "x.json: v.nii.gz: annotation 3 (cell) has no volume, (1, 2, 4) to (4, 6, 4); it is left out",
        "x.json: v.nii.gz: annotation 4 (cell) sticks out of the image of 12 × 8 × 10, "
        "(1, 2, 8) to (4, 6, 12); it is cut off there",
        "x.json: v.nii.gz: annotation 5 (cell) lies outside the image of 12 × 8 × 10, (1, 2, 11) to (4, 6, 14); it is left out",
    ]


def test_boxes_of_a_volume_of_another_depth_are_not_used(volume, tmp_path, read_folder):
    path = volume(entry(1, 0, 7, (1, 2, 3, 4), z=[2, 5]), depth=11)
    with pytest.raises(InputError):
        read_folder(tmp_path, labels=path)


def test_what_is_written_of_a_volume_is_read_again(volume, tmp_path, read_folder):
    volume()
    edges = np.array([[2, 1.5, 3, 5.5, 6, 7], [0, 0, 0, 10, 8, 12]])
    marked = coco.Marked("v.nii.gz", (10, 8, 12), edges, np.array([1, 0]), np.array([0.9, 0.6]), (), (2.5, 1.0, 1.0))
    (tmp_path / "x.json").write_text(json.dumps(coco.document([marked], ("cell", "platelet"))))
    (truth,) = read_folder(tmp_path).further
    assert truth.target.classes == ("cell", "platelet")
    assert truth.boxes[0].tolist() == edges.tolist()
    assert truth.box_classes[0].tolist() == [1, 0]
