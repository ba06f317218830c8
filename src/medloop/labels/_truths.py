"""Structured truth beside classes: from rows of images to rows of cases, and several label files joined into one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

from medloop.labels._cases import Said, case_of
from medloop.labels._labelled import Labelled, problem
from medloop.types import Case, ImageRef, Json, Label, Target, TargetKind, Truth

T = TypeVar("T")

_NO_BOXES = np.zeros((0, 6))
_NO_CLASSES = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, kw_only=True, eq=False)
class Reading:
    """What one label file or folder says: ``truths``, their rows those of the images. ``says``: how it was read. ``said``: of each
    image, the rest that is known of its case. The others as in `Labelled`.
    """

    truths: Sequence[Truth]
    says: str
    problems: list[dict[str, Json]] = field(default_factory=list)
    found: list[dict[str, Json]] = field(default_factory=list)
    files: Iterable[str] = ()
    said: Sequence[Said] = ()


def labelled(refs: Sequence[ImageRef], reading: Reading, what: str) -> Labelled:
    """The images of which at least one truth is known, each a case without a class. ``what`` the others lack: ``mask``, ``box``."""
    known = np.any([truth.known for truth in reading.truths], axis=0)
    rows = np.flatnonzero(known).tolist()
    target = reading.truths[0].target
    named = {str(each["name"]) for each in reading.problems}
    left = tuple(refs[row] for row in np.flatnonzero(~known).tolist())
    missing = [problem(None, ref.name, f"it has no {what}") for ref in left if ref.name not in named]
    return Labelled(
        target=target,
        labels=tuple(Label(case=refs[row].name, value="", target=target.name, where=what) for row in rows),
        cases=tuple(case_of(refs[row], reading.said[row] if reading.said else None) for row in rows),
        layout=reading.says,
        problems=[*reading.problems, *missing],
        unlabelled=left,
        further=tuple(aligned(truth, rows) for truth in reading.truths),
        found=reading.found,
        files=frozenset(reading.files),
    )


def joined(parts: Sequence[Labelled], refs: Sequence[ImageRef]) -> Labelled:
    """One of several: classes of the first part that has some, the truths of all. Names of cases are those of images.

    A case that only some parts know has no class, or nothing known of a target. A part that says nothing of what is learnt tells of
    patients and groups only.
    """
    telling = [part for part in parts if not part.target.kind.structured or part.further]
    if len(parts) == 1 or not telling:
        return parts[0]
    telling.sort(key=lambda part: part.target.kind.structured)
    first = telling[0]
    every = sorted(parts, key=lambda part: part.target.kind.structured and bool(part.further))
    cases = _first_of(every, lambda part: zip(part.cases, part.cases, strict=True))
    labels = _first_of(telling, lambda part: zip(part.cases, part.labels, strict=True))
    names = [ref.name for ref in refs if ref.name in labels]
    has = {case.name for case in first.cases}
    return replace(
        first,
        cases=tuple(cases[name] for name in names),
        labels=tuple(labels[name] if name in has else replace(labels[name], value="", target=first.target.name) for name in names),
        layout=" ".join(part.layout for part in every),
        columns=[column for part in every for column in part.columns],
        problems=[each for part in every for each in part.problems if not _moot(each, labels.keys())],
        unlabelled=tuple(ref for ref in refs if ref.name not in labels),
        further=tuple(aligned(truth, _rows(part, names)) for part in telling for truth in part.further),
        found=[each for part in telling for each in part.found],
        files=frozenset().union(*(part.files for part in every)),
    )


def _first_of(parts: Sequence[Labelled], pairs: Callable[[Labelled], Iterable[tuple[Case, T]]]) -> dict[str, T]:
    """By case's name what the first part says that knows the case."""
    return {case.name: said for part in reversed(parts) for case, said in pairs(part)}


def _rows(part: Labelled, names: Sequence[str]) -> list[int]:
    where = {case.name: row for row, case in enumerate(part.cases)}
    return [where.get(name, -1) for name in names]


def _moot(told: dict[str, Json], cases: AbstractSet[str]) -> bool:
    """Whether a problem says only that an image lacks one kind of label, of a case that has another."""
    return told["name"] in cases and str(told["problem"]).startswith("it has no ")


def aligned(truth: Truth, rows: Sequence[int]) -> Truth:
    """The truth of these rows; of row -1 nothing is known."""
    if all(row >= 0 for row in rows):
        return truth.select(rows)
    last = len(truth)
    wider = replace(
        truth,
        known=np.append(truth.known, False),
        masks=(*truth.masks, None) if truth.masks else (),
        boxes=(*truth.boxes, _NO_BOXES) if truth.boxes else (),
        box_classes=(*truth.box_classes, _NO_CLASSES) if truth.box_classes else (),
        numbers=None if truth.numbers is None else np.vstack([truth.numbers, np.full(truth.numbers.shape[1], np.nan)]),
    )
    return wider.select([last if row < 0 else row for row in rows])


def boxes_truth(target: Target, found: Sequence[tuple[np.ndarray, np.ndarray] | None]) -> Truth:
    """Truth of boxes from ``(k, 6)`` boxes and ``(k,)`` classes of each image, None where nothing is known."""
    return Truth(
        target=target,
        known=np.array([each is not None for each in found], dtype=np.bool_),
        boxes=tuple(_NO_BOXES if each is None else each[0] for each in found),
        box_classes=tuple(_NO_CLASSES if each is None else each[1] for each in found),
    )


def tally(target: Target, counts: Sequence[Sequence[int]]) -> list[dict[str, Json]]:
    """Rows of `Labelled.found`: ``counts`` of each known image, one number a class (boxes, voxels)."""
    table = np.array(counts, dtype=np.int64).reshape(len(counts), len(target.classes))
    unit = {TargetKind.BOXES: "boxes", TargetKind.MASKS: "voxels"}.get(target.kind, "values")
    return [
        {"target": target.name, "class": name, "cases": int((table[:, k] > 0).sum()), "count": int(table[:, k].sum()), "of": unit}
        for k, name in enumerate(target.classes)
    ]
