"""What is to be balanced between the parts of a split: classes where they are known, else what structured targets there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medloop.types import Array, Floats, Integers, Target, TargetKind, Truth

_BINS = 10


@dataclass(frozen=True, slots=True, eq=False)
class Balance:
    """Of N cases, ``known``: ``(N,)``, who is dealt first, by ``main`` ``(N, S)``; the others follow, by ``rest`` ``(N, R)``.

    So the split of cases with a class does not depend on whether masks are learnt too, and figures with and without them are of the
    same cases.
    """

    known: NDArray[np.bool_]
    main: Floats
    rest: Floats

    def select(self, rows: Integers) -> Balance:
        """That of these cases."""
        return Balance(self.known[rows], self.main[rows], self.rest[rows])


def balance_of(target: Target, values: Array, further: Sequence[Truth] = ()) -> Balance:
    """The balance of cases with these values and truths. A truth that is known of every case tells none from another."""
    known = known_of(target.kind, values)
    truths = [column for truth in further for column in _presence(truth)]
    rest = np.column_stack([*truths, np.ones(len(values))]).astype(np.float64)
    if target.kind.structured:
        return Balance(known, rest, rest)
    partly = [truth.known for truth in further if not truth.known[known].all()]
    return Balance(known, np.column_stack([strata(target.kind, values, len(target.classes)), *partly]).astype(np.float64), rest)


def known_of(kind: TargetKind, values: Array) -> NDArray[np.bool_]:
    """``(N,)``: whose value is known (`medloop.types.Dataset`)."""
    if kind.structured:
        return np.ones(len(values), dtype=np.bool_)
    if kind is TargetKind.MULTILABEL:
        return np.asarray(~np.isnan(values).all(axis=1)) if values.shape[1] else np.ones(len(values), dtype=np.bool_)
    return np.asarray(np.isfinite(values) if kind is TargetKind.NUMBER else values >= 0)


def strata(kind: TargetKind, values: Array, classes: int) -> Floats:
    """``(N, S)`` float64: what is to be balanced. Classes one-hot, known positives of a multi-label target, quantile bins of a
    number; nothing of an unknown value; one stratum of a structured target.
    """
    if kind.structured:
        return np.ones((len(values), 1))
    if kind is TargetKind.MULTILABEL:
        return np.asarray(np.nan_to_num(np.asarray(values, dtype=np.float64)))
    known = known_of(kind, values)
    if kind is TargetKind.NUMBER:
        bins = max(1, min(_BINS, int(known.sum()) // 10))
        edges = np.quantile(values[known], np.linspace(0, 1, bins + 1)[1:-1]) if bins > 1 else np.zeros(0)
        values, classes = np.searchsorted(edges, values, side="right"), bins
    return np.asarray(np.eye(classes)[np.where(known, values, 0).astype(np.int64)] * known[:, None])


def _presence(truth: Truth) -> list[NDArray[np.bool_]]:
    """Columns ``(N,)``: whose truth is known, and who has boxes of each class."""
    if truth.target.kind is not TargetKind.BOXES:
        return [truth.known]
    return [
        truth.known,
        *(
            np.array([bool((classes == number).any()) for classes in truth.box_classes])
            for number in range(len(truth.target.classes))
        ),
    ]
