"""Label values as arrays, and the classes that cannot be learnt."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from medloop.types import Array, Integers, LabelValue, Target, TargetKind

FEWEST = 2
"""A class needs this many patients: one to learn from and one to judge by."""


def encode(target: Target, labels: Sequence[LabelValue]) -> Array:
    """``(N,)`` int64 class indices, ``(N, K)`` float32 with NaN for unknown (multi-label), or ``(N,)`` float64 (number)."""
    if target.kind is TargetKind.NUMBER:
        return np.array([float(label) for label in labels if not isinstance(label, tuple)], dtype=np.float64)
    place = {name: index for index, name in enumerate(target.classes)}
    if target.kind is not TargetKind.MULTILABEL:
        return np.array([place[label] for label in labels if isinstance(label, str)], dtype=np.int64)
    values = np.full((len(labels), len(place)), np.nan, dtype=np.float32)
    for row, label in enumerate(labels):
        for name, value in label if isinstance(label, tuple) else ():
            values[row, place[name]] = np.nan if value is None else value
    return values


def rare(target: Target, values: Array, patients: Integers, learnt_from: NDArray[np.bool_]) -> dict[str, str]:
    """Classes to leave out, with the reason: fewer than two patients, no case outside the given test split, or (multi-label) no
    negative.

    ``learnt_from``: ``(N,)``, False for cases that the data's own layout puts into the test split.
    """
    reasons = {}
    for index, name in enumerate(target.classes):
        column = values[:, index] == 1 if target.kind is TargetKind.MULTILABEL else values == index
        people = len(np.unique(patients[column]))
        if people == 0:
            reasons[name] = "no case has it"
        elif people < FEWEST:
            reasons[name] = f"only one patient has it ({_cases(int(column.sum()))}), {FEWEST} are needed"
        elif not (column & learnt_from).any():
            reasons[name] = "it occurs in the test split only"
        elif target.kind is TargetKind.MULTILABEL and len(np.unique(patients[values[:, index] == 0])) < FEWEST:
            reasons[name] = "hardly any case is known not to have it"
    return reasons


def _cases(count: int) -> str:
    return "1 case" if count == 1 else f"{count} cases"


def without(target: Target, values: Array, classes: Collection[str]) -> tuple[Target, Array, NDArray[np.int64]]:
    """Target and values without these classes, and the positions of the cases that remain. Multi-class with two left becomes
    binary.
    """
    if target.kind is TargetKind.NUMBER:
        return target, values, np.arange(len(values))
    stay = [index for index, name in enumerate(target.classes) if name not in classes]
    names = tuple(target.classes[index] for index in stay)
    if target.kind is TargetKind.MULTILABEL:
        values = values[:, stay]
        kept = np.flatnonzero(~np.isnan(values).all(axis=1)) if stay else np.arange(len(values))
        return Target(target.kind, names, target.name, target.unit), values[kept], kept
    place = np.full(len(target.classes), -1, dtype=np.int64)
    place[stay] = np.arange(len(stay))
    kept = np.flatnonzero(place[values] >= 0)
    kind = TargetKind.BINARY if len(names) == 2 else TargetKind.MULTICLASS
    return Target(kind, names, target.name, target.unit), place[values[kept]], kept
