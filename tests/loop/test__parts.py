"""Each part of a mask has a row with its score and its diameters, and after them each place that is nearly in it."""

import dataclasses

import numpy as np
import pytest

from medloop.loop import _parts
from medloop.types import Findings


def found():
    mask = np.zeros((3, 20, 20), np.uint8)
    mask[1, 2:8, 2:10], mask[1, 15:17, 15:17] = 1, 1
    edges = np.array([[0.0, 10, 4, 1, 12, 9]])
    scores = np.array([0.9, 0.6])
    return Findings("a", mask, boxes=edges, box_classes=np.array([0]), box_scores=np.array([0.2]), part_scores=scores)


def rows(given, spacing, nearly=True):
    return [dict(zip(_parts.HEAD, row, strict=True)) for row in _parts.rows(given, spacing, ["tumour"], nearly)]


def test_parts_come_first_and_doubtful_places_after_them():
    told = rows(found(), (5.0, 2.0, 2.0))
    assert [(each["part"], each["outlined"], each["score"]) for each in told] == [
        ("1", "1", "0.9"),
        ("2", "1", "0.6"),
        ("3", "0", "0.2"),
    ]
    assert [(each["x"], each["y"], each["z"]) for each in told] == [
        ("5.50", "4.50", "1.00"),
        ("15.50", "15.50", "1.00"),
        ("6.00", "10.50", "0.00"),
    ]
    assert float(told[0]["longest diameter"]) > float(told[1]["longest diameter"])
    assert told[2]["longest diameter"] == "10.00"
    assert {(each["case"], each["class"], each["unit"]) for each in told} == {("a", "tumour", "mm")}


def test_boxes_that_are_learnt_are_no_doubtful_places_and_without_a_spacing_lengths_are_in_pixels():
    told = rows(found(), None, nearly=False)
    assert [each["unit"] for each in told] == ["px", "px"]


def test_a_score_for_each_part_or_an_error():
    with pytest.raises(ValueError, match="shorter"):
        rows(dataclasses.replace(found(), part_scores=np.array([0.9])), None)
