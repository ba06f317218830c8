"""What is known of masks, boxes and measures, brought to the grids of prepared images."""

from __future__ import annotations

from dataclasses import replace

from medloop import prepared
from medloop.dataset import rows
from medloop.families import Further
from medloop.loop._intake import Means, Seen
from medloop.loop._protocols import Lesson
from medloop.prepared.boxes import prepare_boxes
from medloop.prepared.geometry import Geometry
from medloop.prepared.masks import prepare_masks
from medloop.types import TargetKind, Truth

_TOLD = 3


def with_further(lesson: Lesson, seen: Seen, means: Means) -> tuple[Lesson, list[str]]:
    """The lesson with its structured targets prepared, and what must be told of masks that cannot be used."""
    if not (lesson.dataset.further or lesson.recipe.parameters.get("reconstruct")):
        return lesson, []
    notes: list[str] = []
    with means.clock.stage("masks"):
        geometry = geometry_of(lesson, seen, means)
        known = {truth.target.name: _prepared(truth, geometry, lesson, means, notes) for truth in lesson.dataset.further}
    return replace(lesson, further=known, geometry=geometry), notes


def geometry_of(lesson: Lesson, seen: Seen, means: Means) -> Geometry:
    """Where the prepared voxels of the lesson's cases lie."""
    whole = prepared.geometry_of(seen.survey, compute=means.compute, tell=means.tell)
    return whole.select(rows(lesson.dataset, seen.survey))


def _prepared(truth: Truth, geometry: Geometry, lesson: Lesson, means: Means, notes: list[str]) -> Further:
    shape = lesson.arrays.shape[1:]
    if truth.target.kind is TargetKind.BOXES:
        return prepare_boxes(truth, geometry, shape)
    if truth.target.kind is not TargetKind.MASKS:
        return truth
    masks, rejected = prepare_masks(truth, geometry, shape, cache=lesson.cache, compute=means.compute, tell=means.tell)
    if rejected:
        named = "; ".join(f"{each.path}: {each.reason}" for each in rejected[:_TOLD])
        notes.append(
            f"{len(rejected)} masks cannot be used and count as unknown ({named}{'; …' if len(rejected) > _TOLD else ''})."
        )
    return masks
