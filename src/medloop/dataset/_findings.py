"""What is found on the way from labelled images to a dataset: copies, conflicts, cases that cannot be used."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from medloop.dataset._classes import UNSAID
from medloop.dataset.groups import Copy, Link, joined
from medloop.errors import MedloopError
from medloop.labels import Labelled
from medloop.types import Case, ImageRef, Json, LabelValue, Provenance


class Surveyed(Protocol):
    """What is needed of a survey: the readable images with their digests, in the order to which the positions of copies refer."""

    @property
    def refs(self) -> Sequence[ImageRef]: ...


@dataclass(frozen=True, slots=True, eq=False)
class Findings:
    """What was found on the way to a dataset.

    ``duplicates``: groups of image names that are the same picture. ``leaks``: ``a``, ``b``, ``kind``, ``splits``. ``conflicts``:
    ``a``, ``b``, ``kind``, ``labels`` (the same picture under different labels). ``moved``: cases moved from validation to
    training. ``left_out``: classes with the reason. ``dropped``: cases with the reason. ``refusals``: why learning must not go on;
    `build` raises the first.
    """

    duplicates: list[list[str]] = field(default_factory=list)
    leaks: list[dict[str, Json]] = field(default_factory=list)
    conflicts: list[dict[str, Json]] = field(default_factory=list)
    moved: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    dropped: list[dict[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    refusals: list[MedloopError] = field(default_factory=list)


def duplicate_groups(refs: Sequence[ImageRef], duplicates: Iterable[Copy]) -> list[list[str]]:
    """Names of the images that are copies of each other (exact or near), transitively, in order."""
    edges = [(pair.a, pair.b) for pair in duplicates]
    parts = joined(len(refs), edges)
    together: dict[int, list[str]] = {}
    for position in sorted({end for edge in edges for end in edge}):
        together.setdefault(int(parts[position]), []).append(refs[position].name)
    return list(together.values())


def usable(labelled: Labelled, survey: Surveyed, findings: Findings) -> tuple[list[Case], list[int]]:
    """Cases whose images could all be read, with the surveyed references, and their positions in ``labelled.cases``."""
    read = {ref.name: ref for ref in survey.refs}
    cases, rows = [], []
    for row, (case, label) in enumerate(zip(labelled.cases, labelled.labels, strict=True)):
        images = tuple(read[ref.name] for ref in case.images if ref.name in read)
        if label.provenance is Provenance.AI_ONLY:
            findings.dropped.append({"name": case.name, "reason": "its label was made by a model alone"})
        elif len(images) < len(case.images):
            findings.dropped.append({"name": case.name, "reason": "its image could not be used"})
        else:
            cases.append(replace(case, images=images))
            rows.append(row)
    return cases, rows


def links_of(cases: Sequence[Case], survey: Surveyed, duplicates: Iterable[Copy]) -> list[Link]:
    """Copies as links between cases."""
    owner = {ref.name: position for position, case in enumerate(cases) for ref in case.images}
    ends = [owner.get(ref.name, -1) for ref in survey.refs]
    found = [Link(min(ends[pair.a], ends[pair.b]), max(ends[pair.a], ends[pair.b]), str(pair.kind)) for pair in duplicates]
    return [link for link in found if link.a >= 0 and link.a != link.b]


def conflicts(cases: Sequence[Case], labels: Sequence[LabelValue], links: Iterable[Link]) -> list[dict[str, Json]]:
    return [
        {
            "a": cases[link.a].name,
            "b": cases[link.b].name,
            "kind": link.kind,
            "labels": [_said(labels[link.a]), _said(labels[link.b])],
        }
        for link in links
        if _differ(labels[link.a], labels[link.b])
    ]


def _differ(one: LabelValue, two: LabelValue) -> bool:
    """Whether two label values contradict each other; an unknown contradicts nothing."""
    if isinstance(one, tuple) and isinstance(two, tuple):
        other = dict(two)
        return any(value is not None and other.get(name, value) not in (None, value) for name, value in one)
    return one != two and UNSAID not in (one, two)


def _said(value: LabelValue) -> str:
    if isinstance(value, tuple):
        return "|".join(name for name, on in value if on)
    return value if isinstance(value, str) else f"{value:g}"
