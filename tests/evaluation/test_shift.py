"""Collections that differ are told from those that do not, with the rate of false alarms that is promised."""

from __future__ import annotations

import numpy as np
import pytest

from medloop.evaluation import shift

NAMES = ("brightness", "sharpness")


def rows(seed, count, moved=0.0):
    """Ten numbers a patient, related to each other and far from normal; the first moved by so many deviations."""
    draw = np.random.default_rng(seed)
    mixed = draw.normal(size=(count, 10)) @ np.random.default_rng(99).normal(size=(10, 10))
    found = np.exp(mixed / 4)
    found[:, 0] += moved * found[:, 0].std()
    return found


def alarms(times, seen, here, moved=0.0):
    """The share of alarms among so many pairs of collections."""
    found = [shift.compare(rows(2 * k, seen), rows(2 * k + 1, here, moved), NAMES, k) for k in range(times)]
    return np.mean([each.alarm for each in found]), np.mean([each.p <= 0.1 for each in found])


@pytest.mark.parametrize(("seen", "here"), [(200, 60), (40, 25)])
def test_false_alarms_are_as_rare_as_promised(seen, here, monkeypatch):
    monkeypatch.setattr(shift, "_ROUNDS", 199)
    alarmed, tenth = alarms(60, seen, here)
    assert alarmed < 0.05
    assert 0.01 < tenth < 0.25, "p is the share of luck"


def test_judging_by_rows_that_were_learnt_from_would_cry_wolf(monkeypatch):
    monkeypatch.setattr(shift, "_ROUNDS", 19)

    def cheats(rows, sides, fold):
        weights = np.linalg.solve(rows.T @ rows + np.eye(rows.shape[1]), rows.T @ (sides - sides.mean(axis=0)))
        told = rows @ weights
        told[:, 1:] = np.random.default_rng(0).normal(size=told[:, 1:].shape)
        return told

    monkeypatch.setattr(shift, "ALPHA", 0.05)
    monkeypatch.setattr(shift, "_told", cheats)
    assert alarms(20, 60, 40)[0] > 0.3


def test_another_scanner_is_noticed():
    found = shift.compare(rows(0, 300), rows(1, 100, moved=1.0), NAMES)
    assert found.alarm
    assert found.p <= 0.01
    assert found.facts[0].name == "brightness"
    assert found.facts[0].difference > 0.5
    assert "brightness" in found.says("test")
    assert "The test images look different" in found.says("test")


def test_what_is_certain_and_does_not_matter_is_no_alarm(monkeypatch):
    monkeypatch.setattr(shift, "MATTERS", 0.99)
    found = shift.compare(rows(0, 300), rows(1, 100, moved=1.0), NAMES)
    assert not found.alarm
    assert "look like" in found.says("new")


def test_a_few_rows_tell_nothing():
    assert shift.compare(rows(0, 300), rows(1, shift.FEWEST - 1), NAMES) is None


def test_numbers_that_never_change_are_no_evidence():
    one, two = np.ones((50, 3)), np.ones((50, 3))
    found = shift.compare(one, two, ("a", "b", "c"))
    assert not found.alarm
    assert found.facts == ()
    two[:, 1] = 2
    found = shift.compare(one, two, ("a", "b", "c"))
    assert found.alarm
    assert [fact.name for fact in found.facts] == ["b"]


def test_the_same_seed_gives_the_same_answer():
    one = shift.compare(rows(0, 3000), rows(1, 100), NAMES, 5)
    assert one == shift.compare(rows(0, 3000), rows(1, 100), NAMES, 5)
    assert one.rows == (3000, 100)
