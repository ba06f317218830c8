"""Boxes in volumes: from answers slice by slice, from label maps, and the part of a box in one slice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from medloop.evaluation.rectangles import Boxes, overlaps
from medloop.targets._components import instances
from medloop.types import Array, Floats

_SAME = 0.3
_GAP = 1


def in_slice(boxes: Boxes, z: int) -> Boxes:
    """The boxes that the middle of slice ``z`` lies in, as boxes of a flat picture."""
    through = np.flatnonzero((boxes.edges[:, 0] <= z + 0.5) & (boxes.edges[:, 3] > z + 0.5))
    flat = boxes.select(through)
    edges = flat.edges.copy()
    edges[:, 0], edges[:, 3] = 0, 1
    return Boxes(edges, flat.classes, flat.scores)


def joined(slices: Sequence[Boxes], overlap: float = _SAME, gap: int = _GAP) -> Boxes:
    """Boxes of a volume from those of its slices, best first.

    Boxes of one class in neighbouring slices that overlap by ``overlap`` are one finding, also across ``gap`` slices without an
    answer; the better ones choose first. It spans them all, and has the score of the best.
    """
    done: list[_Chain] = []
    for z, boxes in enumerate(slices):
        open_chains = [chain for chain in done if z - chain.last <= gap + 1]
        ranked = boxes.ranked()
        for place in range(len(ranked)):
            one = ranked.edges[place : place + 1]
            fits = [each for each in open_chains if each.kind == ranked.classes[place] and each.last < z]
            shared = [float(overlaps(one, each.edges[None])[0, 0]) for each in fits]
            if shared and max(shared) >= overlap:
                fits[int(np.argmax(shared))].add(z, one[0], float(ranked.scores[place]))
            else:
                done.append(_Chain(z, one[0], int(ranked.classes[place]), float(ranked.scores[place])))
    kinds, scores = np.asarray([each.kind for each in done]), np.asarray([each.score for each in done])
    return Boxes.of(np.asarray([each.span for each in done]), kinds, scores).ranked()


class _Chain:
    """One finding, followed from slice to slice."""

    def __init__(self, z: int, edges: Floats, kind: int, score: float) -> None:
        self.last, self.edges, self.kind, self.score = z, edges, kind, score
        self.span = np.asarray([z, edges[1], edges[2], z + 1, edges[4], edges[5]], np.float64)

    def add(self, z: int, edges: Floats, score: float) -> None:
        self.last, self.edges, self.score = z, edges, max(self.score, score)
        self.span[1:3] = np.minimum(self.span[1:3], edges[1:3])
        self.span[3] = z + 1
        self.span[4:] = np.maximum(self.span[4:], edges[4:])


def boxes_of(mask: Array, classes: Sequence[int], scores: Floats | None = None) -> Boxes:
    """A box around every connected part of a label map ``(Z, Y, X)``, best first; touching corners connect.

    ``classes``: whose parts, counted from 0 (in the mask 1 more). ``scores``: ``(K + 1, Z, Y, X)`` from 0 to 1; the score of a part
    is the mean of its class there; without them it is 1.
    """
    found = instances(np.where(np.isin(mask, np.asarray(classes) + 1), mask, 0).astype(np.uint8))
    places = ndimage.find_objects(found.labels)
    edges = [[*(each.start for each in place), *(each.stop for each in place)] for place in places]
    means = np.ones(len(places))
    if scores is not None:
        for number, place in enumerate(places):
            inside = found.labels[place] == number + 1
            means[number] = scores[found.classes[number]][place][inside].mean()
    return Boxes.of(np.asarray(edges), found.classes - 1, means).ranked()
