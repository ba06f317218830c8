"""Folds inside the training cases: groups stay whole and classes are spread."""

from __future__ import annotations

import numpy as np

from medloop.errors import Refused
from medloop.types import Array, Integers, Target, TargetKind

FOLDS, MANY, FOLDS_OF_MANY = 5, 10_000, 3
_BANDS = 5


def folds(target: Target, values: Array, groups: Integers, seed: int, wanted: int | None = None) -> Integers:
    """``(n,)`` fold numbers: `FOLDS` of them (`FOLDS_OF_MANY` from `MANY` cases on), fewer where there are fewer groups.

    Groups are dealt out at random, those with the rarest class first, so that two groups of one class never share a fold while
    another has none. Raises `Refused` where a class has fewer than two groups: nothing could be held out.
    """
    refuse_few(target, values, groups)
    stratum = strata(target, values)
    names, member = np.unique(groups, return_inverse=True)
    sizes = np.bincount(stratum)
    rank = np.argsort(np.argsort(sizes, kind="stable"), kind="stable")
    rarest = np.full(len(names), len(sizes))
    np.minimum.at(rarest, member, rank[stratum])
    most = wanted or (FOLDS_OF_MANY if len(values) >= MANY else FOLDS)
    shuffled = np.random.default_rng(seed).permutation(len(names))
    dealt = shuffled[np.argsort(rarest[shuffled], kind="stable")]
    fold = np.empty(len(names), np.int64)
    fold[dealt] = np.arange(len(names)) % min(most, len(names))
    return np.asarray(fold[member])


def strata(target: Target, values: Array) -> Integers:
    """``(n,)`` what is to be spread evenly: the class, the rarest positive class of several labels, or the band of a number."""
    if target.kind is TargetKind.NUMBER:
        edges = np.quantile(values, np.linspace(0, 1, _BANDS + 1)[1:-1])
        return np.searchsorted(edges, values).astype(np.int64)
    if target.kind is not TargetKind.MULTILABEL:
        return np.asarray(values, np.int64)
    positive = np.asarray(values) == 1
    order = np.argsort(positive.sum(axis=0), kind="stable")
    found = positive[:, order]
    return np.where(found.any(axis=1), order[found.argmax(axis=1)] + 1, 0).astype(np.int64)


def refuse_few(target: Target, values: Array, groups: Integers) -> None:
    """Raises `Refused` where a class has fewer than two groups: nothing could be held out."""
    classes = target.kind in (TargetKind.BINARY, TargetKind.MULTICLASS)
    each = {name: len(np.unique(groups[values == place])) for place, name in enumerate(target.classes)} if classes else {}
    count = len(np.unique(groups))
    if count >= 2 and min(each.values(), default=2) >= 2:
        return
    rare = ", ".join(f"'{name}' has {count}" for name, count in each.items() if count < 2)
    raise Refused(
        "too-few-cases",
        got=f"{count} patients (or groups) to learn from" + (f"; {rare}." if rare else "."),
        allowed="At least two patients of every class: one must be held out while the other is learnt from.",
        fix="Add labelled cases, or leave the rarest class out.",
    )
