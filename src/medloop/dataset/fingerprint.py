"""One hash for what a dataset holds: pictures, labels, split and groups, whatever the files are called and in whatever order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np

from medloop.types import Array, Case, Dataset, ImageRef, Integers, Target, TargetKind, Truth


def fingerprint(
    cases: Iterable[Case], target: Target, values: Array, split: Array, groups: Integers, further: Sequence[Truth] = ()
) -> str:
    """32 hexadecimal digits. They change when a picture (its digest), a label, a mask (its file's content), a box, a measure, a
    split, a grouping or the classes change, and do not change with the order of cases or with names and folders of files.
    """
    own = [
        _hash(_pictures(case), _text(value), str(part), *(truth_text(truth, row) for truth in further))
        for row, (case, value, part) in enumerate(zip(cases, values, split, strict=True))
    ]
    together: dict[int, list[str]] = {}
    for number, each in zip(groups.tolist(), own, strict=True):
        together.setdefault(number, []).append(each)
    parts = sorted(_hash(*sorted(members)) for members in together.values())
    return _hash(*_named(target), "", *(text for truth in further for text in (*_named(truth.target), *truth.target.units)), *parts)


def of_split(dataset: Dataset, *splits: str) -> str:
    """The fingerprint of these splits alone: what looks at a test set are counted by."""
    chosen = dataset.indices(*splits)
    cases = [dataset.cases[index] for index in chosen]
    further = [truth.select(chosen) for truth in dataset.further]
    return fingerprint(cases, dataset.target, dataset.values[chosen], dataset.split[chosen], dataset.groups[chosen], further)


def truth_text(truth: Truth, row: int) -> str:
    """What is known of one case, as a text that is equal for equal truth."""
    if not truth.known[row]:
        return "?"
    if truth.target.kind is TargetKind.MASKS:
        mask = truth.masks[row]
        return "?" if mask is None else f"{_content(mask)} {truth.lookup}"
    if truth.target.kind is TargetKind.BOXES:
        found = zip(truth.box_classes[row].tolist(), truth.boxes[row].tolist(), strict=True)
        return " ".join(sorted(f"{number}:{_text(np.array(box))}" for number, box in found))
    return "?" if truth.numbers is None else _text(truth.numbers[row])


def _content(mask: ImageRef) -> str:
    return mask.digest or _hash(*(_of_file(path, mask.stamp) for path in mask.files), mask.item)


@lru_cache(maxsize=100_000)
def _of_file(path: str, stamp: str) -> str:
    """The hash of a file's bytes, read once; the file's path where it cannot be read."""
    del stamp
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "blake2b").hexdigest()
    except OSError:
        return path


def _pictures(case: Case) -> str:
    return "\0".join(sorted(ref.digest or ref.stamp or ref.name for ref in case.images))


def _named(target: Target) -> tuple[str, ...]:
    return target.kind.value, target.name, target.unit or "", *target.classes


def _text(value: Array) -> str:
    return ",".join("?" if np.isnan(each) else f"{float(each):.9g}" for each in np.atleast_1d(value))


def _hash(*texts: str) -> str:
    state = hashlib.sha256()
    for text in texts:
        state.update(f"{len(text)}:{text}".encode())
    return state.hexdigest()[:32]
