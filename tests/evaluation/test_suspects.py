"""Labels flipped on purpose are suspected; right ones are not."""

from __future__ import annotations

import numpy as np

from medloop.evaluation.suspects import suspects, suspects_each


def _flipped(seed=0, count=300, flips=20):
    """Three classes, honest probabilities, some labels flipped to another class."""
    draw = np.random.default_rng(seed)
    truth = draw.integers(0, 3, count)
    chances = draw.dirichlet([1, 1, 1], count) * 0.5
    chances[np.arange(count), truth] += 0.5
    wrong = draw.permutation(count)[:flips]
    told = truth.copy()
    told[wrong] = (truth[wrong] + draw.integers(1, 3, flips)) % 3
    return told, chances, set(wrong.tolist())


def test_most_flipped_labels_are_found_and_few_others():
    told, chances, wrong = _flipped()
    found = suspects(told, chances).tolist()
    assert len(wrong & set(found)) >= 16
    assert len(set(found) - wrong) <= 4
    own = chances[found, told[found]]
    assert (np.diff(own) >= 0).all()


def test_probabilities_that_repeat_the_labels_find_nothing():
    """As of a model that has learnt the very labels: why they must be out of fold."""
    told, _, wrong = _flipped()
    assert not wrong & set(suspects(told, np.eye(3)[told] * 0.97 + 0.01).tolist())


def test_a_class_without_cases_is_no_trouble():
    told, chances, wrong = _flipped()
    wide = np.concatenate([chances[:, :1], np.full((len(told), 1), 1e-6), chances[:, 1:]], axis=1)
    shifted = np.where(told > 0, told + 1, 0)
    assert len(wrong & set(suspects(shifted, wide).tolist())) >= 16


def test_nothing_is_said_of_few_cases_or_of_one_class():
    assert len(suspects(np.array([0, 1] * 5), np.full((10, 2), 0.5))) == 0
    assert len(suspects(np.zeros(50, int), np.full((50, 2), 0.5))) == 0


def test_where_several_classes_may_hold_each_is_asked_of_by_itself():
    draw = np.random.default_rng(1)
    truth = draw.integers(0, 2, (300, 3)).astype(float)
    chances = np.where(truth == 1, 0.9, 0.1) + draw.uniform(-0.02, 0.02, truth.shape)
    told = truth.copy()
    wrong = [(row, row % 3) for row in range(0, 240, 4)]
    for row, column in wrong:
        told[row, column] = 1 - told[row, column]
    told[1::4, 1] = np.nan
    found = suspects_each(told, chances)
    assert len(set(wrong) & set(found)) >= 48
    assert len(set(found) - set(wrong)) <= 12
    assert all(np.isfinite(told[place]) for place in found)
    own = [chances[place] if told[place] == 1 else 1 - chances[place] for place in found]
    assert own == sorted(own)
    assert suspects_each(np.full((40, 2), np.nan), np.full((40, 2), 0.5)) == []
