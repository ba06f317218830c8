"""What a review page is given of a case: the visit before it."""

from __future__ import annotations

from pathlib import Path

import pytest

from medloop import store
from medloop.store import Store, studies
from medloop.store.records import TAKEN, StudyRow
from medloop.web import shown


@pytest.fixture
def opened(tmp_path: Path):
    made = store.open(tmp_path)
    yield made
    made.close()


def visits(opened: Store) -> dict[str, int]:
    """The series of three visits of one patient, in the order in which they came."""
    told = {"now": ("c", "20240301"), "first": ("a", "20200301"), "before": ("b", "20220301"), "beside": ("c", "20240301")}
    return {
        name: studies.add(
            opened, StudyRow(name=name, content=name, patient="p", study=study, state="ready", attributes={TAKEN: taken}), "ada"
        )[0]
        for name, (study, taken) in told.items()
    }


def before(opened: Store, number: int) -> str | None:
    prior = shown.gather(opened, number, "ann", False).prior
    return None if prior is None else prior.name


def test_the_prior_study_is_the_visit_taken_before_whichever_came_first(opened: Store) -> None:
    numbers = visits(opened)
    said = {name: before(opened, number) for name, number in numbers.items()}
    assert said == {"now": "before", "first": None, "before": "first", "beside": "before"}


def test_without_dates_the_order_of_arrival_is_seen_to_be_wrong(opened: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = visits(opened)
    monkeypatch.setattr(shown, "TAKEN", "unknown")
    assert before(opened, numbers["now"]) is None


def test_another_series_of_the_visit_is_seen_to_be_left_out(opened: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = visits(opened)
    monkeypatch.setattr(shown, "_another", lambda row, study: row.id != study.id)
    assert before(opened, numbers["beside"]) == "now"
