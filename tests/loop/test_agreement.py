"""Agreement of readers, and of readers and model where the proposal was hidden and where it was shown."""

from __future__ import annotations

import pytest
from sklearn.metrics import cohen_kappa_score

from medloop import store
from medloop.loop.agreement import _follows, _says, agreement, agreement_of
from medloop.requests import AgreementRequest
from medloop.store import reviews
from medloop.workspace import Workspace
from tests.loop.read import read_twice


@pytest.fixture
def opened(tmp_path):
    records = store.open(tmp_path / "w")
    yield records, read_twice(records)
    records.close()


def test_kappa_of_readers_and_of_the_model(opened):
    records, told = opened
    found = agreement_of(records)
    (pair,) = found.readers
    assert (pair["a"], pair["b"], pair["cases"]) == ("ann", "ben", 30)
    assert pair["kappa"] == pytest.approx(cohen_kappa_score(told["ann"][:30], told["ben"][:30]))
    assert pair["low"] < pair["kappa"] < pair["high"]
    assert found.all["cases"] == 30
    assert found.blind["cases"] + found.shown["cases"] == 90
    assert found.shown["kappa"] > found.blind["kappa"] + 0.1
    assert found.follows is False


def test_an_undone_reading_does_not_count(opened):
    records, _ = opened
    before = agreement_of(records).readers[0]["cases"]
    last = reviews.last_of(records, "ben")
    reviews.undo(records, last.id, "ben")
    assert agreement_of(records).readers[0]["cases"] == before - 1


def test_readers_who_follow_are_noticed_and_others_not():
    high = {"kappa": 0.95, "low": 0.9, "high": 1.0}
    low = {"kappa": 0.5, "low": 0.4, "high": 0.6}
    none = {"kappa": None, "low": None, "high": None}
    for shown, blind, follows, words in (
        (high, low, True, "may follow"),
        (low, low, False, "Nothing says"),
        (high, none, None, "Too few"),
        (high, {**low, "high": 0.92}, False, "Nothing says"),
    ):
        assert _follows(shown, blind) is follows
        assert words in _says(shown, blind, follows)


def test_nothing_read_is_no_trouble(tmp_path):
    store.open(tmp_path / "w").close()
    found = agreement(Workspace(tmp_path / "w"), AgreementRequest())
    assert found.readers == []
    assert found.all["kappa"] is None
    assert "Too few" in found.says


def test_a_reader_who_follows_is_noticed_from_what_is_stored(tmp_path):
    records = store.open(tmp_path / "w")
    read_twice(records, second=6)
    assert agreement_of(records).follows is True
    records.close()
