"""Which mask belongs to which image."""

from __future__ import annotations

import pytest

from medloop.labels._mask_pairs import pairs
from medloop.types import ImageRef


def refs(*names):
    return [
        ImageRef(name=name, reader="nifti", files=(f"/data/{name.partition('#')[0]}" + ("/1.dcm" if "#" in name else ""),))
        for name in names
    ]


def matched(images, masks, glob=None):
    found, problems = pairs(refs(*images), refs(*masks), glob)
    return [None if place is None else masks[place] for place in found], [each["problem"] for each in problems]


@pytest.mark.parametrize(
    ("image", "mask", "glob"),
    [
        ("001.bmp", "001.png", "*.png"),
        ("images/a.png", "masks/a.png", "masks/*"),
        ("a.nii.gz", "a_seg.nii.gz", "*_seg*"),
        ("t2.nii.gz", "t2_seg-manual.nii.gz", "*_seg-manual*"),
        ("a_0000.nii.gz", "a.nii.gz", "masks/*"),
        ("a.jpg", "Lesions of a.png", "lesions of *"),
        ("a.jpg", "a_outline7.png", "*_outline7.png"),
        ("P0001/1#series", "../masks/P0001_1.nii.gz", "*.nii.gz"),
        ("sub-01/flair.nii.gz", "sub-01/GOLD_standard.nii.gz", "GOLD*"),
        ("sub-01", "sub-01_mask.nii.gz", "*_mask.nii.gz"),
    ],
)
def test_ways_to_name_a_mask(image, mask, glob):
    assert matched([image, "z/other.jpg"], [mask], glob) == ([mask, None], [])


def test_the_mask_in_the_likeliest_folder_is_taken():
    found, problems = matched(["train/img/1.png", "test/img/1.png"], ["train/masks/1.png", "test/masks/1.png"])
    assert found == ["train/masks/1.png", "test/masks/1.png"]
    assert problems == []


def test_a_name_beats_a_folder():
    found, _ = matched(["t2/t2.nii.gz", "t2/other.nii.gz"], ["t2/t2_seg.nii.gz"])
    assert found == ["t2/t2_seg.nii.gz", None]


def test_several_masks_of_one_image_are_told_and_none_is_used():
    found, problems = matched(["a.png", "b.png"], ["m/a_seg.png", "m/a_mask.png", "m/b_mask.png"])
    assert found == [None, "m/b_mask.png"]
    assert problems == ["2 masks fit by name: m/a_seg.png, m/a_mask.png; none is used"]


def test_one_mask_of_several_images_is_told_and_not_used():
    found, problems = matched(["train/1.png", "test/1.png"], ["masks/1.png"])
    assert found == [None, None]
    assert problems == ["this mask fits 2 images (train/1.png, test/1.png); it is not used"]


def test_a_folder_with_several_images_does_not_share_its_mask():
    found, problems = matched(["p/t1.nii.gz", "p/t2.nii.gz"], ["p/gold.nii.gz"])
    assert found == [None, None]
    assert problems == ["no image fits this mask"]
