"""The split of a dataset: the given one, kept, mended and completed, or one of our own."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medloop.dataset._balance import Balance
from medloop.dataset.groups import Groups
from medloop.dataset.leaks import mend
from medloop.dataset.splits import PARTS, SHARES, deal_in_turn
from medloop.types import Integers, Split


@dataclass(frozen=True, slots=True, eq=False)
class Division:
    """``split``: ``(N,)`` of train, val, test, or an empty text for cases that the given split does not place. ``moved``: ``(N,)``,
    cases that went from validation to training. ``given``: the data's own layout was followed.
    """

    split: NDArray[np.str_]
    moved: NDArray[np.bool_]
    given: bool
    notes: tuple[str, ...]


def divide(
    given: Sequence[Split | None],
    balance: Balance,
    grouped: Groups,
    names: Sequence[str],
    seed: int,
    *,
    folds: bool,
    accept: Collection[str] = (),
) -> Division:
    """Keep and complete the given split, or make one: 70 % training, 10 % validation, 20 % test, by groups, stratified.

    With ``folds`` every case is in training, whatever split is given. Given training and test without validation: validation is
    taken from training. Given training and validation without test: the validation part becomes the test, and a new one is taken
    from training. ``accept``: kinds of leak into the test; with any, such a validation part is not mended before.
    """
    split = np.array([part.value if part else "" for part in given], dtype="<U5")
    present = {part for part in PARTS if (split == part).any()}
    if folds:
        return _pooled(len(split), divided=len(present) > 1)
    if Split.TRAIN not in present or len(present) < 2:
        return _own(balance, grouped.groups, names, seed)
    if Split.TEST not in present and accept:
        split[split == Split.VAL] = Split.TEST
    moved = mend(split, grouped.groups)
    split[moved] = Split.TRAIN
    notes = ["The split is the one given with the data."]
    if lost := int((split == "").sum()):
        notes.append(f"{lost} cases that the given split does not place are left out.")
    if count := int(moved.sum()):
        notes.append(f"{count} validation cases of patients or pictures that are in training too were moved to training.")
    if Split.TEST not in present:
        split[split == Split.VAL] = Split.TEST
        notes.append("The data give no test split: the given validation part is the test, and is scored once.")
    if not (split == Split.VAL).any():
        inside = np.flatnonzero(split == Split.TRAIN)
        split[inside] = _carved(balance.select(inside), grouped.groups[inside], [names[index] for index in inside.tolist()], seed)
        taken = "A validation part was taken from the training cases, by patient."
        notes.append(taken if (split == Split.VAL).any() else "The training cases are too few for a validation part.")
    return Division(split, moved, True, tuple(notes))


def _pooled(count: int, *, divided: bool) -> Division:
    """Every case to learn from and to judge by, out of fold."""
    split = np.full(count, Split.TRAIN.value, dtype="<U5")
    aside = " The split given with the data is not used." if divided else ""
    return Division(split, split == "", False, (f"Every case is judged out of fold, grouped by patient.{aside}",))


def _own(balance: Balance, groups: Integers, names: Sequence[str], seed: int) -> Division:
    split = np.array(PARTS, dtype="<U5")[deal_in_turn(balance, groups, names, SHARES, seed, (0, 2))]
    notes = ("No split is given: 70 % training, 10 % validation, 20 % test were drawn by patient, stratified.",)
    return Division(split, np.zeros(len(groups), dtype=np.bool_), False, notes)


def _carved(balance: Balance, groups: Integers, names: Sequence[str], seed: int) -> NDArray[np.str_]:
    share = SHARES[1] / (SHARES[0] + SHARES[1])
    return np.array(PARTS[:2], dtype="<U5")[deal_in_turn(balance, groups, names, [1 - share, share], seed, (0,))]
