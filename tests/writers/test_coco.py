import json

import numpy as np
import pytest

from medloop.writers import coco


def decoded(code):
    """What a reader of COCO makes of run lengths."""
    height, width = code["size"]
    values = np.arange(len(code["counts"])) % 2
    return np.repeat(values, code["counts"]).reshape(width, height).T


@pytest.mark.parametrize("seed", range(4))
def test_run_lengths_say_the_mask(seed):
    mask = np.random.default_rng(seed).random((7, 9)) < 0.2 + 0.2 * seed
    code = coco.run_lengths(mask)
    assert sum(code["counts"]) == mask.size
    assert np.array_equal(decoded(code), mask)


def test_of_all_and_of_nothing():
    assert coco.run_lengths(np.ones((2, 3), bool))["counts"] == [0, 6]
    assert coco.run_lengths(np.zeros((2, 3), bool))["counts"] == [6]


def test_boxes_are_numbered_named_and_scored():
    marked = [
        coco.Marked("a.png", (1, 20, 30), [[0, 2, 3, 1, 6, 10]], [1], [0.875]),
        coco.Marked("b.png", (1, 20, 30), np.zeros((0, 6)), []),
        coco.Marked("c.nii.gz", (9, 20, 30), [[1, 2, 3, 4, 6, 10], [0, 0, 0, 1, 1, 1]], [0, 1], [0.5, 0.25], (), (2.5, 0.5, 0.8)),
        coco.Marked("d.png", (1, 20, 30), [[0, 2, 3, 1, 6, 10]], [1], None, (), (1.0, 0.5, 0.25)),
    ]
    found = json.loads(json.dumps(coco.document(marked, ("cyst", "tumour"))))
    assert [image["file_name"] for image in found["images"]] == ["a.png", "b.png", "c.nii.gz", "d.png"]
    spacing = {"spacing_mm": [0.8, 0.5, 2.5]}
    assert found["images"][2] == {"id": 3, "file_name": "c.nii.gz", "width": 30, "height": 20, "depth": 9} | spacing
    assert found["images"][3]["spacing_mm"] == [0.25, 0.5]
    assert [(each["id"], each["name"]) for each in found["categories"]] == [(1, "cyst"), (2, "tumour")]
    first, second, third, flat = found["annotations"]
    assert (second["size_mm"], third["size_mm"], flat["size_mm"]) == ([5.6, 2, 7.5], [0.8, 0.5, 2.5], [1.75, 2])
    assert first == {"id": 1, "image_id": 1, "category_id": 2, "bbox": [3, 2, 7, 4], "area": 28, "iscrowd": 0, "score": 0.875}
    assert (second["image_id"], second["z"], third["id"]) == (3, [1, 4], 3)


def test_each_part_of_a_mask_is_a_finding_with_its_outline():
    mask = np.zeros((1, 12, 14), np.uint8)
    mask[0, 1:4, 2:7] = 1
    mask[0, 6:9, 1:3] = 1
    mask[0, 5:10, 8:12] = 2
    mask[0, 9, 3] = 1  # touches at a corner: the same part
    found = coco.document([coco.of_mask("a.png", mask, 2)], ("one", "two"))["annotations"]
    assert [each["category_id"] for each in found] == [1, 1, 2]
    assert [each["bbox"] for each in found] == [[2, 1, 5, 3], [1, 6, 3, 4], [8, 5, 4, 5]]
    together = sum(decoded(each["segmentation"]) * each["category_id"] for each in found)
    assert np.array_equal(together, mask[0])
    assert [each["area"] for each in found] == [15, 7, 20]


def test_parts_of_a_volume_have_no_outline():
    mask = np.zeros((5, 12, 14), np.uint8)
    mask[1:3, 1:4, 2:7] = 1
    (found,) = coco.document([coco.of_mask("a.nii", mask, 1)], ("one",))["annotations"]
    assert found["z"] == [1, 3]
    assert "segmentation" not in found
