"""Findings as COCO JSON (Lin et al., ECCV 2014; format of cocodataset.org): images, categories, annotations with scores.

Boxes are ``[x, y, width, height]`` in pixels, masks run-length codes that start with zeros and run down the columns. COCO is flat:
a finding in a volume has besides ``z`` ``[first, end]`` in slices, and an image its ``depth``. Where the size of voxels is known,
an image has ``spacing_mm`` and a finding ``size_mm``, both ``[x, y, z]`` (of a picture ``[x, y]``). COCO readers pass over these.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medloop.types import Array, Json, SpacingMm


@dataclass(frozen=True, slots=True, eq=False)
class Marked:
    """What is found in one image of ``shape`` ``z, y, x``: n boxes as in `types.Findings`, their classes and scores.

    ``outlines``: of each box the run-length code of its mask, None where there is none; empty where there are no masks at all.
    ``spacing_mm``: ``(z, y, x)`` of a voxel.
    """

    file_name: str
    shape: tuple[int, int, int]
    boxes: Array
    classes: Array
    scores: Array | None = None
    outlines: Sequence[Json] = ()
    spacing_mm: SpacingMm | None = None


def document(marked: Iterable[Marked], classes: Sequence[str], about: str = "") -> dict[str, Json]:
    """The whole file. Images are numbered from 1 in their order, categories from 1 in that of ``classes``."""
    images: list[dict[str, Json]] = []
    annotations: list[dict[str, Json]] = []
    for number, each in enumerate(marked, 1):
        depth, height, width = each.shape
        image = {"id": number, "file_name": each.file_name, "width": width, "height": height}
        known = {} if each.spacing_mm is None else {"spacing_mm": _in_mm((1, 1, 1), each)}
        images.append(image | ({} if depth == 1 else {"depth": depth}) | known)
        for row in _annotations(each):
            annotations.append({"id": len(annotations) + 1, "image_id": number, **row})
    categories = [{"id": number, "name": name} for number, name in enumerate(classes, 1)]
    return {"info": {"description": about}, "images": images, "categories": categories, "annotations": annotations}


def of_mask(file_name: str, mask: NDArray[np.uint8], classes: int, spacing_mm: SpacingMm | None = None) -> Marked:
    """Each connected part of each class of a mask ``(Z, Y, X)`` as a finding (touching at corners counts), with its outline where
    the picture is flat."""
    boxes: list[list[float]] = []
    numbers: list[int] = []
    outlines: list[Json] = []
    around = np.ones((3, 3, 3), bool)
    for number in range(classes):
        labels, count = ndimage.label(mask == number + 1, structure=around)
        for part, place in enumerate(ndimage.find_objects(labels, max_label=count), 1):
            boxes.append([*(each.start for each in place), *(each.stop for each in place)])
            numbers.append(number)
            outlines.append(run_lengths(labels[0] == part) if mask.shape[0] == 1 else None)
    edges = np.array(boxes, np.float64).reshape(-1, 6)
    return Marked(file_name, _shape(mask), edges, np.array(numbers, np.int64), None, outlines, spacing_mm)


def run_lengths(mask: NDArray[np.bool_]) -> dict[str, Json]:
    """``(Y, X)`` as COCO's uncompressed run lengths: ``{"counts": [zeros, ones, zeros, ...], "size": [height, width]}``."""
    flat = mask.ravel(order="F")
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    ends = np.concatenate([[0], changes, [len(flat)]])
    counts = np.diff(ends).tolist()
    return {"counts": [0, *counts] if len(flat) and flat[0] else counts, "size": list(mask.shape)}


def _annotations(marked: Marked) -> Iterator[Mapping[str, Json]]:
    for row, (z0, y0, x0, z1, y1, x1) in enumerate(np.asarray(marked.boxes, np.float64).reshape(-1, 6).tolist()):
        area = _short((x1 - x0) * (y1 - y0))
        found: dict[str, Json] = {"category_id": int(marked.classes[row]) + 1}
        found |= {
            "bbox": [_short(part) for part in (x0, y0, x1 - x0, y1 - y0)],
            "area": area,
            "iscrowd": 0,
        }
        if marked.scores is not None:
            found["score"] = round(float(marked.scores[row]), 6)
        if marked.shape[0] > 1:
            found["z"] = [_short(z0), _short(z1)]
        if marked.spacing_mm is not None:
            found["size_mm"] = _in_mm((z1 - z0, y1 - y0, x1 - x0), marked)
        outline = marked.outlines[row] if len(marked.outlines) else None
        yield found if outline is None else found | {"segmentation": outline, "area": sum(outline["counts"][1::2])}


def _in_mm(sides: Sequence[float], marked: Marked) -> list[float]:
    """Sides ``(z, y, x)`` in voxels as ``[x, y, z]`` in mm, of a picture without z."""
    known = [_short(side * step) for side, step in zip(sides, marked.spacing_mm or (1.0, 1.0, 1.0), strict=True)]
    return known[::-1] if marked.shape[0] > 1 else known[:0:-1]


def _short(value: float) -> float:
    return round(value, 3)


def _shape(mask: Array) -> tuple[int, int, int]:
    depth, height, width = mask.shape
    return depth, height, width
