"""A promise about errors must hold as often as it says: simulated departments, and the same with the bound taken out."""

from __future__ import annotations

import numpy as np
import pytest

from medloop.errors import InputError
from medloop.evaluation import intervals, selective

ROUNDS, RATE = 120, 0.05


def answers(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Calibrated confidences and whether each answer is right."""
    sure = 1 - 0.5 * rng.beta(0.35, 2.2, count)
    return sure, rng.random(count) < sure


def naive(scores: np.ndarray, correct: np.ndarray) -> float:
    """The lowest threshold at which the share of errors was small enough, as one reads it off a curve."""
    order = np.argsort(-scores)
    risk = np.cumsum(~correct[order]) / np.arange(1, len(order) + 1)
    good = np.flatnonzero(risk <= RATE)
    return float(scores[order[good[-1]]]) if len(good) else np.inf


def broken(choose, count: int = 500) -> float:
    """The share of departments in which more answers above the chosen threshold are wrong than promised, among all there can be."""
    rng = np.random.default_rng(8)
    many, _ = answers(np.random.default_rng(9), 200_000)
    times = 0
    for _ in range(ROUNDS):
        threshold = choose(*answers(rng, count))
        taken = many[many >= threshold] if threshold is not None else many[:0]
        times += len(taken) > 0 and float(np.mean(1 - taken)) > RATE
    return times / ROUNDS


def test_the_promise_is_kept_as_often_as_it_says() -> None:
    assert broken(lambda scores, correct: selective.promised(scores, correct, RATE).threshold) <= 0.05


def test_a_threshold_without_the_bound_breaks_it() -> None:
    assert broken(naive) > 0.3


def test_the_check_sees_a_bound_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intervals, "upper_bound", lambda share, size, tail: share)
    assert broken(lambda scores, correct: selective.promised(scores, correct, RATE).threshold) > 0.05


def test_one_start_for_all_would_find_less() -> None:
    rng = np.random.default_rng(3)
    found = [selective.promised(*answers(rng, 2000), RATE) for _ in range(25)]
    assert np.mean([each.threshold is not None for each in found]) > 0.95
    assert np.mean([each.share for each in found]) > 0.3


def test_it_says_what_it_accepted() -> None:
    scores, correct = answers(np.random.default_rng(1), 3000)
    made = selective.promised(scores, correct, RATE)
    taken = made.accepts(scores)
    assert made.threshold is not None
    assert (made.accepted, made.mistakes) == (taken.sum(), (~correct[taken]).sum())
    assert made.share == pytest.approx(taken.mean())
    assert made.mistakes / made.accepted < made.bound <= RATE
    assert str(made.accepted) in made.why
    assert not made.accepts(np.array([np.nan, 0.0])).any()


def test_all_right_is_promised_from_the_fewest_cases_on() -> None:
    least = selective.fewest(0.02)
    assert least == 149
    scores = np.linspace(0.99, 1, least)
    assert selective.promised(scores, np.ones(least, bool), 0.02).share == 1
    too_few = selective.promised(scores[1:], np.ones(least - 1, bool), 0.02)
    assert too_few.threshold is None
    assert "149" in too_few.why
    assert selective.promised(np.array([]), np.array([], bool), 0.02).threshold is None


def test_no_promise_where_the_surest_are_wrong() -> None:
    made = selective.promised(np.linspace(0.9, 1, 500), np.arange(500) % 4 > 0, 0.02)
    assert made.threshold is None
    assert made.bound > 0.2
    assert not made.accepts(np.ones(3)).any()


def test_scores_that_are_no_probabilities_do() -> None:
    rng = np.random.default_rng(2)
    scores = rng.normal(5, 3, 3000)
    correct = rng.random(3000) < 1 / (1 + np.exp(-scores))
    assert 0.3 < selective.promised(scores, correct, RATE).share < 1


def test_several_cases_of_one_patient_count_less() -> None:
    scores, correct = np.linspace(0.9, 1, 400), np.ones(400, bool)
    assert selective.promised(scores, correct, 0.02).threshold is not None
    assert selective.promised(scores, correct, 0.02, patients=np.arange(400) // 20).threshold is None
    assert selective.promised(scores, correct, 0.02, patients=np.arange(400) // 2).share == 1


def test_ties_are_accepted_together() -> None:
    scores = np.repeat([0.99, 0.6], 500)
    correct = np.r_[np.ones(500, bool), np.arange(500) % 2 > 0]
    made = selective.promised(scores, correct, 0.05)
    assert (made.threshold, made.accepted) == (0.99, 500)


@pytest.mark.parametrize(("rate", "confidence"), [(0, 0.95), (1, 0.95), (float("nan"), 0.95), (0.02, 0.4), (0.02, 1.0)])
def test_nonsense_is_refused(rate: float, confidence: float) -> None:
    with pytest.raises(InputError):
        selective.promised(np.ones(10), np.ones(10, bool), rate, confidence)
