"""nnU-Net folders: ``imagesTr``, ``labelsTr``, and ``dataset.json`` that says what the values mean.

``imagesTr/case_0000.nii.gz`` has the mask ``labelsTr/case.nii.gz``; several channels are one image. With ``labelsTs`` the
given split is training and test. Of a label made of several values (regions) each value belongs to the smallest region it is in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from medloop.errors import InputError, Unreadable
from medloop.labels import _label_maps
from medloop.labels._cases import Said
from medloop.labels._labelled import Labelled, Using, problem
from medloop.labels._mask_classes import Meanings
from medloop.labels._mask_pairs import stem, without_channel
from medloop.labels._truths import Reading, labelled
from medloop.readers import _nnunet
from medloop.requests import SourceRequest
from medloop.types import ImageRef, Json, Split

if TYPE_CHECKING:
    from medloop.readers import Collection

ORDER = 45
STRUCTURED = True
EXAMPLE = "an nnU-Net folder: imagesTr, labelsTr, dataset.json"


def opens(path: Path) -> bool:
    """Whether the path is nnU-Net's ``dataset.json``, by its name."""
    return path.name == "dataset.json"


def find(collection: Collection, request: SourceRequest, using: Using | None = None) -> Labelled | None:
    """The masks of an nnU-Net folder; None where the source is none, or where ``--masks`` says which files are masks.

    Raises `InputError` for a ``dataset.json`` that does not say what the labels mean, or when no mask fits an image.
    """
    if request.masks is not None or not _nnunet.is_layout(collection.files):
        return None
    path = collection.root / "dataset.json"
    try:
        meanings = _meanings(_nnunet.about(path)["labels"])
    except Unreadable as error:
        raise _wrong(f"dataset.json is {error}.") from None
    masks = {(_part(mask.name), stem(mask.name)): mask for mask in collection.masks}
    keys = [(_part(ref.name), without_channel(stem(ref.name))) for ref in collection.refs]
    chosen = [masks.get(key) for key in keys]
    if not any(chosen):
        raise _wrong("No file in labelsTr has the name of an image in imagesTr.")
    read = _label_maps.read(collection.refs, chosen, meanings, using)
    reading = Reading(
        truths=(read.truth,),
        says=f"An nnU-Net folder: {sum(map(bool, chosen))} masks show {read.shows}.",
        problems=[*(problem(None, masks[key].name, "no image fits this mask") for key in masks.keys() - set(keys)), *read.problems],
        found=read.found,
        files={str(path), *(file for mask in chosen if mask is not None for file in mask.files)},
        said=_splits(collection.refs, chosen),
    )
    return labelled(collection.refs, reading, "label map")


def _wrong(got: str) -> InputError:
    return InputError(
        "bad-nnunet",
        got=got,
        allowed='dataset.json with "labels": {"background": 0, "liver": 1}; labelsTr/CASE.nii.gz for imagesTr/CASE_0000.nii.gz.',
        fix="Mend dataset.json, or say with --masks and --mask-classes which files are masks and what they show.",
    )


def _meanings(labels: Mapping[str, Json]) -> Meanings:
    """Values with their names; ``{"liver": 1}`` of the second version, ``{"1": "liver"}`` of the first. Raises `Unreadable`."""
    found: dict[int, tuple[int, str]] = {}
    for key, value in labels.items():
        name, values = (str(value), [int(key)]) if key.isdecimal() and isinstance(value, str) else (key, value)
        values = values if isinstance(values, list) else [values]
        if not values or not all(isinstance(each, int) and each >= 0 for each in values):
            raise Unreadable(f"not nnU-Net's: the label '{key}' has no value")
        for each in values:
            found[each] = min(found.get(each, (len(values), name)), (len(values), name), key=lambda pair: pair[0])
    return Meanings({value: name for value, (_, name) in sorted(found.items()) if value})


def _part(name: str) -> str:
    """``Tr`` or ``Ts``."""
    return name.partition("/")[0][-2:]


def _splits(refs: Sequence[ImageRef], chosen: Sequence[ImageRef | None]) -> list[Said]:
    tested = any(mask is not None and _part(ref.name) == "Ts" for ref, mask in zip(refs, chosen, strict=True))
    return [Said(split=(Split.TEST if _part(ref.name) == "Ts" else Split.TRAIN) if tested else None) for ref in refs]
