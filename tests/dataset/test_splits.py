"""Splits and folds: groups whole, classes balanced, equal for equal input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medloop.dataset._balance import strata
from medloop.dataset.splits import SHARES, deal, folds, part_of
from medloop.errors import InputError
from medloop.types import Case, Dataset, Target, TargetKind


def dataset_of(values: np.ndarray, groups: np.ndarray, kind: TargetKind = TargetKind.MULTICLASS, classes: int = 3) -> Dataset:
    count = len(values)
    return Dataset(
        cases=tuple(Case(f"{n:04}", ()) for n in range(count)),
        target=Target(kind, tuple("abcdefgh"[:classes])),
        values=values,
        groups=groups,
        patients=groups,
        split=np.full(count, "train"),
        fingerprint="",
    )


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Classes and groups of up to 80 cases."""
    count = draw(st.integers(4, 80))
    values = draw(st.lists(st.integers(0, 2), min_size=count, max_size=count))
    groups = draw(st.lists(st.integers(0, count // 2), min_size=count, max_size=count))
    return np.array(values), np.array(groups)


@given(cases(), st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_no_group_ever_crosses_a_split_or_a_fold(drawn: tuple[np.ndarray, np.ndarray], seed: int) -> None:
    values, groups = drawn
    names = [f"{n:04}" for n in range(len(values))]
    balance = strata(TargetKind.MULTICLASS, values, 3)
    parts = deal(balance, groups, names, SHARES, seed, (0, 2))
    count = len(np.unique(groups))
    k = min(5, count)
    fold = folds(dataset_of(values, groups), k, seed) if k > 1 else parts
    for number in np.unique(groups):
        assert len(np.unique(parts[groups == number])) == 1
        assert len(np.unique(fold[groups == number])) == 1
    if k > 1:
        assert len(np.unique(fold)) == k


@given(cases(), st.integers(0, 5))
@settings(max_examples=30, deadline=None)
def test_the_order_of_cases_changes_nothing(drawn: tuple[np.ndarray, np.ndarray], seed: int) -> None:
    values, groups = drawn
    names = np.array([f"{n:04}" for n in range(len(values))])
    order = np.random.default_rng(seed).permutation(len(values))
    parts = deal(strata(TargetKind.MULTICLASS, values, 3), groups, names.tolist(), SHARES, seed, (0, 2))
    again = deal(strata(TargetKind.MULTICLASS, values[order], 3), groups[order], names[order].tolist(), SHARES, seed, (0, 2))
    assert (parts[order] == again).all()


@pytest.mark.parametrize("seed", range(5))
def test_shares_and_classes_are_balanced_with_patients_of_many_sizes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(300), rng.integers(1, 9, 300))
    values = np.where(rng.random(300) < 0.1, 2, rng.integers(0, 2, 300))[groups]
    parts = deal(strata(TargetKind.MULTICLASS, values, 3), groups, [f"{n:05}" for n in range(len(groups))], SHARES, seed, (0, 2))
    for part, share in enumerate(SHARES):
        assert abs((parts == part).mean() - share) < 0.02
        for name in range(3):
            assert abs((parts[values == name] == part).mean() - share) < 0.06


def test_small_groups_of_one_size_do_not_change_places_with_the_order_of_cases() -> None:
    rng = np.random.default_rng(0)
    for _ in range(150):
        count = int(rng.integers(4, 81))
        values, groups = rng.integers(0, 3, count), rng.integers(0, count // 2 + 1, count)
        names, order = np.array([f"{n:04}" for n in range(count)]), rng.permutation(count)
        balance = strata(TargetKind.MULTICLASS, values, 3)
        parts = deal(balance, groups, names.tolist(), SHARES, 1, (0, 2))
        again = deal(balance[order], groups[order], names[order].tolist(), SHARES, 1, (0, 2))
        assert np.array_equal(parts[order], again)


def test_a_class_of_two_patients_is_learnt_from_and_judged_by() -> None:
    values = np.array([0] * 30 + [1] * 30 + [2] * 2)
    for seed in range(10):
        parts = deal(strata(TargetKind.MULTICLASS, values, 3), np.arange(62), [str(n) for n in range(62)], SHARES, seed, (0, 2))
        assert sorted(parts[60:]) == [0, 2]


def test_every_fold_has_every_class_that_has_enough_patients() -> None:
    values = np.array([0] * 90 + [1] * 5 + [2] * 30)
    fold = folds(dataset_of(values, np.arange(125)), 5, 3)
    for number in range(5):
        assert set(values[fold == number]) == {0, 1, 2}
        assert abs((fold == number).sum() - 25) <= 1


def test_numbers_are_balanced_by_quantile() -> None:
    values = np.random.default_rng(0).exponential(1, 400)
    fold = folds(dataset_of(values, np.arange(400), TargetKind.NUMBER, 0), 4, 0)
    means = [values[fold == number].mean() for number in range(4)]
    assert max(means) - min(means) < 0.25 * np.mean(means)


def test_multi_label_positives_are_balanced_and_unknown_ones_count_for_nothing() -> None:
    rng = np.random.default_rng(1)
    values = (rng.random((300, 3)) < [0.5, 0.1, 0.05]).astype(np.float32)
    values[rng.random((300, 3)) < 0.1] = np.nan
    fold = folds(dataset_of(values, np.arange(300), TargetKind.MULTILABEL), 5, 0)
    for column in range(3):
        each = [np.nansum(values[fold == number, column]) for number in range(5)]
        assert max(each) - min(each) <= 2


def test_folds_leave_the_test_split_alone_and_can_be_made_of_a_part() -> None:
    data = dataset_of(np.array([0, 1, 2] * 10), np.arange(30))
    data = replace(data, split=np.array(["train"] * 20 + ["val"] * 4 + ["test"] * 6))
    assert (folds(data, 3)[24:] == -1).all()
    assert (folds(data, 3)[:24] >= 0).all()
    inner = folds(data, 2, indices=np.arange(6))
    assert (inner[6:] == -1).all()


def test_seeds_make_other_folds_and_equal_seeds_equal_ones() -> None:
    data = dataset_of(np.array([0, 1, 2] * 20), np.arange(60))
    assert (folds(data, 5, 1) == folds(data, 5, 1)).all()
    assert (folds(data, 5, 1) != folds(data, 5, 2)).any()


@pytest.mark.parametrize("k", [0, 1, 7])
def test_more_folds_than_groups_is_an_error(k: int) -> None:
    with pytest.raises(InputError, match="folds") as caught:
        folds(dataset_of(np.array([0, 1] * 6), np.repeat(np.arange(6), 2)), k)
    assert "2 to 6" in caught.value.allowed


def test_a_part_is_drawn_by_group_and_stratified() -> None:
    groups = np.repeat(np.arange(100), 2)
    values = np.repeat(np.arange(100) % 2, 2)
    names = [f"{n:04}" for n in range(200)]
    part = part_of(strata(TargetKind.BINARY, values, 2), groups, names, 0.2, 0)
    assert part.sum() == 40
    assert values[part].mean() == 0.5
    assert part_of(strata(TargetKind.BINARY, values, 2), groups, names, 1.0, 0).all()
    assert part_of(strata(TargetKind.BINARY, values, 2), groups, names, 0.001, 0).any()
