"""One hash for what a dataset holds: pictures, labels, split and groups, whatever the files are called and in whatever order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np

from medloop.types import Array, Case, Dataset, Integers, Target


def fingerprint(cases: Iterable[Case], target: Target, values: Array, split: Array, groups: Integers) -> str:
    """32 hexadecimal digits. They change when a picture (its digest), a label, a split, a grouping or the classes change,
    and do not change with the order of cases or with names and folders of files.
    """
    own = [
        _hash("\0".join(sorted(ref.digest or ref.stamp or ref.name for ref in case.images)), _text(value), str(part))
        for case, value, part in zip(cases, values, split, strict=True)
    ]
    together: dict[int, list[str]] = {}
    for number, each in zip(groups.tolist(), own, strict=True):
        together.setdefault(number, []).append(each)
    parts = sorted(_hash(*sorted(members)) for members in together.values())
    return _hash(target.kind.value, target.name, target.unit or "", *target.classes, "", *parts)


def of_split(dataset: Dataset, *splits: str) -> str:
    """The fingerprint of these splits alone: what looks at a test set are counted by."""
    chosen = dataset.indices(*splits)
    cases = [dataset.cases[index] for index in chosen]
    return fingerprint(cases, dataset.target, dataset.values[chosen], dataset.split[chosen], dataset.groups[chosen])


def _text(value: Array) -> str:
    return ",".join("?" if np.isnan(each) else f"{float(each):.9g}" for each in np.atleast_1d(value))


def _hash(*texts: str) -> str:
    state = hashlib.sha256()
    for text in texts:
        state.update(f"{len(text)}:{text}".encode())
    return state.hexdigest()[:32]
