from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import log_loss

from medloop.families import _quality
from medloop.types import Target, TargetKind

TWO, LABELS, NUMBER = Target(TargetKind.BINARY, ("a", "b")), Target(TargetKind.MULTILABEL, ("a", "b")), Target(TargetKind.NUMBER)


def test_costs_are_the_log_loss():
    draw = np.random.default_rng(0)
    values, chance = draw.integers(0, 2, 50), draw.uniform(0.01, 0.99, 50)
    both = np.stack([1 - chance, chance], axis=1)
    assert _quality.surprise(TWO, values, both).mean() == pytest.approx(log_loss(values, chance))


def test_unknown_labels_cost_nothing():
    chances = np.array([[0.5, 0.9], [0.25, 0.5]])
    found = _quality.surprise(LABELS, np.array([[1, np.nan], [0, 1]]), chances)
    np.testing.assert_allclose(found, [-np.log(0.5), -(np.log(0.75) + np.log(0.5)) / 2])
    assert _quality.surprise(LABELS, np.array([[np.nan, np.nan]]), chances[:1]).tolist() == [0.0]


def test_numbers_cost_their_squared_error():
    np.testing.assert_allclose(_quality.surprise(NUMBER, np.array([1.0, 2.0]), np.array([[1.5], [2.0]])), [0.25, 0.0])


def test_the_error_of_a_gain_counts_patients_not_pictures():
    draw = np.random.default_rng(1)
    saved = draw.normal(0.1, 1.0, 40)
    costs, less = np.repeat(saved, 25), np.zeros(1000)
    mean, honest = _quality.gain(costs, less, np.repeat(np.arange(40), 25))
    _, flattered = _quality.gain(costs, less, np.arange(1000))
    assert mean == pytest.approx(saved.mean())
    assert honest == pytest.approx(saved.std(ddof=1) / np.sqrt(40))
    assert flattered < honest / 4
