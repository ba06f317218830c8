"""Outlines of a COCO file as pixels."""

from __future__ import annotations

import json

import numpy as np
import pytest

from medloop import readers
from medloop.errors import Unreadable
from medloop.readers import coco
from medloop.types import ImageRef


def told(runs):
    """Run lengths as the COCO API writes them (maskApi.c, rleToString)."""
    letters = []
    for place, run in enumerate(runs):
        value = run - runs[place - 2] if place > 2 else run
        more = True
        while more:
            bits = value & 0x1F
            value >>= 5
            more = value != -1 if bits & 0x10 else value != 0
            letters.append(chr((bits | 0x20 if more else bits) + 48))
    return "".join(letters)


def test_runs_as_text():
    runs = [0, 5, 300, 2, 40, 100000, 1, 7]
    assert coco.runs_of(told(runs)) == runs


def test_runs_go_down_the_columns():
    found = coco.area({"size": [3, 4], "counts": told([1, 2, 3, 1, 5])}, (3, 4))
    assert found.tolist() == [[0, 0, 1, 0], [1, 0, 0, 0], [1, 0, 0, 0]]


def test_runs_of_another_size_are_refused():
    with pytest.raises(Unreadable, match="run lengths"):
        coco.area({"size": [3, 4], "counts": [1, 2]}, (3, 4))


def test_a_polygon_has_the_pixels_whose_centres_it_holds():
    found = coco.area([[1, 1, 4, 1, 4, 3, 1, 3], [0, 3.4, 1, 3.4, 1, 4, 0, 4]], (5, 6))
    assert np.argwhere(found).tolist() == [[1, 1], [1, 2], [1, 3], [2, 1], [2, 2], [2, 3], [3, 0]]


@pytest.mark.parametrize(
    ("segmentation", "can"),
    [
        ([[0, 0, 1, 0, 1, 1]], True), ({"size": [2, 2], "counts": "04"}, True), ([], False), (None, False), ([[0, 0, 1, 1]], False),
        ([[0, 0, 1, 0, 1]], False), ([[0, 0, 1, 0, 1, "x"]], False), ({"counts": [4]}, False),
    ],
)  # fmt: skip
def test_what_can_be_drawn(segmentation, can):
    assert coco.outlined(segmentation) is can


def test_a_small_instance_lies_on_a_large_one(tmp_path):
    small, large = [[2, 2, 4, 2, 4, 4, 2, 4]], [[0, 0, 8, 0, 8, 8, 0, 8]]
    entries = [{"image_id": 5, "category_id": 3, "segmentation": small}, {"image_id": 5, "category_id": 0, "segmentation": large}]
    content = {"images": [{"id": 5, "file_name": "a"}], "categories": [], "annotations": entries}
    (tmp_path / "x.json").write_text(json.dumps(content))
    image = ImageRef("a.png", "raster", ("a.png",), shape=(1, 3, 1, 8, 9), colour=True)
    read = readers.read(coco.reference(tmp_path / "x.json", 5, image)).pixels
    assert read.shape == (1, 1, 1, 8, 9)
    assert [(read == value).sum() for value in (0, 1, 4)] == [8, 60, 4]


def test_a_file_gone_is_a_reason(tmp_path):
    image = ImageRef("a.png", "raster", ("a.png",), shape=(1, 1, 1, 8, 9))
    (tmp_path / "x.json").write_text("{}")
    ref = coco.reference(tmp_path / "x.json", 5, image)
    with pytest.raises(Unreadable, match="not a COCO file"):
        readers.read(ref)
    (tmp_path / "x.json").unlink()
    with pytest.raises(Unreadable, match="cannot be read"):
        readers.read(ref)
