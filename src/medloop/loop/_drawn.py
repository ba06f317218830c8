"""Outlines and boxes that labels of the store hold, and the truth they make.

An outline is ``{"blob": KEY, "classes": [...]}``, boxes are ``{"classes": [...], "boxes": [{"z0", "y0", "x0", "z1", "y1", "x1",
"class"}]}``, both in voxels of the case's first image as read. ``classes`` are all that were looked for: where a class of theirs is
not drawn it is not there, and of a class that is not among them nothing is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from medloop import readers
from medloop.errors import InputError, Unreadable
from medloop.labels._truths import boxes_truth
from medloop.loop._truth import truth_of
from medloop.readers import outline
from medloop.store.blobs import Blobs
from medloop.types import UNKNOWN, Array, ImageRef, Json, Target, TargetKind, Truth
from medloop.writers import nifti, png

EDGES = ("z0", "y0", "x0", "z1", "y1", "x1")
KINDS = (TargetKind.MASKS, TargetKind.BOXES)
"""Structured targets that readers can draw."""


def kind_of(value: Json) -> TargetKind | None:
    """What a label's value draws; None: nothing."""
    if not isinstance(value, Mapping) or not isinstance(value.get("classes"), list):
        return None
    if isinstance(value.get("blob"), str):
        return TargetKind.MASKS
    return TargetKind.BOXES if isinstance(value.get("boxes"), list) else None


def target_of(name: str, values: Iterable[Json]) -> Target | None:
    """What outlines or boxes of this name are about: the kind of the first, the classes of all; None where there are none."""
    kinds = [(kind, value["classes"]) for value in values if (kind := kind_of(value)) is not None]
    if not kinds:
        return None
    kind = kinds[0][0]
    return Target(kind, tuple(dict.fromkeys(str(each) for one, classes in kinds if one is kind for each in classes)), name)


def fits(value: Json, target: Target, blobs: Blobs) -> bool:
    """Whether the value draws what the target is about: every class of the target was looked for, and what was drawn is there."""
    if kind_of(value) is not target.kind or not set(target.classes) <= set(map(str, value["classes"])):
        return False
    if target.kind is TargetKind.BOXES:
        return all(_edges(each, len(value["classes"])) is not None for each in value["boxes"])
    try:
        blobs.local(value["blob"])
    except InputError:
        return False
    return True


def truth(target: Target, refs: Sequence[ImageRef], values: Sequence[Json], blobs: Blobs) -> Truth:
    """What is known of each case, by its first image and its value, which `fits`; None: nothing is known of it."""
    if target.kind is TargetKind.BOXES:
        return boxes_truth(target, [None if value is None else _boxes(value, target) for value in values])
    every = range(len(target.classes) + 1)
    return Truth(
        target=target,
        known=np.array([value is not None for value in values], dtype=np.bool_),
        masks=tuple(None if value is None else _mask(ref, value, target, blobs) for ref, value in zip(refs, values, strict=True)),
        lookup=(*((value, value) for value in every), (UNKNOWN, UNKNOWN)),
    )


def said(known: Truth, row: int, ref: ImageRef, blobs: Blobs) -> Json:
    """A truth of one case as its label holds it, the outline kept as a blob; None where nothing is known or can be read."""
    try:
        found = truth_of(known, row, ref.name)
    except Unreadable:
        return None
    classes = list(known.target.classes)
    if found is None or known.target.kind not in KINDS:
        return None
    if found.mask is not None:
        affine = readers.affine(ref) if len(found.mask) > 1 else None
        return {"blob": blobs.put(*mask_blob(found.mask, affine, ref)), "classes": classes}
    assert found.boxes is not None
    assert found.box_classes is not None
    rows = zip(found.boxes.tolist(), found.box_classes.tolist(), strict=True)
    return {"classes": classes, "boxes": [dict(zip(EDGES, edges, strict=True)) | {"class": kind} for edges, kind in rows]}


def mask_blob(mask: NDArray[np.uint8], affine: Array | None, ref: ImageRef) -> tuple[bytes, str]:
    """A mask ``(Z, Y, X)`` of an image as a blob's bytes, and their suffix."""
    if len(mask) > 1:
        return nifti.mask_bytes(mask, affine, ref.spacing_mm), ".nii.gz"
    return png.mask_bytes(mask[0]), ".png"


def _mask(ref: ImageRef, value: Json, target: Target, blobs: Blobs) -> ImageRef:
    meaning = {number: target.classes.index(name) + 1 for number, name in enumerate(value["classes"], 1) if name in target.classes}
    depth, height, width = ref.shape[2:]
    return outline.reference(ref.name, blobs.path(value["blob"]), (depth, height, width), {0: 0} | meaning)


def _boxes(value: Json, target: Target) -> tuple[Array, Array]:
    """Boxes ``(k, 6)`` and classes ``(k,)`` of the target's classes."""
    names = [str(each) for each in value["classes"]]
    kept = [each for each in value["boxes"] if names[each["class"]] in target.classes]
    edges = np.array([_edges(each, len(names)) for each in kept], np.float64).reshape(-1, 6)
    return edges, np.array([target.classes.index(names[each["class"]]) for each in kept], dtype=np.int64)


def _edges(box: Json, classes: int) -> list[float] | None:
    """The edges of a box; None for one that is none."""
    try:
        edges, number = [float(box[name]) for name in EDGES], box["class"]
    except (KeyError, TypeError, ValueError):
        return None
    sound = np.isfinite(edges).all() and all(low < high for low, high in zip(edges[:3], edges[3:], strict=True))
    return edges if sound and isinstance(number, int) and 0 <= number < classes else None
