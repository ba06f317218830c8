"""Answers matched with what is there: who takes which finding, which findings are hit, and how far off the answers are.

A finding is hit where the centre of an answer of its class lies inside it, or the two overlap by half.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medloop.evaluation.rectangles import Boxes, centred, centres, overlaps
from medloop.types import Floats, Integers

OVERLAPS = np.linspace(0.5, 0.95, 10)
MOST = 100
"""Answers of one class in a case that count, as COCO."""
_HALF = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Answered:
    """N cases: what is there, what was answered, whose they are ``(N,)``, and ``(N, 3)`` mm a voxel, NaN or None where unknown."""

    truth: Sequence[Boxes]
    found: Sequence[Boxes]
    patients: Integers
    spacing_mm: Floats | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Ranked:
    """The D answers of one class in all cases, best first.

    ``case`` and ``scores``: ``(D,)``. ``right``: ``(T, D)``, whether it takes a finding at each of `OVERLAPS`. ``hit``: ``(D,)``,
    the number of the finding that it is the first to hit, else -1. ``false``: ``(D,)``, it hits none. ``findings``: ``(N,)``, how
    many there are in each case.
    """

    case: Integers
    scores: Floats
    right: NDArray[np.bool_]
    hit: Integers
    false: NDArray[np.bool_]
    findings: Integers


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Findings and the answers that hit them: ``case``, ``classes``, ``distance`` of the centres, and the diameters, all ``(P,)``.

    ``unit``: ``mm``, or ``px`` where no case has a known spacing; otherwise cases without one are left out.
    """

    case: Integers
    classes: Integers
    distance: Floats
    diameter: Floats
    diameter_found: Floats
    unit: str


def ranked(answered: Answered, number: int) -> Ranked:
    """The answers of class ``number``, matched with what is there."""
    parts = []
    for case, (truth, found) in enumerate(zip(answered.truth, answered.found, strict=True)):
        there = truth.edges[truth.classes == number]
        mine = _of(found, number)
        shared = overlaps(mine.edges, there)
        hit, false = _hits(shared, centred(mine.edges, there) | (shared >= _HALF))
        parts.append((np.full(len(mine), case), mine.scores, _taken(shared), hit, false, len(there)))
    case, scores, right, hit, false, findings = zip(*parts, strict=True)
    order = np.argsort(-np.concatenate(scores), kind="stable")
    return Ranked(
        case=np.concatenate(case)[order],
        scores=np.concatenate(scores)[order],
        right=np.concatenate(right, axis=1)[:, order],
        hit=np.concatenate(hit)[order],
        false=np.concatenate(false)[order],
        findings=np.asarray(findings, np.int64),
    )


def _taken(shared: Floats) -> NDArray[np.bool_]:
    """``(D, G)`` overlaps, best answer first, to ``(T, D)``: which answers take a finding of their own, as COCO matches."""
    steps, count = len(OVERLAPS), shared.shape[1]
    right = np.zeros((steps, len(shared)), bool)
    if not count:
        return right
    free, rows = np.ones((steps, count), bool), np.arange(steps)
    for place, row in enumerate(shared):
        open_to = np.where(free & (row >= OVERLAPS[:, None]), row, -1.0)
        best = count - 1 - open_to[:, ::-1].argmax(axis=1)  # of equal ones the last, as COCO
        won = open_to[rows, best] > 0
        right[won, place] = True
        free[rows[won], best[won]] = False
    return right


def _hits(shared: Floats, hits: NDArray[np.bool_]) -> tuple[Integers, NDArray[np.bool_]]:
    """The finding that each answer is the first to hit, -1 for none, and which answers hit nothing at all."""
    first = np.full(len(shared), -1, np.int64)
    free = np.ones(shared.shape[1], bool)
    for place in np.flatnonzero(hits.any(axis=1)):
        open_to = np.flatnonzero(hits[place] & free)
        if len(open_to):
            first[place] = open_to[shared[place, open_to].argmax()]
            free[first[place]] = False
    return first, np.asarray(~hits.any(axis=1))


def _of(found: Boxes, number: int) -> Boxes:
    """The `MOST` best answers of a class, best first."""
    mine = found.select(np.flatnonzero(found.classes == number)).ranked()
    return mine.select(np.arange(min(MOST, len(mine))))


def pairs(answered: Answered, ranks: Sequence[Ranked], shown: Sequence[float] = ()) -> Pairs:
    """Findings with the answers that hit them first, of those that are shown."""
    least = shown or (0.0,) * len(ranks)
    rows = [row for k, each in enumerate(ranks) for row in _rows(answered, each, k, least[k])]
    case = np.asarray([row[0] for row in rows], np.int64)
    classes = np.asarray([row[1] for row in rows], np.int64)
    there = np.asarray([row[2] for row in rows]).reshape(-1, 6)
    found = np.asarray([row[3] for row in rows]).reshape(-1, 6)
    scale, unit = _scale(answered)
    known = np.isfinite(scale[case]).all(axis=1)
    case, classes, there, found = case[known], classes[known], there[known], found[known]
    apart = np.sqrt((((centres(found) - centres(there)) * scale[case]) ** 2).sum(axis=1))
    return Pairs(case, classes, apart, _diameters(there, scale[case]), _diameters(found, scale[case]), unit)


def _rows(answered: Answered, ranks: Ranked, number: int, least: float) -> Iterator[tuple[int, int, Floats, Floats]]:
    """Case, class, and the edges of finding and answer for each hit."""
    for case in np.unique(ranks.case):
        truth, found = answered.truth[case], answered.found[case]
        there = truth.edges[truth.classes == number]
        mine = _of(found, number)
        for place, hit in enumerate(ranks.hit[ranks.case == case]):
            if hit >= 0 and mine.scores[place] >= least:
                yield int(case), number, there[hit], mine.edges[place]


def _scale(answered: Answered) -> tuple[Floats, str]:
    """``(N, 3)`` mm a voxel, or of ones. In collections of flat pictures z has no length."""
    every = np.concatenate([each.edges for each in (*answered.truth, *answered.found)])
    count = len(answered.truth)
    known = answered.spacing_mm is not None and bool(np.isfinite(answered.spacing_mm[:, 1:]).any())
    scale = np.array(answered.spacing_mm, np.float64) if known else np.ones((count, 3))
    if (every[:, 0] == 0).all() and (every[:, 3] == 1).all():
        scale[:, 0] = 0
    return scale, "mm" if known else "px"


def _diameters(edges: Floats, scale: Floats) -> Floats:
    return np.asarray(((edges[:, 3:] - edges[:, :3]) * scale).max(axis=1, initial=0.0))
