"""Labelled cases under the classes of a saved model."""

from __future__ import annotations

import numpy as np
import pytest

from medloop.dataset import judged_by
from medloop.dataset.duplicates import Pair
from medloop.dataset.judging import translate
from medloop.errors import InputError
from medloop.types import Target, TargetKind

MODEL = Target(TargetKind.MULTICLASS, ("c", "a", "b"))


def test_values_follow_the_model(labelled) -> None:
    cases, survey = labelled(["a", "B", "c", "other", "a"])
    built, findings = judged_by(cases, survey, [], MODEL, frozenset())
    assert built.values.tolist() == [1, 2, 0, 1]
    assert (built.split == "test").all()
    assert any("1 cases are left out" in note for note in findings.notes)


def test_pictures_learnt_from_and_their_copies_are_left_out(labelled) -> None:
    cases, survey = labelled(["a", "b", "c", "a"], ["p", "q", "q", "r"])
    built, findings = judged_by(cases, survey, [Pair(0, 1, "near", 0.99)], MODEL, frozenset({"d0"}))
    assert [case.name for case in built.cases] == ["0002", "0003"]
    assert any("learnt from" in note for note in findings.notes)


def test_nothing_may_be_left(labelled) -> None:
    cases, survey = labelled(["a", "b"])
    built, _ = judged_by(cases, survey, [], MODEL, frozenset({"d0", "d1"}))
    assert built.cases == ()


def test_labels_of_another_kind_are_an_error(labelled) -> None:
    cases, survey = labelled(["x", "y"])
    with pytest.raises(InputError, match="the model knows c, a, b"):
        judged_by(cases, survey, [], MODEL, frozenset())


def test_a_number_model_reads_classes_that_are_numbers(labelled) -> None:
    cases, survey = labelled(["1", "2", "1"])
    built, _ = judged_by(cases, survey, [], Target(TargetKind.NUMBER), frozenset())
    assert built.values.tolist() == [1.0, 2.0, 1.0]


def test_a_multi_label_model_reads_single_findings(labelled) -> None:
    cases, survey = labelled(["Mass", "No Finding", "Fracture"])
    built, _ = judged_by(cases, survey, [], Target(TargetKind.MULTILABEL, ("effusion", "mass")), frozenset())
    assert np.array_equal(built.values, [[0, 1], [0, 0]])


@pytest.mark.parametrize(("value", "expected"), [(1.0, "1"), ("1", "1"), (2.0, None), ("one", None)])
def test_numbers_can_name_classes(value: object, expected: str | None) -> None:
    assert translate(value, Target(TargetKind.BINARY, ("0", "1"))) == expected  # type: ignore[arg-type]
