"""Who stays together."""

from __future__ import annotations

import numpy as np

from medloop.dataset.groups import Link, group, joined, numbered
from medloop.types import Case


def case(patient: str | None = None, together: str | None = None) -> Case:
    return Case("x", (), patient=patient, group=together)


def test_patients_groups_and_copies_join_transitively() -> None:
    cases = [case("a"), case("b"), case("a"), case(), case(), case("c", "lesion"), case(together="lesion")]
    found = group(cases, [Link(1, 3, "near"), Link(3, 4, "exact")])
    assert found.groups.tolist() == [0, 1, 0, 1, 1, 2, 2]
    assert {link.kind for link in found.links} == {"patient", "near", "exact"}


def test_a_case_without_patient_is_a_patient_of_its_own_with_its_copies() -> None:
    found = group([case(), case(), case(), case("a")], [Link(0, 1, "exact")])
    assert found.patients.tolist() == [0, 0, 1, 2]


def test_two_patients_whose_pictures_are_copies_stay_together_but_are_two() -> None:
    found = group([case("a"), case("b")], [Link(0, 1, "near")])
    assert found.groups.tolist() == [0, 0]
    assert found.patients.tolist() == [0, 1]


def test_one_id_for_everybody_gives_way_to_the_groups_given() -> None:
    found = group([case("ANY", "g1"), case("ANY", "g2"), case("ANY", "g2")], [])
    assert found.groups.tolist() == [0, 1, 1]
    assert "same patient ID" in found.notes[0]


def test_numbers_count_by_first_appearance() -> None:
    assert numbered(["b", "a", "b"]).tolist() == [0, 1, 0]
    assert joined(4, [(2, 3)]).tolist() == [0, 1, 2, 2]
    assert joined(0, []).dtype == np.int64


def test_a_study_stays_with_the_one_before_it() -> None:
    cases = [Case("new", (), prior="old"), Case("other", ()), Case("old", (), prior="not used"), Case("newest", (), prior="new")]
    found = group(cases, [])
    assert found.groups.tolist() == found.patients.tolist() == [0, 1, 0, 0]
    assert {link.kind for link in found.links} == {"patient"}
