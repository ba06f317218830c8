"""Masks beside the images, found by ``--masks``: which image each belongs to, and what its values mean.

An image ``001.bmp`` has the mask ``001.png``, ``001_mask.png``, ``001_seg.nii.gz``, ``001-label.nii.gz``, or the only mask in its
folder where it is the only image there. Values get names by ``--mask-classes``; without it each value is a class of its own name.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from medloop.errors import InputError
from medloop.labels import _label_maps
from medloop.labels._labelled import Labelled, Using
from medloop.labels._mask_classes import parse
from medloop.labels._mask_pairs import pairs
from medloop.labels._truths import Reading, labelled
from medloop.requests import SourceRequest

if TYPE_CHECKING:
    from medloop.readers import Collection

ORDER = 60
STRUCTURED = True
EXAMPLE = "masks beside the images: --masks '*_mask.png' --mask-classes 1=liver,2=tumour"


def opens(path: Path) -> bool:
    """Masks are named with ``--masks``, never with ``--labels``."""
    del path
    return False


def find(collection: Collection, request: SourceRequest, using: Using | None = None) -> Labelled | None:
    """The masks of ``--masks``; None when it is not given. Raises `InputError` when none fits an image or none holds anything."""
    if request.masks is None or not collection.masks:
        return None
    meanings = None if request.mask_classes is None else parse(request.mask_classes)
    found, problems = pairs(collection.refs, collection.masks, request.masks)
    chosen = [None if place is None else collection.masks[place] for place in found]
    if not any(chosen):
        raise InputError(
            "no-masks",
            got=f"None of the {len(collection.masks)} masks ({collection.masks[0].name}, ...) fits an image "
            f"({collection.refs[0].name}, ...).",
            allowed="Masks named like their image, with _mask, _seg or -label behind it if you like, or alone in its folder.",
            fix="Rename the masks, or say which files are images with --images and which are masks with --masks.",
        )
    read = _label_maps.read(collection.refs, chosen, meanings, using)
    reading = Reading(
        truths=(read.truth,),
        says=sentence(read, sum(map(bool, chosen))),
        problems=[*problems, *read.problems],
        found=read.found,
        files={file for mask in chosen if mask is not None for file in mask.files},
    )
    return labelled(collection.refs, reading, "mask")


def sentence(read: _label_maps.Masks, count: int) -> str:
    """How masks were read, for a person."""
    empty = f" {read.empty} of them hold none of these." if read.empty else ""
    return f"{count} masks show {read.shows}.{empty}"
