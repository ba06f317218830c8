"""Labels of every layout: recognised, stated, matched to images; what does not fit is reported and the rest goes on.

A label format is a module here with ``ORDER``, ``EXAMPLE``, ``opens(path)`` and ``find(collection, request)`` (see `LabelFormat`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from medloop import registry
from medloop.errors import InputError
from medloop.labels import _lists, _truths
from medloop.labels._cases import case_of
from medloop.labels._labelled import LabelFormat, Labelled, Using
from medloop.labels._words import NOTHING, patient_of
from medloop.requests import SourceRequest, listed

if TYPE_CHECKING:
    from medloop.readers import Collection

__all__ = ["NOTHING", "LabelFormat", "Labelled", "Using", "case_of", "check", "find", "patient_of", "read"]


_NO_LABEL = ("no-label-column", "which-label-column", "which-table")
"""What may be wrong with a table that is not needed for classes."""
_OF_MASKS = ("masks", "seg")
"""The formats of files that ``--masks`` names."""
_LABEL_FILES = "A table (CSV, TSV, XLSX), an .npz, a COCO JSON, Pascal VOC or DICOM SEG files, nnU-Net's dataset.json."


def read(collection: Collection, request: SourceRequest, using: Using | None = None) -> Labelled:
    """The labels of a collection, from ``--labels`` and ``--masks`` or from wherever the source carries them.

    Raises `InputError` when there are none, with the ways to give them, or when they cannot be read.
    """
    labelled = find(collection, request, using)
    if labelled is None:
        told = sorted(_formats(), key=lambda each: (each.STRUCTURED, -each.ORDER))
        ways = "; ".join(f"({number}) {each.EXAMPLE}" for number, each in enumerate(told, 1))
        raise InputError(
            "no-labels",
            got=f"No labels were found for the {len(collection.refs)} images of {collection.root}.",
            allowed=f"{ways}.",
            fix="Give a table with --labels, or sort the images into class folders.",
        )
    return labelled


def check(request: SourceRequest) -> None:
    """Raises `InputError` where ``--labels`` names what is not there or no label file, before any image is looked for."""
    if request.labels is not None:
        _named(request.labels, _formats())


def find(collection: Collection, request: SourceRequest, using: Using | None = None) -> Labelled | None:
    """As `read`, but None when the source carries no labels and none are named.

    Classes come from the first format that has some, masks and boxes from every one. ``using``: how files are opened.
    """
    if request.mask_classes is not None and request.masks is None:
        raise InputError(
            "bad-mask-classes",
            got=f"--mask-classes {request.mask_classes} without --masks.",
            allowed="--mask-classes says what the values of the masks mean that --masks names.",
            fix="Say which files are masks: --masks '*_mask.png'.",
        )
    found = _in_source(collection, request, using) if request.labels is None else _asked(collection, request, using)
    if not found:
        return None
    labelled = _truths.joined(found, collection.refs)
    return _lists.apply(labelled, listed(request.split_lists)) if request.split_lists else labelled


def _in_source(collection: Collection, request: SourceRequest, using: Using | None) -> list[Labelled]:
    """What the source carries."""
    structured = [each.find(collection, request, using) for each in _formats() if each.STRUCTURED]
    found = [part for part in structured if part is not None]
    plain = (each for each in _formats() if not each.STRUCTURED)
    classes = next((part for each in plain if (part := _classes(each, collection, request, beside=bool(found)))), None)
    return found if classes is None else [classes, *found]


def _asked(collection: Collection, request: SourceRequest, using: Using | None) -> list[Labelled]:
    """What ``--labels`` and ``--masks`` name. Raises `InputError` where a file has none."""
    named = _named(str(request.labels), _formats())
    beside = request.masks is not None or any(each.STRUCTURED for each, _ in named)
    found = []
    for each, paths in named:
        asked = replace(request, labels=paths)
        plain = not each.STRUCTURED
        found.append(_classes(each, collection, asked, beside=beside) if plain else each.find(collection, asked, using))
    if request.masks is not None:
        masks = [cast(LabelFormat, registry.load("labels", name)) for name in _OF_MASKS]
        found += [each.find(collection, replace(request, labels=None), using) for each in masks]
    return [part for part in found if part is not None]


def _classes(each: LabelFormat, collection: Collection, request: SourceRequest, *, beside: bool) -> Labelled | None:
    """Classes of one format. Where masks or boxes stand ``beside``, a table without a label column tells of patients and groups."""
    try:
        return each.find(collection, request)
    except InputError as error:
        if not beside or request.label_columns or error.code not in _NO_LABEL:
            raise
        found: Labelled | None = registry.load("labels", "table").about(collection, request)
        return found


def _formats() -> list[LabelFormat]:
    found = [cast(LabelFormat, registry.load("labels", name)) for name in registry.names("labels")]
    return sorted(found, key=lambda each: each.ORDER)


def _named(labels: str, formats: Sequence[LabelFormat]) -> list[tuple[LabelFormat, str]]:
    """The formats of the paths in ``--labels``, each with its paths. Raises `InputError` for what is missing or of no format."""
    paths = (labels,) if Path(labels).expanduser().exists() else listed(labels)
    if missing := [path for path in paths if not Path(path).expanduser().exists()]:
        raise InputError(
            "no-labels",
            got=f"There is no label table or file at {', '.join(missing)}.",
            allowed=_LABEL_FILES,
            fix="Check the spelling, or give the full path.",
        )
    by_format: dict[int, list[str]] = {}
    for path in paths:
        place = next((place for place, each in enumerate(formats) if each.opens(Path(path).expanduser())), None)
        if place is None:
            raise InputError(
                "bad-labels",
                got=f"--labels {path} is no label file that can be read.",
                allowed=_LABEL_FILES,
                fix="Give the file itself; leave --labels out for class folders.",
            )
        by_format.setdefault(place, []).append(path)
    return [(formats[place], ",".join(same)) for place, same in by_format.items()]
