"""Each lesion apart: a row for every connected part of a mask, and for every place that is nearly in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from medloop.evaluation.matching import diameters
from medloop.evaluation.rectangles import centres
from medloop.targets import boxes, measures
from medloop.types import Findings, Floats, SpacingMm

HEAD = ["case", "class", "part", "outlined", "score", "x", "y", "z", "longest diameter", "perpendicular diameter", "unit"]


def rows(found: Findings, spacing_mm: SpacingMm | None, classes: Sequence[str], nearly: bool) -> Iterator[tuple[str, ...]]:
    """Rows under `HEAD`: parts as `medloop.targets.measures.parts` counts them, then, where ``nearly``, doubtful places.

    Centres are in voxels of the image, counted from 0. Of a doubtful place the longest diameter is the longest edge of its box.
    """
    assert found.mask is not None
    unit = "px" if spacing_mm is None else "mm"
    parts = measures.parts(found.mask, spacing_mm, classes)
    scores = [""] * len(parts) if found.part_scores is None else [f"{each:.6g}" for each in found.part_scores]
    for number, (part, score) in enumerate(zip(parts, scores, strict=True), 1):
        across = part.diameters
        told = (*part.centre[::-1], across.longest, across.perpendicular)
        yield found.case, part.class_, str(number), "1", score, *map(_short, told), unit
    if nearly:
        weak = boxes.of_findings(found)
        longest: Floats = diameters(weak.edges, _scale(spacing_mm))
        rest = zip(weak.classes, weak.scores, centres(weak.edges) - 0.5, longest, strict=True)
        for number, (kind, score, (z, y, x), wide) in enumerate(rest, len(parts) + 1):
            place = (*map(_short, (x, y, z)), _short(wide), "")
            yield found.case, classes[int(kind)], str(number), "0", f"{score:.6g}", *place, unit


def _scale(spacing_mm: SpacingMm | None) -> Floats:
    return np.asarray(spacing_mm or (1.0, 1.0, 1.0))


def _short(value: float) -> str:
    return f"{value:.2f}"
