"""Values of mask files and what they mean, both ways; what nobody has named is unknown."""

from __future__ import annotations

import numpy as np
import pytest

from medloop.loop import _structured, _truth
from medloop.types import UNKNOWN, Target, TargetKind, Truth

CELL = Target(TargetKind.MASKS, ("rim", "core"), name="masks")


def truth(lookup: tuple[tuple[int, int], ...]) -> Truth:
    return Truth(CELL, np.ones(1, bool), masks=(None,), lookup=lookup)


def test_a_value_that_nobody_has_named_is_unknown() -> None:
    found = _truth.labelled(np.array([[[0, 128, 255, 7]]]), ((0, 0), (128, 1), (255, 2)))
    assert found.tolist() == [[[0, 1, 2, UNKNOWN]]]
    assert found.dtype == np.uint8


def test_values_come_back_the_lowest_of_each_meaning() -> None:
    assert _truth.values_of(truth(((255, 2), (0, 0), (128, 1), (130, 1), (9, UNKNOWN)))) == [0, 128, 255]
    assert _truth.values_of(truth(((128, 1), (255, 2)))) is None
    assert _truth.values_of(Truth(Target(TargetKind.BOXES, ("a",)), np.ones(1, bool))) is None


def test_of_a_case_without_a_mask_nothing_is_known() -> None:
    assert _truth.truth_of(truth(((0, 0),)), 0, "a") is None


def test_measures_that_are_not_known_are_left_out() -> None:
    sizes = Target(TargetKind.MEASURES, ("area", "depth"))
    given = Truth(sizes, np.ones(1, bool), numbers=np.array([[2.0, np.nan]]))
    found = _truth.truth_of(given, 0, "a")
    assert found is not None
    assert found.measures == {"area": 2.0}


@pytest.mark.parametrize("count", [0, 2, 3, 7, 40])
def test_the_worst_the_middle_and_the_best_are_shown_and_none_twice(count: int) -> None:
    merits = np.random.default_rng(1).permutation(np.linspace(0.1, 0.9, count)) if count else np.zeros(0)
    groups = _structured._chosen(np.append(merits, np.nan))
    shown = [at for group in groups for at in group]
    assert len(shown) == len(set(shown)) <= 12
    assert all(np.isfinite(merits[at]) for at in shown)
    if count >= 3:
        assert merits[groups[0][0]] == merits.min()
        assert merits[groups[2][0]] == merits.max()
