"""DICOM segmentations (SEG) beside the series they are about: each names its series, and its segments by label.

Segments of one label are one class, whichever file they are in. Those called background are none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from medloop import readers
from medloop.errors import InputError, Unreadable
from medloop.labels import _label_maps
from medloop.labels._labelled import Labelled, Using, problem
from medloop.labels._mask_classes import Meanings, is_class
from medloop.labels._truths import Reading, labelled
from medloop.readers import seg
from medloop.readers.labelmap import Grid
from medloop.readers.seg import Segmentation
from medloop.requests import SourceRequest, listed
from medloop.types import ImageRef, Json

if TYPE_CHECKING:
    from medloop.readers import Collection

ORDER = 65
STRUCTURED = True
EXAMPLE = "DICOM segmentations (SEG) beside the series they are about"
_ENDINGS = (".dcm", ".seg")


def opens(path: Path) -> bool:
    """Whether the path is a DICOM file by its name, or a folder with such files."""
    return path.suffix.lower() in _ENDINGS or (path.is_dir() and any(each.suffix.lower() in _ENDINGS for each in path.iterdir()))


def find(collection: Collection, request: SourceRequest, using: Using | None = None) -> Labelled | None:
    """The segmentations in the source, or of ``--labels``; None where there are none.

    Raises `InputError` when those of ``--labels`` are about no image that was found.
    """
    named = request.labels is not None
    problems: list[dict[str, Json]] = []
    described = []
    for path in _paths(collection, request):
        try:
            described.append(seg.describe(path))
        except Unreadable as error:
            problems.append(problem(None, Path(path).name, str(error)))
    by_image = _by_image(described, collection.refs, problems)
    if not by_image:
        if named:
            why = f" {problems[0]['name']}: {problems[0]['problem']}." if problems else ""
            raise _wrong(f"No image got a mask from --labels {request.labels}.{why}")
        return None
    used = (each for about in by_image.values() for each in about)
    names = dict.fromkeys(label for each in used for _, label in each.segments if is_class(label))
    values = {name: place for place, name in enumerate(names, 1)}
    masks = [_mask(ref, by_image.get(row, ()), values, problems) for row, ref in enumerate(collection.refs)]
    read = _label_maps.read(collection.refs, masks, Meanings({value: name for name, value in values.items()}), using)
    reading = Reading(
        truths=(read.truth,),
        says=f"DICOM segmentations of {sum(map(bool, masks))} images show {read.shows}.",
        problems=[*problems, *read.problems],
        found=read.found,
        files={file for mask in masks if mask is not None for file in mask.files},
    )
    return labelled(collection.refs, reading, "segmentation")


def _paths(collection: Collection, request: SourceRequest) -> list[str]:
    if request.labels is None:
        return [str((collection.root / each.path).resolve()) for each in collection.rejected if "(SEG)" in each.reason]
    found: list[str] = []
    for name in listed(request.labels):
        path = Path(name).expanduser().resolve()
        if not path.exists():
            raise _wrong(f"There is nothing at --labels {name}.")
        inside = sorted(path.iterdir()) if path.is_dir() else [path]
        found += [str(each) for each in inside if each.suffix.lower() in _ENDINGS]
    return found


def _wrong(got: str) -> InputError:
    return InputError(
        "bad-labels",
        got=got,
        allowed="DICOM segmentations (SEG) that name a series among the images.",
        fix="Check that the series is there, or give label maps with --masks.",
    )


def _by_image(
    described: Sequence[Segmentation], refs: Sequence[ImageRef], problems: list[dict[str, Json]]
) -> dict[int, list[Segmentation]]:
    """The segmentations of each image, by its row. Adds to ``problems`` those whose series is not there."""
    rows: dict[str, list[int]] = defaultdict(list)
    for row, ref in enumerate(refs):
        if ref.series:
            rows[ref.series].append(row)
    found: dict[int, list[Segmentation]] = defaultdict(list)
    for each in described:
        fitting = rows.get(each.series or "", [])
        for row in fitting:
            found[row].append(each)
        if not fitting:
            problems.append(problem(None, Path(each.path).name, "the series that it is about is not among the images"))
    return found


def _mask(
    ref: ImageRef, about: Sequence[Segmentation], values: Mapping[str, int], problems: list[dict[str, Json]]
) -> ImageRef | None:
    """The label map of one image."""
    if not about:
        return None
    try:
        affine = readers.affine(ref)
    except Unreadable as error:
        problems.append(problem(None, ref.name, f"its segmentation cannot be used: {error}"))
        return None
    if affine is None:
        problems.append(problem(None, ref.name, "it has a segmentation, but does not say where it lies in the patient"))
        return None
    grid = Grid((ref.shape[2], ref.shape[3], ref.shape[4]), affine)
    meant = {each.path: {number: values[label] for number, label in each.segments if label in values} for each in about}
    return seg.reference(ref, grid, meant)
