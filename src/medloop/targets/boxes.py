"""Findings as boxes along the axes: in flat pictures and volumes, of several classes.

A network says where centres lie and how far the edges are from there (`encode`, `decode`); in volumes slice by slice (`in_slice`,
`joined`), or boxes are put around the parts of a label map (`boxes_of`). `learn_cleaning` settles on answers that the model could
not know what is kept and what is shown; scores of cleaned boxes have one meaning: from `SHOWN` on a box is shown.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medloop.evaluation import detection, matching
from medloop.evaluation.detection import SHOWN
from medloop.evaluation.matching import Matched
from medloop.evaluation.rectangles import Boxes, valid, volumes
from medloop.targets._box_cleaning import Cleaning, clean, learn_cleaning, shown
from medloop.targets._box_maps import MOST, BoxMaps, decode, encode
from medloop.targets._box_pictures import draw
from medloop.targets._box_solid import boxes_of, in_slice, joined
from medloop.types import Array, Findings, Floats, Integers, Metric, SpacingMm, Target, TargetKind

__all__ = [
    "KIND",
    "MOST",
    "SHOWN",
    "BoxMaps",
    "Boxes",
    "Cleaning",
    "boxes_of",
    "clean",
    "decode",
    "encode",
    "in_slice",
    "joined",
    "learn_cleaning",
    "merit",
    "metrics",
    "of_findings",
    "picture",
    "rivals",
    "shown",
    "slice_of",
    "tally",
    "valid",
]

KIND = TargetKind.BOXES


def of_findings(findings: Findings | None) -> Boxes:
    """The boxes of a case, best first; none where it has none."""
    if findings is None or findings.boxes is None or findings.box_classes is None:
        return Boxes.none()
    return Boxes.of(findings.boxes, findings.box_classes, findings.box_scores).ranked()


def tally(target: Target, found: Findings, truth: Findings, spacing_mm: SpacingMm | None) -> Matched:
    """The answers of one case matched with what is there; all of them, also weak ones."""
    return matching.match(of_findings(truth), of_findings(found), len(target.classes), spacing_mm)


def merit(case: Matched) -> float:
    """``map50`` of the case alone; where nothing is there, 1 less the highest score."""
    return detection.own_precision(case)


def rivals(a: Matched, b: Matched) -> tuple[Floats, Floats]:
    """See `medloop.evaluation.detection.rivals`."""
    return detection.rivals(a, b)


def metrics(target: Target, tallies: Sequence[Matched], patients: Integers, seed: int = 0) -> dict[str, Metric]:
    """See `medloop.evaluation.detection`."""
    return detection.score(target.classes, tallies, patients, seed)


def slice_of(found: Findings, truth: Findings | None = None) -> int:
    """The middle of the largest true box, or else of the best answer; 0 where there is neither."""
    there, answers = of_findings(truth), shown(of_findings(found))
    if len(there):
        edges = there.edges[int(volumes(there.edges).argmax())]
    elif len(answers):
        edges = answers.edges[0]
    else:
        return 0
    return int((edges[0] + edges[3]) / 2)


def picture(rgb: Array, target: Target, found: Findings, truth: Findings | None = None, z: int = 0) -> Array:
    """The boxes that slice ``z`` crosses, with class and score, the true ones dashed: a new ``(Y, X, 3)`` uint8."""
    return draw(np.asarray(rgb), target.classes, in_slice(shown(of_findings(found)), z), in_slice(of_findings(truth), z))
