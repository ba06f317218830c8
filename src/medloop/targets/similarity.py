"""Similarity: an embedding in which cases of one diagnosis lie together, and the confirmed cases nearest to a new one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medloop.evaluation import intervals, weighted
from medloop.types import Array, Floats, Integers, Metric

KIND = None
AT = (1, 5, 10)
"""How many nearest cases precision is told of."""
_BLOCK = 8_000_000
_ALONE = "no case here has another group's case to be near to"


@dataclass(frozen=True, slots=True, eq=False)
class Nearest:
    """Of M cases the k nearest of the memory, nearest first: their ``rows`` ``(M, k)``, -1 where there are no more, and the cosine
    of the angle to them, ``cosines`` ``(M, k)``, NaN there."""

    rows: Integers
    cosines: Floats


def decode(
    embedding: Floats, memory: Floats, k: int = 5, groups: Integers | None = None, memory_groups: Integers | None = None
) -> Nearest:
    """The nearest cases by cosine of ``embedding`` ``(M, E)`` among ``memory`` ``(N, E)``; of equal ones the first.

    Cases with equal numbers in ``groups`` ``(M,)`` and ``memory_groups`` ``(N,)`` (one patient, copies) are never shown to each
    other.
    """
    here, there, count = _unit(embedding), _unit(memory), min(k, len(memory))
    rows, cosines = np.full((len(here), k), -1, np.int64), np.full((len(here), k), np.nan)
    step = max(1, _BLOCK // max(1, len(there)))
    for start in range(0, len(here), step):
        part = slice(start, start + step)
        near = here[part] @ there.T
        if groups is not None and memory_groups is not None:
            near[groups[part, None] == memory_groups[None]] = -np.inf
        order = np.argsort(-near, axis=1, kind="stable")[:, :count]
        found = np.take_along_axis(near, order, axis=1)
        rows[part, :count] = np.where(np.isfinite(found), order, -1)
        cosines[part, :count] = np.where(np.isfinite(found), found, np.nan)
    return Nearest(rows, cosines)


def precision(nearest: Nearest, values: Integers, memory_values: Integers) -> Floats:
    """``(M, k)``: the share of the first 1, 2, ... k nearest that have the case's own class; NaN where there are none."""
    there = nearest.rows >= 0
    same = there & (np.append(memory_values, -1)[nearest.rows] == values[:, None])
    return weighted.divided(np.cumsum(same, axis=1), np.cumsum(there, axis=1))


def metrics(embedding: Floats, values: Integers, groups: Integers, patients: Integers, seed: int = 0) -> dict[str, Metric]:
    """``precision_at_1``, ``precision_at_5``, ``precision_at_10``: each of N cases looked up among those of other groups.

    ``embedding``: ``(N, E)``. ``values``: ``(N,)`` classes. The cases looked up are resampled, those they are looked up among stay.
    """
    shares = precision(decode(embedding, embedding, max(AT), groups, groups), values, values)
    known = np.isfinite(shares[:, 0])
    parts = {f"precision_at_{k}": weighted.within(known, weighted.mean(shares[known, k - 1])) for k in AT}
    return intervals.bootstrap(parts, patients, seed, dict.fromkeys(parts, _ALONE))


def picture(pictures: Sequence[Array], gap: int = 4) -> NDArray[np.uint8]:
    """A case and its nearest ones side by side: ``(Y, X, 3)`` uint8 each, on white, at the top where they differ in height."""
    height = max(len(each) for each in pictures)
    sheet = np.full((height, sum(each.shape[1] + gap for each in pictures) - gap, 3), 255, np.uint8)
    left = 0
    for each in pictures:
        sheet[: len(each), left : left + each.shape[1]] = each
        left += each.shape[1] + gap
    return sheet


def _unit(embedding: Floats) -> Floats:
    """Rows of length 1 (0 stays 0)."""
    values = np.asarray(embedding, np.float64)
    return np.asarray(values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12))
