"""From many candidates to the boxes that are shown: what overlaps too much goes, and each class has a threshold of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from medloop.evaluation import detection, matching
from medloop.evaluation.rectangles import Boxes, kept
from medloop.types import Floats, Json, Target

_OVERLAPS = (0.5, 0.4, 0.6, 0.3, 0.7)
_USUAL = 0.3
_HIGHEST = 0.95


@dataclass(frozen=True, slots=True)
class Cleaning:
    """``overlap``: of two boxes of a class that share more (intersection over union) the worse goes.

    ``thresholds``: the score from which a box of each class is shown; ``()`` is 0.5 for all.
    """

    overlap: float = 0.5
    thresholds: tuple[float, ...] = ()

    def to_json(self) -> dict[str, Json]:
        """Plain JSON."""
        return {"overlap": self.overlap, "thresholds": list(self.thresholds)}

    @staticmethod
    def from_json(content: Mapping[str, Json]) -> Cleaning:
        """The inverse of `to_json`."""
        return Cleaning(float(content["overlap"]), tuple(float(each) for each in content["thresholds"]))


def clean(candidates: Boxes, cleaning: Cleaning) -> Boxes:
    """What stays, best first, with scores in which `detection.SHOWN` is the threshold of every class.

    Nothing is dropped for a low score: average precision and FROC look at the weak answers too.
    """
    stays = candidates.select(kept(candidates, cleaning.overlap))
    levels = np.asarray(cleaning.thresholds or (detection.SHOWN,) * (int(stays.classes.max(initial=0)) + 1))
    return Boxes(stays.edges, stays.classes, _levelled(stays.scores, levels[stays.classes])).ranked()


def _levelled(scores: Floats, levels: Floats) -> Floats:
    """Straight from 0 to the threshold and from there to 1: order within a class does not change."""
    low = detection.SHOWN * scores / levels
    high = 1 - (1 - detection.SHOWN) * (1 - scores) / (1 - levels)
    return np.where(scores < levels, low, high)


def shown(found: Boxes) -> Boxes:
    """Of cleaned boxes those that are shown."""
    return found.select(np.flatnonzero(found.scores >= detection.SHOWN))


def learn_cleaning(target: Target, candidates: Sequence[Boxes], truth: Sequence[Boxes]) -> Cleaning:
    """From answers by models that saw neither the case nor its group, before any cleaning.

    The overlap with the best ``map50``; then for each class the threshold with the best F1 at an overlap of 0.5.
    """
    classes = len(target.classes)
    best, chosen = -1.0, Cleaning(thresholds=(_USUAL,) * classes)
    for overlap in _OVERLAPS:
        cleaned = [each.select(kept(each, overlap)) for each in candidates]
        cases = [matching.match(there, found, classes) for there, found in zip(truth, cleaned, strict=True)]
        value = detection.mean_precision(cases, classes)
        if value > best:
            best, chosen = value, Cleaning(overlap, tuple(_threshold(matching.ranked(cases, [k])) for k in range(classes)))
    return chosen


def _threshold(ranks: matching.Ranked) -> float:
    """Halfway between the last score that pays in F1 and the next one."""
    there = int(ranks.findings.sum())
    if not there or not ranks.right[0].any():
        return _USUAL
    right = np.cumsum(ranks.right[0])
    f1 = 2 * right / (np.arange(len(right)) + 1 + there)
    last = np.flatnonzero(np.r_[np.diff(ranks.scores) != 0, True])
    best = int(last[f1[last].argmax()])
    below = float(ranks.scores[best + 1]) if best + 1 < len(right) else 0.0
    return float(np.clip((float(ranks.scores[best]) + below) / 2, 0.01, _HIGHEST))
