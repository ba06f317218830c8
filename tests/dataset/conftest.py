"""Labelled cases and surveys as tests need them: no pictures, only what stands about them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import pytest

from medloop.dataset.duplicates import Pair
from medloop.labels import Labelled
from medloop.types import Case, ImageRef, Label, LabelValue, Split, Target, TargetKind


@dataclass(frozen=True)
class Survey:
    """The readable images, in order."""

    refs: tuple[ImageRef, ...]


def exact(a: int, b: int) -> Pair:
    """Two equal pictures."""
    return Pair(a, b, "exact", 1.0)


def near(a: int, b: int) -> Pair:
    """Two pictures that a person would call the same."""
    return Pair(a, b, "near", 0.99)


def target_of(values: Sequence[LabelValue]) -> Target:
    """The target that these values suggest."""
    if isinstance(values[0], float):
        return Target(TargetKind.NUMBER)
    if isinstance(values[0], tuple):
        return Target(TargetKind.MULTILABEL, tuple(name for name, _ in values[0]))
    classes = tuple(sorted({str(value) for value in values}))
    return Target(TargetKind.BINARY if len(classes) == 2 else TargetKind.MULTICLASS, classes)


@pytest.fixture
def labelled() -> Callable[..., tuple[Labelled, Survey]]:
    """Makes cases ``0``, ``1``, ... with these values, patients, groups and given splits, and the survey of their pictures."""

    def make(
        values: Sequence[LabelValue],
        patients: Iterable[str | None] | None = None,
        groups: Iterable[str | None] | None = None,
        splits: Iterable[str | None] | None = None,
        digests: Iterable[str] | None = None,
    ) -> tuple[Labelled, Survey]:
        count = len(values)
        people, sets = list(patients or [None] * count), list(groups or [None] * count)
        given, hashes = list(splits or [None] * count), list(digests or [f"d{n}" for n in range(count)])
        refs = tuple(ImageRef(name=f"{n:04}", reader="raster", files=(f"/x/{n}",), digest=hashes[n]) for n in range(count))
        cases = tuple(
            Case(ref.name, (ref,), patient=people[n], group=sets[n], given_split=Split(given[n]) if given[n] else None)
            for n, ref in enumerate(refs)
        )
        labels = tuple(Label(case.name, value) for case, value in zip(cases, values, strict=True))
        return Labelled(target_of(values), labels, cases, layout="made by hand"), Survey(refs)

    return make
