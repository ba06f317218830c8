"""Who and what must stay together: cases of one patient, lesion or study, and copies of one picture."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from medloop.types import Case, Integers


class Copy(Protocol):
    """Two pictures that are the same: positions ``a`` and ``b``, ``kind`` exact or near (`medloop.dataset.duplicates.Pair`)."""

    @property
    def a(self) -> int: ...  # noqa: D102

    @property
    def b(self) -> int: ...  # noqa: D102

    @property
    def kind(self) -> str: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Link:
    """Cases ``a`` and ``b`` (positions) belong together; ``kind`` is patient, exact or near."""

    a: int
    b: int
    kind: str


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """``groups`` and ``patients``: ``(N,)`` int64, numbered by first appearance. ``links``: why cases belong together."""

    groups: Integers
    patients: Integers
    links: tuple[Link, ...]
    notes: tuple[str, ...] = ()

    def select(self, rows: Integers) -> Groups:
        """The numbers of these cases, with the links of all."""
        return Groups(self.groups[rows], self.patients[rows], self.links, self.notes)


def numbered(keys: Iterable[Hashable]) -> NDArray[np.int64]:
    """``(N,)``: equal keys get equal numbers, counted by first appearance."""
    seen: dict[Hashable, int] = {}
    return np.array([seen.setdefault(key, len(seen)) for key in keys], dtype=np.int64)


def joined(count: int, edges: Iterable[tuple[int, int]]) -> NDArray[np.int64]:
    """``(count,)``: the connected component of each position, counted by first appearance."""
    ends = np.array(list(edges), dtype=np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(ends), dtype=np.int8), (ends[:, 0], ends[:, 1])), shape=(count, count))
    _, parts = connected_components(graph, directed=False)
    return numbered(parts.tolist())


def group(cases: Sequence[Case], copies: Sequence[Link]) -> Groups:
    """Group the cases by patient, by the given group, with the study before and by copies (transitively).

    A case whose patient is not known counts as a patient of its own, together with the cases of its group.
    When every case bears one and the same patient although the given groups differ, the patient field says nothing and is not used.
    """
    patients: list[str | None] = [case.patient for case in cases]
    notes: list[str] = []
    if len(cases) > 1 and len(set(patients)) == 1 and len({case.group for case in cases}) > 1 and patients[0] is not None:
        patients = [None] * len(cases)
        notes.append("Every image bears the same patient ID; the groups given were used instead.")
    links = [*_same(patients), *_same([case.group for case in cases]), *_after(cases), *copies]
    groups = joined(len(cases), ((link.a, link.b) for link in links))
    known = [patient if patient is not None else number for patient, number in zip(patients, groups.tolist(), strict=True)]
    return Groups(groups, numbered(known), tuple(dict.fromkeys(links)), tuple(notes))


def _after(cases: Sequence[Case]) -> list[Link]:
    """Link each case to that of the same patient's study before it."""
    if not any(case.prior for case in cases):
        return []
    places = {case.name: position for position, case in enumerate(cases)}
    found = [(places[case.prior], position) for position, case in enumerate(cases) if case.prior in places]
    return [Link(min(pair), max(pair), "patient") for pair in found]


def _same(keys: Sequence[str | None]) -> list[Link]:
    """Link each case to the first one with the same key."""
    first: dict[str, int] = {}
    links = []
    for position, key in enumerate(keys):
        if key is not None and first.setdefault(key, position) != position:
            links.append(Link(first[key], position, "patient"))
    return links
