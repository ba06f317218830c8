"""Leaks are found, mended or refused, and the guard before learning speaks when grouping is broken."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from medloop import dataset as data
from medloop.dataset import leaks, snapshot
from medloop.dataset.duplicates import Pair
from medloop.dataset.groups import Groups
from medloop.errors import InputError, Refused

LABELS = ["a", "b"] * 20
GIVEN = ["train"] * 24 + ["val"] * 6 + ["test"] * 10


def pair(a: int, b: int, kind: str) -> Pair:
    return Pair(a, b, kind, 1.0)


@pytest.mark.parametrize("kind", ["exact", "near"])
@pytest.mark.parametrize("other", [0, 25])
def test_a_copy_in_test_is_refused_with_the_list(labelled, kind: str, other: int) -> None:
    cases, survey = labelled(LABELS, splits=GIVEN)
    with pytest.raises(Refused, match="0035") as caught:
        data.build(cases, survey, [pair(other, 35, kind)])
    assert caught.value.code == "leak"
    assert caught.value.exit_code == 3
    assert f"--accept-leak {kind}" in caught.value.fix


def test_a_patient_in_test_is_refused_and_a_long_list_is_cut(labelled) -> None:
    patients = [f"p{n}" for n in range(30)] + [f"p{n}" for n in range(10)]
    cases, survey = labelled(LABELS, patients, splits=GIVEN)
    with pytest.raises(Refused, match="and 5 more") as caught:
        data.build(cases, survey, [])
    assert "same patient" in caught.value.got
    assert "p3" not in caught.value.got


def test_what_is_accepted_goes_on_and_stays_as_given(labelled) -> None:
    cases, survey = labelled(LABELS, splits=GIVEN)
    pairs = [pair(0, 35, "near")]
    built, findings = data.build(cases, survey, pairs, data.Options(accept_leak=("near",)))
    assert built.split.tolist() == GIVEN
    assert findings.leaks == [{"a": "0000", "b": "0035", "kind": "near", "splits": ["train", "test"]}]
    with pytest.raises(Refused):
        data.build(cases, survey, [*pairs, pair(1, 36, "exact")], data.Options(accept_leak=("near",)))


def test_validation_copies_move_to_training(labelled) -> None:
    patients = [f"p{n}" for n in range(40)]
    patients[26] = "p2"
    cases, survey = labelled(LABELS, patients, splits=GIVEN)
    built, findings = data.build(cases, survey, [pair(3, 25, "exact"), pair(25, 27, "near")])
    assert findings.moved == ["0025", "0026", "0027"]
    assert built.split.tolist() == ["train"] * 24 + ["val"] + ["train"] * 3 + ["val"] * 2 + ["test"] * 10
    assert {(leak["a"], leak["b"], leak["kind"]) for leak in findings.leaks} == {
        ("0003", "0025", "exact"), ("0002", "0026", "patient"),
    }  # fmt: skip
    assert any("3 validation cases" in note for note in findings.notes)


def test_inspect_is_told_instead_of_refused(labelled) -> None:
    cases, survey = labelled(LABELS, splits=GIVEN)
    built, findings = data.examine(cases, survey, [pair(0, 35, "exact")])
    assert built is not None
    assert [refusal.code for refusal in findings.refusals] == ["leak"]
    assert len(findings.leaks) == 1


def test_the_guard_finds_what_broken_grouping_lets_through(labelled, monkeypatch) -> None:
    """Break grouping on purpose: every case its own group. The guard must refuse what comes out."""
    patients = [f"p{n // 4}" for n in range(40)]
    cases, survey = labelled(LABELS, patients)
    leaks.check(data.build(cases, survey, [])[0])
    monkeypatch.setattr(snapshot, "group", lambda cases, copies: Groups(np.arange(len(cases)), np.arange(len(cases)), ()))
    with pytest.raises(Refused, match="share a patient"):
        data.build(cases, survey, [])


def test_the_guard_finds_equal_pictures_that_nobody_linked(labelled) -> None:
    digests = [f"d{n % 20}" for n in range(40)]
    cases, survey = labelled(LABELS, splits=GIVEN, digests=digests)
    with pytest.raises(Refused, match="share a picture"):
        data.build(cases, survey, [])


def test_the_guard_finds_a_group_cut_by_hand(labelled) -> None:
    cases, survey = labelled(LABELS, splits=GIVEN)
    built, _ = data.build(cases, survey, [pair(0, 1, "exact")])
    leaks.check(built)
    split = built.split.copy()
    split[0] = "val"
    with pytest.raises(Refused, match="share a group"):
        leaks.check(replace(built, split=split))


def test_folds_are_checked_too(labelled) -> None:
    cases, survey = labelled(LABELS, [f"p{n // 2}" for n in range(40)])
    built, _ = data.build(cases, survey, [], data.Options(folds=4))
    folds = data.folds(built, 4)
    leaks.check_folds(built, folds)
    folds[0] = (folds[0] + 1) % 4
    with pytest.raises(Refused):
        leaks.check_folds(built, folds)


def test_an_unknown_kind_of_leak_is_an_error() -> None:
    assert leaks.accepted("near, exact") == ("near", "exact")
    with pytest.raises(InputError, match="'nearly'"):
        leaks.accepted("nearly")
