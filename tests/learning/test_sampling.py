"""The order of cases: every case, or every class, as often as promised, from seed and epoch alone."""

import numpy as np
import pytest

from medloop.learning import sampling
from medloop.types import Target, TargetKind

STRATA = np.repeat([0, 1, 2], [80, 15, 5])


def test_an_epoch_has_every_case_once_in_an_order_of_its_own():
    first = sampling.order(50, 3, 0)
    assert sorted(first) == list(range(50))
    np.random.default_rng(9).random(100)
    assert np.array_equal(first, sampling.order(50, 3, 0))
    assert not np.array_equal(first, sampling.order(50, 3, 1))
    assert not np.array_equal(first, sampling.order(50, 4, 0))


def shortfalls(drawn):
    """Classes that are a tenth or more rarer than their fair share."""
    counts = np.bincount(STRATA[drawn], minlength=3)
    return set(np.flatnonzero(counts < 0.9 * len(drawn) / 3).tolist())


def test_balanced_epochs_show_classes_equally_often():
    drawn = sampling.balanced(STRATA, 0, 0)
    assert len(drawn) == 100
    assert shortfalls(drawn) == set()
    assert shortfalls(sampling.order(100, 0, 0)) == {1, 2}
    assert np.array_equal(drawn, sampling.balanced(STRATA, 0, 0))
    assert not np.array_equal(drawn, sampling.balanced(STRATA, 0, 1))
    assert len(np.unique(drawn[STRATA[drawn] == 2])) == 5
    assert len(np.unique(drawn[STRATA[drawn] == 0])) == (STRATA[drawn] == 0).sum()
    assert len(set(STRATA[drawn[:12]])) == 3


@pytest.mark.parametrize(("strength", "counts"), [(0.0, [80, 15, 5]), (0.5, [59, 26, 15]), (1.0, [34, 33, 33])])
def test_strength_lies_between_as_they_are_and_equal(strength, counts):
    drawn = sampling.balanced(STRATA, 1, 1, strength=strength)
    assert np.bincount(STRATA[drawn]).tolist() == pytest.approx(counts, abs=1)


def test_strata_of_each_kind():
    numbers = Target(TargetKind.NUMBER)
    assert set(sampling.strata_of(numbers, np.array([1.5, np.nan]))) == {0}
    binary = Target(TargetKind.BINARY, ("a", "b"))
    assert sampling.strata_of(binary, np.array([0, 1, 1])).tolist() == [0, 1, 1]
    several = Target(TargetKind.MULTILABEL, ("often", "rare"))
    values = np.array([[1, 0], [1, 1], [1, np.nan], [0, 0], [np.nan, np.nan]], np.float32)
    assert sampling.strata_of(several, values).tolist() == [0, 1, 0, 2, 2]


def test_batches_cover_the_order_and_leave_nobody_alone():
    places = sampling.order(33, 0, 0)
    cut = list(sampling.batches(places, 8))
    assert [len(part) for _, part in cut] == [8, 8, 8, 9]
    assert [first for first, _ in cut] == [0, 8, 16, 24]
    assert np.array_equal(np.concatenate([part for _, part in cut]), places)
    assert [len(part) for _, part in sampling.batches(places[:1], 8)] == [1]
    assert list(sampling.batches(places[:0], 8)) == []
    assert sampling.balanced(STRATA[:0], 0, 0).tolist() == []
