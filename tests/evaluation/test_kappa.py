"""Agreement beyond chance, against scikit-learn and the example that everybody quotes."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from medloop.evaluation import kappa


def test_cohen_is_scikit_learns():
    draw = np.random.default_rng(0)
    first = draw.choice(list("abc"), 200)
    second = np.where(draw.random(200) < 0.7, first, draw.choice(list("abc"), 200))
    found = kappa.cohen(first.tolist(), second.tolist(), np.arange(200))
    assert found.value == pytest.approx(cohen_kappa_score(first, second))
    assert found.low < found.value < found.high
    assert found.high - found.low < 0.25


def test_pictures_of_one_patient_say_less():
    draw = np.random.default_rng(1)
    first = np.repeat(draw.choice(list("ab"), 40), 5)
    second = np.where(np.repeat(draw.random(40) < 0.8, 5), first, "a")
    apart, together = (kappa.cohen(first.tolist(), second.tolist(), each) for each in (np.arange(200), np.repeat(np.arange(40), 5)))
    assert together.value == apart.value
    assert together.high - together.low > 1.5 * (apart.high - apart.low)


def test_fleiss_of_the_example():
    """Ten subjects, fourteen raters, five answers: 0.210 (Fleiss 1971's method, the example of Wikipedia)."""
    counts = [
        [0, 0, 0, 0, 14],
        [0, 2, 6, 4, 2],
        [0, 0, 3, 5, 6],
        [0, 3, 9, 2, 0],
        [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0],
        [3, 2, 6, 3, 0],
        [2, 5, 3, 2, 2],
        [6, 5, 2, 1, 0],
        [0, 2, 2, 3, 7],
    ]
    readings = [[str(answer) for answer, count in enumerate(row) for _ in range(count)] for row in counts]
    found = kappa.fleiss([*readings, ["0"], []], np.arange(12))
    assert found.value == pytest.approx(0.210, abs=5e-4)


def test_nothing_is_said_where_nothing_can_be():
    assert kappa.cohen([], [], np.zeros(0, int)).reason == "no case was read by two"
    assert kappa.fleiss([["a"], ["b"]], np.arange(2)).value is None
    assert "chance" in kappa.cohen(["a"] * 9, ["a"] * 9, np.arange(9)).reason
    assert kappa.agreed([], [], np.zeros(0, int)).value is None


def test_agreed_and_pairs():
    assert kappa.agreed(list("aabb"), list("abbb"), np.arange(4)).value == 0.75
    answers = {"ann": {1: "a", 2: "b"}, "bob": {2: "b", 3: "a"}, "cid": {9: "a"}}
    assert kappa.pairs(answers) == [("ann", "bob", [2])]
