"""Pictures that look like nothing learnt from are seen, and few that do are accused."""

from __future__ import annotations

import numpy as np
import pytest

from medloop.dataset.appearance import Appearance
from medloop.loop import _unlike
from medloop.loop._unlike import Usual, nearest

COLUMNS = 28


def looks(count: int, seed: int, far: float = 0.0) -> Appearance:
    """Two kinds of pictures, as different from each other as two views of a chest."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 2, (count, 1))
    rows = rng.normal(size=(count, 6)) @ np.random.default_rng(0).normal(size=(6, COLUMNS)) + 8 * kind
    return Appearance(
        (rows + rng.normal(0, 0.3, rows.shape) + far * np.random.default_rng(1).normal(size=COLUMNS)).astype(np.float32)
    )


def test_few_like_those_learnt_from_are_accused_and_all_others() -> None:
    usual = Usual.of(looks(400, 3))
    assert (usual.unlikeness(looks(400, 4)) > 1).mean() <= 0.02
    assert (usual.unlikeness(looks(400, 5, far=15)) > 1).mean() > 0.95


def test_what_lies_between_two_kinds_is_unlike_both() -> None:
    usual = Usual.of(looks(400, 3))
    between = Appearance(np.full((1, COLUMNS), 4.0, np.float32))
    assert usual.unlikeness(between)[0] > 0.8 * usual.unlikeness(looks(400, 4)).max()


def test_without_neighbours_nothing_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_unlike, "_SLACK", 1e6)
    assert not (Usual.of(looks(400, 3)).unlikeness(looks(50, 5, far=15)) > 1).any()


def test_too_little_says_nothing() -> None:
    assert Usual.of(None) is None
    assert Usual.of(looks(_unlike.FEWEST - 1, 1)) is None


def test_columns_that_never_change_do_no_harm() -> None:
    same = Appearance(np.ones((50, COLUMNS), np.float32))
    assert Usual.of(same).unlikeness(same).max() <= 1
    other = Appearance(np.ones((1, COLUMNS), np.float32) * 3)
    assert Usual.of(same).unlikeness(other)[0] > 1


def test_the_nearest_come_first() -> None:
    others = np.array([[0.0, 0.0], [1.0, 0.0], [5.0, 5.0]])
    rows, far = nearest(np.array([[0.9, 0.0]]), others, 5)
    assert rows.tolist() == [[1, 0, 2]]
    assert (np.diff(far) > 0).all()
    assert nearest(np.zeros((2, 2)), np.zeros((0, 2)), 3)[0].shape == (2, 0)
