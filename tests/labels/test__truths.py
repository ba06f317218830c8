"""Several kinds of label beside each other."""

from __future__ import annotations

import numpy as np
import pytest

from medloop.errors import InputError
from medloop.labels import _truths
from medloop.labels._truths import Reading, aligned, boxes_truth, joined, labelled
from medloop.types import ImageRef, Target, TargetKind, Truth

REFS = tuple(ImageRef(name=name, reader="raster", files=(f"/data/{name}",)) for name in "abcd")
BOX = (np.array([[0.0, 1, 1, 1, 3, 3]]), np.array([0]))
BOXES = boxes_truth(Target(TargetKind.BOXES, ("cell",), name="boxes"), [BOX, None, BOX, None])
MEASURES = Truth(
    Target(TargetKind.MEASURES, ("size_mm",), name="measures", units=("mm",)),
    np.array([False, True, True, False]),
    numbers=np.array([[np.nan], [2.0], [3.0], [np.nan]]),
)


def parts():
    return [labelled(REFS, Reading(truths=(truth,), says=f"{truth.target.name}."), "label") for truth in (BOXES, MEASURES)]


def test_cases_are_those_of_any_part_and_truths_follow_them():
    whole = joined(parts(), REFS)
    assert [case.name for case in whole.cases] == ["a", "b", "c"]
    assert [truth.known.tolist() for truth in whole.further] == [[True, False, True], [False, True, True]]
    np.testing.assert_array_equal(whole.further[1].numbers, [[np.nan], [2], [3]])
    assert [len(boxes) for boxes in whole.further[0].boxes] == [1, 0, 1]
    assert whole.layout == "boxes. measures."
    assert [ref.name for ref in whole.unlabelled] == ["d"]


def test_what_one_part_lacks_is_no_problem_where_another_has_it():
    assert [each["name"] for each in joined(parts(), REFS).problems] == ["d", "d"]


def test_truths_in_another_order_would_be_noticed(monkeypatch):
    monkeypatch.setattr(_truths, "_rows", lambda part, names: [*reversed(range(len(part.cases))), -1])
    assert [truth.known.tolist() for truth in joined(parts(), REFS).further] != [[True, False, True], [False, True, True]]


def test_of_row_minus_one_nothing_is_known():
    moved = aligned(BOXES, [2, -1, 0])
    assert moved.known.tolist() == [True, False, True]
    assert [len(each) for each in moved.box_classes] == [1, 0, 1]
    assert aligned(BOXES, [2, 0]).known.tolist() == [True, True]


def test_a_table_without_labels_tells_of_patients(tmp_path, write_picture, read_folder):
    for name in "abc":
        write_picture(tmp_path / f"{name}.bmp", np.zeros((4, 4)))
        write_picture(tmp_path / f"{name}.png", np.eye(4))
    (tmp_path / "who.csv").write_text("image,patient\na,7\nb,7\nc,8\nd,9\n")
    for flags in ({}, {"labels": str(tmp_path / "who.csv")}):
        found = read_folder(tmp_path, masks="*.png", **flags)
        assert found.target.kind is TargetKind.MASKS
        assert [case.patient for case in found.cases] == ["7", "7", "8"]
        assert "who the images are of" in found.layout
        assert [each["problem"] for each in found.problems] == ["no image has this name"]


def test_a_table_alone_must_have_labels(tmp_path, write_picture, read_folder):
    write_picture(tmp_path / "a.bmp", np.zeros((4, 4)))
    (tmp_path / "who.csv").write_text("image,patient,note\na,7,\n")
    with pytest.raises(InputError):
        read_folder(tmp_path, labels=str(tmp_path / "who.csv"))


def test_names_of_values_need_masks(tmp_path, write_picture, read_folder):
    write_picture(tmp_path / "a.bmp", np.zeros((4, 4)))
    with pytest.raises(InputError, match="without --masks"):
        read_folder(tmp_path, mask_classes="1=liver")
