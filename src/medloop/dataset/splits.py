"""Deal groups into splits or folds so that classes are balanced and no group is cut.

Greedy dealing after iterative stratification (Sechidis, Tsoumakas and Vlahavas, ECML 2011) with whole groups: rare classes and
large groups first, each to the part that it brings nearest to its share.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from medloop.dataset._balance import Balance, balance_of
from medloop.dataset.groups import numbered
from medloop.errors import InputError
from medloop.types import Dataset, Floats, Integers, Split

SHARES = (0.7, 0.1, 0.2)
"""Training, validation, test where the data give no split."""
PARTS = (Split.TRAIN.value, Split.VAL.value, Split.TEST.value)


def deal(
    balance: Floats, groups: Integers, names: Sequence[str], shares: Sequence[float], seed: int, first: Sequence[int]
) -> NDArray[np.int64]:
    """``(N,)``: the part of each case; cases of one group share it, and every stratum appears in each part where it can.

    ``balance``: ``(N, S)``, how much of each stratum a case brings. ``shares``: of the parts, summing to one. ``first``: the parts
    in which a rare class must appear, the most important first; the other parts get one only when the class has enough groups.
    Equal for equal input in any order of cases.
    """
    members, keys = _by_name(numbered(groups.tolist()), names)
    count = len(keys)
    weight = np.zeros((count, balance.shape[1] + 1))
    np.add.at(weight, members, np.column_stack([balance, np.ones(len(balance))]))
    parts = _greedy(weight, _order(weight, seed), np.asarray(shares, dtype=np.float64))
    for part in [*first, *(part for part in range(len(shares)) if part not in first)]:
        _fill(weight[:, :-1] > 0, weight[:, -1], parts, part, keep=1 if part in first else 2)
    return parts[members]


def deal_in_turn(
    balance: Balance, groups: Integers, names: Sequence[str], shares: Sequence[float], seed: int, first: Sequence[int]
) -> NDArray[np.int64]:
    """As `deal`, those known first; the others go with their group, or are dealt by themselves afterwards."""
    known = balance.known
    if not known.any() or known.all():
        return deal(balance.main if known.any() else balance.rest, groups, names, shares, seed, first)
    answer = np.full(len(groups), -1, dtype=np.int64)
    answer[known] = deal(balance.main[known], groups[known], _chosen(names, known), shares, seed, first)
    place = dict(zip(groups[known].tolist(), answer[known].tolist(), strict=True))
    answer[~known] = [place.get(number, -1) for number in groups[~known].tolist()]
    left = answer < 0
    if left.any():
        answer[left] = deal(balance.rest[left], groups[left], _chosen(names, left), shares, seed, first)
    return answer


def _chosen(names: Sequence[str], which: NDArray[np.bool_]) -> list[str]:
    return [names[index] for index in np.flatnonzero(which).tolist()]


def _by_name(members: Integers, names: Sequence[str]) -> tuple[NDArray[np.int64], list[str]]:
    """``(N,)`` groups numbered by their names, and the names: the smallest of their cases', whatever the order of cases."""
    keys: dict[int, str] = {}
    for member, name in zip(members.tolist(), names, strict=True):
        keys[member] = min(keys.get(member, name), name)
    order = sorted(keys, key=lambda member: keys[member])
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    return place[members], [keys[member] for member in order]


def _order(weight: Floats, seed: int) -> NDArray[np.int64]:
    """Groups with the rarest class first, then the largest, otherwise at random by the seed."""
    chance = np.random.default_rng(seed).random(len(weight))
    patients = (weight > 0).sum(axis=0).astype(np.float64)
    rarest = np.where(weight > 0, patients, np.inf).min(axis=1) if len(weight) else chance
    return np.lexsort((chance, -weight[:, -1], rarest))


def _greedy(weight: Floats, order: Integers, shares: Floats) -> NDArray[np.int64]:
    """Each group to the part whose relative fill it brings nearest to even."""
    total = weight.sum(axis=0)
    scale = np.divide(1.0, total, out=np.zeros_like(total), where=total > 0)
    held = np.zeros((len(shares), weight.shape[1]))
    parts = np.zeros(len(weight), dtype=np.int64)
    for member in order:
        adds = weight[member] * scale
        cost = ((2 * held / shares[:, None] - 2) * adds).sum(axis=1) + (adds**2).sum() / shares
        best = int(np.argmin(cost))
        parts[member] = best
        held[best] += adds
    return parts


def _fill(has: NDArray[np.bool_], size: Floats, parts: Integers, part: int, *, keep: int) -> None:
    """Move the smallest suitable group into ``part`` for each class that is missing there. Changes ``parts``.

    ``has``: ``(G, S)``. A part gives a group away only when ``keep`` groups of each of the group's classes stay.
    """
    for column in np.argsort(has.sum(axis=0), kind="stable"):
        if has[parts == part, column].any():
            continue
        holders = np.flatnonzero(has[:, column])
        for member in holders[np.argsort(size[holders], kind="stable")]:
            left = has[(parts == parts[member])][:, has[member]].sum(axis=0) - 1
            if (left >= keep).all():
                parts[member] = part
                break


def folds(dataset: Dataset, k: int, seed: int = 0, indices: Integers | None = None) -> NDArray[np.int64]:
    """``(N,)``: the fold (0 to k-1) of each case named in ``indices``, -1 elsewhere. Groups are never cut, classes are balanced.

    Without ``indices`` every case outside the test split takes part. Raises `InputError` when there are fewer groups than folds.
    """
    chosen = dataset.indices(Split.TRAIN, Split.VAL) if indices is None else np.asarray(indices)
    groups = dataset.groups[chosen]
    count = len(np.unique(groups))
    if k < 2 or k > count:
        raise InputError(
            "bad-folds",
            got=f"{k} folds of {len(chosen)} cases that form {count} groups (patients, or copies of one picture).",
            allowed=f"2 to {count} folds.",
            fix=f"Write --folds {max(2, min(5, count))}.",
        )
    balance = balance_of(dataset.target, dataset.values[chosen], [truth.select(chosen) for truth in dataset.further])
    answer = np.full(len(dataset.cases), -1, dtype=np.int64)
    names = [dataset.cases[index].name for index in chosen]
    answer[chosen] = deal_in_turn(balance, groups, names, [1 / k] * k, seed, range(k))
    return answer


def part_of(balance: Floats, groups: Integers, names: Sequence[str], share: float, seed: int) -> NDArray[np.bool_]:
    """``(N,)``: which cases belong to a drawn part of about ``share`` of the groups, stratified; never empty."""
    if share >= 1:
        return np.ones(len(groups), dtype=np.bool_)
    return np.asarray(deal(balance, groups, names, [share, 1 - share], seed, [0]) == 0)
