from __future__ import annotations

import numpy as np
import pytest

from medloop.families import _choice
from medloop.families._cross import Problem, Trial
from medloop.families._heads import Spec
from medloop.types import Target, TargetKind

TARGET = Target(TargetKind.BINARY, ("a", "b"))
COUNT = 400


@pytest.fixture
def problem():
    numbers = np.arange(COUNT)
    return Problem(TARGET, numbers % 2, numbers, numbers // 2 % 5, 0)


def _trial(problem, raw, features=(0,), estimator="logistic"):
    scores = _choice._quality.fold_scores(TARGET, problem.values, raw, problem.fold, problem.groups)
    return Trial(Spec(features, estimator), "complete", 1.0, tuple(scores), tuple(scores), raw)


def _noisy(problem, noise, seed):
    return (problem.values + noise * np.random.default_rng(seed).normal(size=COUNT))[:, None]


def test_the_clearly_better_wins_however_complicated(problem):
    weak, strong = _trial(problem, _noisy(problem, 3, 0)), _trial(problem, _noisy(problem, 0.5, 1), (0, 1, 2), "boosting")
    assert _choice.choose(problem, [weak, strong], 1) == [strong]


def test_of_equals_the_simpler_wins(problem):
    raw = _noisy(problem, 1, 0)
    nudged = raw.copy()
    worst = np.argmin(np.where(problem.values == 1, raw[:, 0], np.inf))
    nudged[worst] += 3
    simple, wide, trees = _trial(problem, raw), _trial(problem, nudged, (0, 1)), _trial(problem, nudged, (0,), "extra-trees")
    assert wide.score > simple.score, "the better by a hair"
    assert _choice.choose(problem, [wide, trees, simple], 1) == [simple]


def test_an_average_that_helps_is_taken_and_one_that_does_not_is_not(problem):
    one, other = _trial(problem, _noisy(problem, 1, 0)), _trial(problem, _noisy(problem, 1, 1), (1,))
    assert set(map(id, _choice.choose(problem, [one, other], 3))) == {id(one), id(other)}
    noise = _trial(problem, np.random.default_rng(2).normal(size=(COUNT, 1)), (2,))
    assert _choice.choose(problem, [one, noise], 3) == [one]


def test_trials_that_were_ended_early_are_not_chosen(problem):
    done = _trial(problem, _noisy(problem, 2, 0))
    assert _choice.choose(problem, [Trial(Spec((1,), "logistic"), "hopeless", 1.0, (0.99,)), done], 3) == [done]


def test_heads_of_other_units_count_alike(problem):
    raw = _noisy(problem, 1, 0)
    assert _choice.unit_of(TARGET, 1000 * raw) == pytest.approx(1000 * _choice.unit_of(TARGET, raw))
    number = Target(TargetKind.NUMBER)
    assert _choice.unit_of(number, 1000 * raw) == 1.0
