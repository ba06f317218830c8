"""Answers matched with what is there, a case at a time: who takes which finding, which are hit, how far off the answers are.

A finding is hit where the centre of an answer of its class lies inside it, or the two overlap by half.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from medloop.evaluation.rectangles import Boxes, centred, centres, overlaps
from medloop.types import Floats, Integers, SpacingMm

OVERLAPS = np.linspace(0.5, 0.95, 10)
MOST = 100
"""Answers of one class in a case that count, as COCO."""
_HALF = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Matched:
    """One case: its D answers, class by class, best first, and how many findings of each class there are, ``(K,)``.

    ``classes``, ``scores``: ``(D,)``. ``right``: ``(T, D)``, whether it takes a finding at each of `OVERLAPS`. ``hit``: ``(D,)``,
    it is the first to hit a finding. ``false``: ``(D,)``, it hits none. ``off``: ``(D, 3)`` for those that hit, else NaN: the
    distance of the centres, the diameter there, the diameter answered (the longest edge), in mm, or in voxels where not ``in_mm``.
    """

    classes: Integers
    scores: Floats
    right: NDArray[np.bool_]
    hit: NDArray[np.bool_]
    false: NDArray[np.bool_]
    off: Floats
    findings: Integers
    in_mm: bool


def match(truth: Boxes, found: Boxes, classes: int, spacing_mm: SpacingMm | None = None) -> Matched:
    """Match the answers of one case, for each of ``classes`` apart. ``spacing_mm``: of a voxel."""
    scale = np.ones(3) if spacing_mm is None else np.asarray(spacing_mm, np.float64)
    parts = [_of_class(truth.of_class(number), _best(found.of_class(number)), scale) for number in range(classes)]
    return Matched(
        classes=np.concatenate([np.full(len(part.scores), number) for number, part in enumerate(parts)]),
        scores=np.concatenate([part.scores for part in parts]),
        right=np.concatenate([part.right for part in parts], axis=1),
        hit=np.concatenate([part.hit for part in parts]),
        false=np.concatenate([part.false for part in parts]),
        off=np.concatenate([part.off for part in parts]),
        findings=np.bincount(truth.classes, minlength=classes).astype(np.int64),
        in_mm=spacing_mm is not None,
    )


def alike(first: Boxes, second: Boxes, classes: int) -> Floats:
    """``(K,)``: how far what two people marked in one case is the same, of each class: the mean intersection over union of boxes
    paired so that it is highest, where one that only one of them marked counts as 0; NaN where neither marked any."""
    found = np.full(classes, np.nan)
    for number in range(classes):
        one, two = first.of_class(number).edges, second.of_class(number).edges
        if len(one) or len(two):
            shared = overlaps(one, two)
            common = float(shared[linear_sum_assignment(shared, maximize=True)].sum())
            paired = min(len(one), len(two))
            found[number] = common / (len(one) + len(two) - paired)
    return found


def _best(found: Boxes) -> Boxes:
    ranked = found.ranked()
    return ranked.select(np.arange(min(MOST, len(ranked))))


def _of_class(truth: Boxes, found: Boxes, scale: Floats) -> Matched:
    """Of one class; ``found`` are ranked."""
    shared = overlaps(found.edges, truth.edges)
    hits = centred(found.edges, truth.edges) | (shared >= _HALF)
    first = _first(shared, hits)
    off = np.full((len(found), 3), np.nan)
    won = np.flatnonzero(first >= 0)
    mine, theirs = found.edges[won], truth.edges[first[won]]
    off[won, 0] = np.sqrt((((centres(mine) - centres(theirs)) * scale) ** 2).sum(axis=1))
    off[won, 1], off[won, 2] = diameters(theirs, scale), diameters(mine, scale)
    return Matched(
        classes=found.classes,
        scores=found.scores,
        right=_taken(shared),
        hit=first >= 0,
        false=np.asarray(~hits.any(axis=1)),
        off=off,
        findings=np.asarray([len(truth)]),
        in_mm=True,
    )


def diameters(edges: Floats, scale: Floats) -> Floats:
    """The longest edge of each box in units of ``scale`` ``(3,)``; across slices only where it is longer than one slice."""
    sizes = edges[:, 3:] - edges[:, :3]
    scaled = sizes * scale
    scaled[sizes[:, 0] <= 1, 0] = 0
    return np.asarray(scaled.max(axis=1, initial=0.0))


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


def _first(shared: Floats, hits: NDArray[np.bool_]) -> Integers:
    """The finding that each answer is the first to hit, -1 for none."""
    first = np.full(len(shared), -1, np.int64)
    free = np.ones(shared.shape[1], bool)
    for place in np.flatnonzero(hits.any(axis=1)):
        open_to = np.flatnonzero(hits[place] & free)
        if len(open_to):
            first[place] = open_to[shared[place, open_to].argmax()]
            free[first[place]] = False
    return first


@dataclass(frozen=True, slots=True, eq=False)
class Ranked:
    """The D answers of some classes in N cases, best first: as in `Matched`, with ``case`` ``(D,)`` and ``findings`` ``(N,)``."""

    case: Integers
    scores: Floats
    right: NDArray[np.bool_]
    hit: NDArray[np.bool_]
    false: NDArray[np.bool_]
    findings: Integers


def ranked(cases: Sequence[Matched], classes: Sequence[int]) -> Ranked:
    """The answers of these classes in all cases."""
    wanted = [np.flatnonzero(np.isin(each.classes, classes)) for each in cases]
    scores = np.concatenate([each.scores[which] for each, which in zip(cases, wanted, strict=True)])
    order = np.argsort(-scores, kind="stable")
    return Ranked(
        case=np.repeat(np.arange(len(cases)), [len(which) for which in wanted])[order],
        scores=scores[order],
        right=np.concatenate([each.right[:, which] for each, which in zip(cases, wanted, strict=True)], axis=1)[:, order],
        hit=np.concatenate([each.hit[which] for each, which in zip(cases, wanted, strict=True)])[order],
        false=np.concatenate([each.false[which] for each, which in zip(cases, wanted, strict=True)])[order],
        findings=np.asarray([each.findings[list(classes)].sum() for each in cases], np.int64),
    )


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


def pairs(cases: Sequence[Matched], shown: float) -> Pairs:
    """Findings with the answers that hit them first, of answers with a score of at least ``shown``."""
    in_mm = any(each.in_mm for each in cases)
    which = [np.flatnonzero(each.hit & (each.scores >= shown) & (each.in_mm or not in_mm)) for each in cases]
    off = np.concatenate([each.off[rows] for each, rows in zip(cases, which, strict=True)])
    classes = np.concatenate([each.classes[rows] for each, rows in zip(cases, which, strict=True)])
    case = np.repeat(np.arange(len(cases)), [len(rows) for rows in which])
    return Pairs(case, classes, off[:, 0], off[:, 1], off[:, 2], "mm" if in_mm else "px")
