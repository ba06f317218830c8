"""What is true of one case, in voxels of its image as read."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medloop import readers
from medloop.types import UNKNOWN, Array, Findings, TargetKind, Truth


def truth_of(truth: Truth, row: int, case: str) -> Findings | None:
    """The truth of the case ``row``; None where nothing is known. Raises `Unreadable` for a mask that can no longer be read."""
    if not truth.known[row]:
        return None
    if truth.target.kind is TargetKind.MASKS:
        ref = truth.masks[row]
        return None if ref is None else Findings(case, mask=labelled(readers.read(ref).pixels[0, 0], truth.lookup))
    if truth.target.kind is TargetKind.BOXES:
        count = len(truth.boxes[row])
        return Findings(case, boxes=truth.boxes[row], box_classes=truth.box_classes[row], box_scores=np.ones(count))
    if truth.numbers is None:
        return None
    told = zip(truth.target.classes, truth.numbers[row].tolist(), strict=True)
    return Findings(case, measures={name: value for name, value in told if value == value})


def labelled(values: Array, lookup: tuple[tuple[int, int], ...]) -> NDArray[np.uint8]:
    """The values of a mask file ``(Z, Y, X)`` as a mask's; of a value that nothing is said of nothing is known."""
    mask = np.full(values.shape, UNKNOWN, np.uint8)
    for value, meaning in lookup:
        mask[values == value] = meaning
    return mask


def values_of(truth: Truth) -> list[int] | None:
    """What a mask file would hold for none of the classes and for each: the inverse of ``lookup``. None for other targets."""
    if truth.target.kind is not TargetKind.MASKS:
        return None
    by_meaning: dict[int, int] = {}
    for value, meaning in sorted(truth.lookup):
        by_meaning.setdefault(meaning, value)
    wanted = range(len(truth.target.classes) + 1)
    return [by_meaning[each] for each in wanted] if all(each in by_meaning for each in wanted) else None
