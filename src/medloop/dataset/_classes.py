"""Label values as arrays, and the classes that cannot be learnt."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from medloop.types import Array, Integers, LabelValue, Target, TargetKind

UNSAID = ""
"""The value of a label that does not say what the class is."""
FEWEST = 2
"""A class needs this many patients: one to learn from and one to judge by."""


def encode(target: Target, labels: Sequence[LabelValue]) -> Array:
    """``(N,)`` int64 class indices, ``(N, K)`` float32 with NaN for unknown (multi-label), or ``(N,)`` float64 (number).

    An empty label is not known: -1, or NaN. Of a structured target the values are zeros.
    """
    if target.kind.structured:
        return np.zeros(len(labels), dtype=np.int64)
    if target.kind is TargetKind.NUMBER:
        return np.array([np.nan if label == UNSAID else float(label) for label in labels if not isinstance(label, tuple)])
    place = {name: index for index, name in enumerate(target.classes)}
    if target.kind is not TargetKind.MULTILABEL:
        return np.array([-1 if label == UNSAID else place[label] for label in labels if isinstance(label, str)], dtype=np.int64)
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


def without(target: Target, values: Array, classes: Collection[str]) -> tuple[Target, Array]:
    """Target and values without these classes, whose cases become unknown. Multi-class with two left becomes binary."""
    if target.kind is TargetKind.NUMBER or target.kind.structured:
        return target, values
    stay = [index for index, name in enumerate(target.classes) if name not in classes]
    names = tuple(target.classes[index] for index in stay)
    if target.kind is TargetKind.MULTILABEL:
        return Target(target.kind, names, target.name, target.unit), values[:, stay]
    place = np.full(len(target.classes) + 1, -1, dtype=np.int64)
    place[stay] = np.arange(len(stay))
    kind = TargetKind.BINARY if len(names) == 2 else TargetKind.MULTICLASS
    return Target(kind, names, target.name, target.unit), place[values]


def forgotten(target: Target, values: Array, rows: NDArray[np.bool_]) -> Array:
    """The values with those of ``rows`` ``(N,)`` unknown."""
    unknown = -1 if target.kind in (TargetKind.BINARY, TargetKind.MULTICLASS) else np.nan
    return np.where(rows.reshape(-1, *[1] * (values.ndim - 1)), np.asarray(unknown, dtype=values.dtype), values)
