from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medloop.errors import Refused
from medloop.families._folds import FOLDS, folds, strata
from medloop.types import Target, TargetKind

TWO = Target(TargetKind.BINARY, ("well", "ill"))


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 1)), min_size=6, max_size=80), st.integers(0, 5))
@settings(deadline=None, max_examples=50)
def test_groups_stay_whole_and_every_fold_has_cases(pairs, seed):
    groups, values = (np.array(each) for each in zip(*pairs, strict=True))
    patients = [len(np.unique(groups[values == label])) for label in (0, 1)]
    if min(patients) < 2:
        with pytest.raises(Refused):
            folds(TWO, values, groups, seed)
        return
    found = folds(TWO, values, groups, seed)
    assert all(len(np.unique(found[groups == group])) == 1 for group in np.unique(groups))
    assert np.unique(found).tolist() == list(range(min(FOLDS, len(np.unique(groups)))))


def test_a_rare_class_is_spread():
    values = np.r_[np.ones(5, int), np.zeros(95, int)]
    for seed in range(5):
        found = folds(TWO, values, np.arange(100), seed)
        assert sorted(found[:5]) == [0, 1, 2, 3, 4]


def test_what_is_needed_is_said():
    with pytest.raises(Refused) as error:
        folds(TWO, np.array([0, 0, 0, 1]), np.arange(4), 0)
    assert "'ill' has 1" in error.value.got
    assert "two patients" in error.value.allowed


def test_numbers_and_labels_are_spread_too():
    bands = strata(Target(TargetKind.NUMBER), np.arange(100.0))
    assert np.bincount(bands).tolist() == [20] * 5
    several = np.array([[1, 0], [1, 1], [1, np.nan], [0, 0], [np.nan, np.nan]])
    assert strata(Target(TargetKind.MULTILABEL, ("common", "rare")), several).tolist() == [1, 2, 1, 0, 0]
