"""From labelled images to a dataset."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medloop import dataset as data
from medloop import readers
from medloop.compute import Compute
from medloop.dataset.duplicates import Pair
from medloop.errors import InputError, Refused
from medloop.labels import Labelled, read
from medloop.requests import LearnRequest, SourceRequest
from medloop.types import ImageRef, Provenance, TargetKind

TWO = ["a", "b"] * 20


def exact(a: int, b: int) -> Pair:
    return Pair(a, b, "exact", 1.0)


def test_a_split_of_our_own(labelled) -> None:
    cases, survey = labelled(TWO)
    built, findings = data.build(cases, survey, [])
    said = data.summary(built, findings)
    assert said.split == {"train": 28, "val": 4, "test": 8}
    assert said.classes == {"a": 20, "b": 20}
    assert said.patients is None
    assert data.counts(built, "test") == {"a": 4, "b": 4}
    assert not built.split_given
    assert any("Patients are not known" in note for note in findings.notes)


def test_patients_are_counted_when_known(labelled) -> None:
    cases, survey = labelled(TWO, [f"p{n // 4}" for n in range(40)])
    built, findings = data.build(cases, survey, [])
    assert data.summary(built, findings).patients == 10
    for number in range(10):
        assert len(set(built.split[built.patients == number])) == 1


@pytest.mark.parametrize("kind", ["val", "test"])
def test_a_missing_part_of_a_given_split_is_completed(labelled, kind: str) -> None:
    cases, survey = labelled(TWO, splits=["train"] * 30 + [kind] * 10)
    built, _ = data.build(cases, survey, [])
    assert built.split_given
    assert (built.split[30:] == "test").all()
    assert sorted(set(built.split[:30])) == ["train", "val"]
    assert any("validation part was taken" in note for note in built.notes)


def test_cases_that_the_given_split_does_not_place_are_left_out(labelled) -> None:
    cases, survey = labelled(TWO, splits=["train"] * 20 + ["val"] * 8 + ["test"] * 8 + [None] * 4)
    built, findings = data.build(cases, survey, [])
    assert len(built.cases) == 36
    assert [each["name"] for each in findings.dropped] == ["0036", "0037", "0038", "0039"]


def test_with_folds_every_case_is_learnt_from_and_judged(labelled) -> None:
    cases, survey = labelled(TWO, splits=["train"] * 30 + ["test"] * 10)
    built, _ = data.build(cases, survey, [exact(0, 39)], data.Options(folds=4))
    assert (built.split == "train").all()
    folds = data.folds(built, 4)
    assert folds[0] == folds[39]
    assert any("not used" in note for note in built.notes)


def test_a_class_of_one_patient_is_named_and_left_out(labelled) -> None:
    cases, survey = labelled([*TWO, "c", "d", "d"], [*(f"p{n}" for n in range(41)), "q", "q"])
    built, findings = data.build(cases, survey, [])
    assert built.target.classes == ("a", "b")
    assert built.target.kind is TargetKind.BINARY
    assert set(findings.left_out) == {"c", "d"}
    assert len(built.cases) == 40
    assert data.summary(built, findings).left_out["d"] == "only one patient has it (2 cases), 2 are needed"


def test_copies_of_one_picture_are_one_patient(labelled) -> None:
    cases, survey = labelled([*TWO, "c", "c"])
    assert "c" in data.build(cases, survey, [])[0].target.classes
    assert "c" in data.build(cases, survey, [exact(40, 41)])[1].left_out


def test_a_class_only_in_the_given_test_is_left_out(labelled) -> None:
    cases, survey = labelled([*TWO, "c", "c"], splits=["train"] * 20 + ["val"] * 10 + ["test"] * 12)
    built, findings = data.build(cases, survey, [])
    assert findings.left_out == {"c": "it occurs in the test split only"}
    assert (built.split == "test").sum() == 10


@pytest.mark.parametrize("values", [["a"] * 10, ["a"] * 9 + ["b"], [2.5] * 10])
def test_too_little_is_refused(labelled, values: list[object]) -> None:
    cases, survey = labelled(values)
    with pytest.raises(Refused) as caught:
        data.build(cases, survey, [])
    assert caught.value.exit_code == 3
    assert data.examine(cases, survey, [])[0] is None


def test_one_patient_is_refused_unless_groups_are_given(labelled) -> None:
    cases, survey = labelled(TWO, ["X"] * 40)
    with pytest.raises(Refused, match="one patient") as caught:
        data.build(cases, survey, [])
    assert "--group" in caught.value.fix
    cases, survey = labelled(TWO, ["X"] * 40, [f"g{n // 2}" for n in range(40)])
    built, findings = data.build(cases, survey, [])
    assert data.summary(built, findings).patients == 20


def test_conflicts_are_told_and_kept_together(labelled) -> None:
    cases, survey = labelled(TWO)
    built, findings = data.build(cases, survey, [exact(0, 1), exact(2, 4)])
    assert findings.conflicts == [{"a": "0000", "b": "0001", "kind": "exact", "labels": ["a", "b"]}]
    assert findings.duplicates == [["0000", "0001"], ["0002", "0004"]]
    assert built.split[0] == built.split[1]
    assert len(built.cases) == 40


def test_unreadable_images_and_model_made_labels_are_dropped(labelled) -> None:
    cases, survey = labelled(TWO)
    labels = list(cases.labels)
    labels[5] = replace(labels[5], provenance=Provenance.AI_ONLY)
    survey = type(survey)(tuple(ref for ref in survey.refs if ref.name != "0003"))
    built, findings = data.build(replace(cases, labels=tuple(labels)), survey, [exact(3, 5)])
    assert {each["name"] for each in findings.dropped} == {"0003", "0005"}
    assert len(built.cases) == 38
    assert built.groups[3] == built.groups[4]
    assert data.rows(built, survey).tolist() == [n for n in range(39) if n != 4]


def test_multi_label_classes_that_cannot_be_learnt_are_columns_less(labelled) -> None:
    values = [
        (("x", float(n % 2)), ("rare", float(n == 0)), ("always", 1.0), ("part", None if n % 3 else float(n % 2)))
        for n in range(40)
    ]
    values.append((("x", None), ("rare", 1.0), ("always", None), ("part", None)))
    cases, survey = labelled(values)
    built, findings = data.build(cases, survey, [exact(0, 40)])
    assert built.target.classes == ("x", "part")
    assert set(findings.left_out) == {"rare", "always"}
    assert built.values.shape == (40, 2)
    assert np.isnan(built.values[1, 1])


def test_a_number(labelled) -> None:
    cases, survey = labelled([n / 2 for n in range(50)])
    built, findings = data.build(cases, survey, [])
    assert built.values.dtype == np.float64
    assert data.summary(built, findings).classes == {}
    assert data.counts(built) == {}


def test_a_fraction_of_the_labels(labelled) -> None:
    cases, survey = labelled(TWO * 5, [f"p{n // 2}" for n in range(200)])
    whole, _ = data.build(cases, survey, [])
    part, findings = data.build(cases, survey, [], data.Options(label_fraction=0.25))
    assert len(part.indices("test")) == len(whole.indices("test"))
    assert len(part.indices("train")) == pytest.approx(len(whole.indices("train")) / 4, abs=2)
    assert {case.name for case in part.cases} <= {case.name for case in whole.cases}
    assert any("--label-fraction 0.25" in note for note in findings.notes)
    assert part.fingerprint != whole.fingerprint


@pytest.mark.parametrize(
    ("flag", "value"), [("label_fraction", 0.0), ("label_fraction", 1.5), ("folds", 1), ("accept_leak", "all")]
)
def test_flags_that_make_no_sense(flag: str, value: object) -> None:
    with pytest.raises(InputError):
        data.Options.of(LearnRequest(src="x", **{flag: value}))


def _surveyed(source: Path, **flags: str) -> tuple[Labelled, tuple[ImageRef, ...], list[Pair]]:
    """Labels, readable images and exact copies of a real collection."""
    with Compute(0) as compute:
        collection = readers.collect(source, images=flags.get("images"), compute=compute)
    refs = tuple(replace(ref, digest=readers.digest(ref)) for ref in collection.refs)
    alike: dict[str, list[int]] = defaultdict(list)
    for position, ref in enumerate(refs):
        alike[ref.digest].append(position)
    pairs = [exact(same[0], other) for same in alike.values() for other in same[1:]]
    return read(collection, SourceRequest(src=str(source), **flags)), refs, pairs


class Seen:
    """A survey of images that are all readable."""

    def __init__(self, refs: tuple[ImageRef, ...]) -> None:
        self.refs = refs


@pytest.mark.shared
def test_white_blood_cells(shared_data: Path) -> None:
    labelled, refs, pairs = _surveyed(shared_data / "wbc", images="*.bmp")
    built, findings = data.build(labelled, Seen(refs), pairs)
    assert built.target.classes == ("1", "2", "3", "4")
    assert list(findings.left_out) == ["5"]
    assert findings.duplicates == [["Dataset 1/112.bmp", "Dataset 1/139.bmp"]]
    assert set(data.counts(built, "test").values()) == {4, 10, 11, 35}


@pytest.mark.shared
def test_pneumonia_copies_in_validation_move_to_training(shared_data: Path) -> None:
    labelled, refs, pairs = _surveyed(shared_data / "pneumoniamnist_rebuilt.npz")
    built, findings = data.build(labelled, Seen(refs), pairs)
    assert data.summary(built, findings).split == {"train": 4716, "val": 516, "test": 624}
    assert len(findings.moved) == len(findings.leaks) == 8
    assert {leak["kind"] for leak in findings.leaks} == {"exact"}
