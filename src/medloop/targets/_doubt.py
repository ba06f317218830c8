"""How sure the parts of a mask are, and places that nearly were parts: what a reader looks at twice.

A place is doubtful where scores reach a share of the class's threshold in connected voxels and no part, nor a surer place, lies in
it. Scores have one meaning: from `detection.SHOWN` on a part is outlined; on either side of it the highest score inside ranks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from medloop.evaluation.detection import SHOWN
from medloop.evaluation.matching import MOST
from medloop.evaluation.rectangles import Boxes
from medloop.targets._cleaning import Cleaning, clean
from medloop.targets._components import instances, parts
from medloop.types import Array, Floats, Integers

_SHARES = (1.0, 0.75, 0.5, 0.25)
"""Of a threshold, the surest first; at the first are parts that were too small."""


def part_scores(mask: Array, scores: Array, back: Floats | None = None) -> Floats:
    """``(n,)`` of the parts of a mask ``(Z, Y, X)`` in the order of `instances`, from `SHOWN` to 1.

    ``scores``: ``(K + 1, z, y, x)``, float or uint8, on the mask's grid or where ``back`` (4 by 4, of x, y, z in voxels) leads.
    """
    found = instances(mask)
    highest = np.zeros(len(found.classes))
    for number, (kind, box) in enumerate(zip(found.classes, ndimage.find_objects(found.labels), strict=True)):
        for z in range(box[0].start, box[0].stop):
            flat = np.argwhere(found.labels[z][box[1:]] == number + 1)
            flat += np.array([box[1].start, box[2].start])
            if len(flat):
                places = _led(np.insert(flat, 0, z, axis=1), back, scores.shape[1:])
                highest[number] = max(highest[number], _share(scores[kind][tuple(places.T)]).max())
    return SHOWN + (1 - SHOWN) * highest


def doubtful(scores: Array, cleaning: Cleaning) -> Boxes:
    """Boxes around doubtful places in voxels of ``scores`` ``(K + 1, Z, Y, X)``, best first, each with a score below `SHOWN`."""
    mask = clean(scores, cleaning)
    edges: list[list[int]] = []
    kinds: list[int] = []
    sure: list[float] = []
    for kind, threshold in enumerate(cleaning.thresholds):
        own, taken = _share(scores[kind + 1]), mask == kind + 1
        for share in _SHARES:
            labels, voxels = parts((own > share * threshold) | taken)
            known = np.zeros(len(voxels), np.bool_)
            known[np.unique(labels[taken])] = True
            known[0] = True
            boxes = ndimage.find_objects(labels)
            for number in np.flatnonzero(~known).tolist():
                box = boxes[number - 1]
                inside = labels[box] == number
                edges.append([*(each.start for each in box), *(each.stop for each in box)])
                kinds.append(kind)
                sure.append(float(own[box][inside].max()))
            taken = taken | ~known[labels]
    found = Boxes.of(np.asarray(edges), np.asarray(kinds), np.minimum(SHOWN * np.asarray(sure), np.nextafter(SHOWN, 0))).ranked()
    return found.select(np.arange(min(len(found), MOST)))


def _led(places: Integers, back: Floats | None, shape: Sequence[int]) -> Integers:
    """``(n, 3)`` voxels ``z, y, x`` to those of a grid of this shape where ``back`` leads, the nearest each."""
    if back is None:
        return places
    there = np.rint(places[:, ::-1] @ back[:3, :3].T + back[:3, 3])[:, ::-1].astype(np.int64)
    return np.clip(there, 0, np.array(shape) - 1)


def _share(scores: Array) -> Floats:
    return np.asarray(scores / np.float32(255) if scores.dtype == np.uint8 else scores)
