"""What is asked about next: unsure cases that differ, the same ones every time."""

from __future__ import annotations

import numpy as np
import pytest

from medloop.evaluation import asking


def _crowds(seed=0, each=40, crowds=5):
    """Five crowds of nearly equal rows; the first two unsure, the other three sure."""
    draw = np.random.default_rng(seed)
    member = np.repeat(np.arange(crowds), each)
    rows = 10 * np.eye(crowds)[member] + draw.normal(0, 0.1, (crowds * each, crowds))
    margins = np.where(member < 2, 0.05, 0.9) + draw.uniform(0, 0.05, len(member))
    return margins, rows, member


def test_margins_are_between_the_two_likeliest():
    chances = np.array([[0.2, 0.5, 0.3], [0.0, 1.0, 0.0], [1 / 3, 1 / 3, 1 / 3]])
    np.testing.assert_allclose(asking.margin(chances), [0.2, 1, 0], atol=1e-12)
    np.testing.assert_allclose(asking.margin(np.array([[0.9, 0.5], [0.9, 0.1]]), several=True), [0, 0.8], atol=1e-12)
    np.testing.assert_allclose(asking.margin(np.array([[np.nan, np.nan]])), [0])
    np.testing.assert_allclose(asking.margin(np.array([[0.7]])), [0])


def _checked(chosen, member, margins):
    """Whether few are asked about that are sure, and every unsure crowd is."""
    return set(member[chosen]) == {0, 1} and margins[chosen].max() < 0.2


def test_what_is_asked_is_unsure_and_different():
    margins, rows, member = _crowds()
    chosen = asking.ask(margins, rows, 8, seed=1)
    assert len(set(chosen.tolist())) == 8
    assert _checked(chosen, member, margins)
    assert (np.diff(margins[chosen]) >= 0).all()


@pytest.mark.parametrize("broken", ["sure", "alike"])
def test_the_check_sees_a_broken_way_of_asking(monkeypatch, broken):
    margins, rows, member = _crowds()
    if broken == "sure":
        chosen = asking.ask(-margins, rows, 8, seed=1)
    else:
        monkeypatch.setattr(asking, "middles", lambda rows, weights, count, seed: np.flatnonzero(rows[:, 0] > 5)[:count])
        chosen = asking.ask(margins, rows, 8, seed=1)
    assert not _checked(chosen, member, margins)


def test_equal_input_and_seed_ask_the_same():
    margins, rows, _ = _crowds()
    np.testing.assert_array_equal(asking.ask(margins, rows, 6, seed=2), asking.ask(margins.copy(), rows.copy(), 6, seed=2))
    np.testing.assert_array_equal(asking.start(rows, 6, seed=2), asking.start(rows.copy(), 6, seed=2))


def test_a_start_has_some_of_every_crowd():
    _, rows, member = _crowds()
    assert set(member[asking.start(rows, 5, seed=3)]) == set(range(5))


def test_an_order_has_everything_once():
    margins, rows, member = _crowds()
    found = asking.order(margins, rows, 10, seed=0, most=30)
    assert sorted(found.tolist()) == list(range(len(rows)))
    assert _checked(found[:10], member, margins)
    assert (np.diff(margins[found[30:]]) >= 0).all()


def test_fewer_cases_than_wanted_and_equal_ones_are_no_trouble():
    rows = np.ones((6, 3))
    assert sorted(asking.ask(np.zeros(6), rows, 4).tolist()) == sorted(set(asking.ask(np.zeros(6), rows, 4).tolist()))
    assert len(asking.ask(np.zeros(6), rows, 10)) == 6
    assert len(asking.ask(np.zeros(0), np.zeros((0, 3)), 3)) == 0
