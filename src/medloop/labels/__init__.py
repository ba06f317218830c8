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
from medloop.labels._labelled import LabelFormat, Labelled
from medloop.labels._words import NOTHING
from medloop.requests import SourceRequest, listed

if TYPE_CHECKING:
    from medloop.compute import Compute
    from medloop.readers import Collection

__all__ = ["NOTHING", "LabelFormat", "Labelled", "find", "read"]


_OF_MASKS = ("masks", "seg")
"""The formats of files that ``--masks`` names."""


def read(collection: Collection, request: SourceRequest, compute: Compute | None = None) -> Labelled:
    """The labels of a collection, from ``--labels`` and ``--masks`` or from wherever the source carries them.

    Raises `InputError` when there are none, with the ways to give them, or when they cannot be read.
    """
    labelled = find(collection, request, compute)
    if labelled is None:
        ways = "; ".join(f"({number}) {each.EXAMPLE}" for number, each in enumerate(reversed(_formats()), 1))
        raise InputError(
            "no-labels",
            got=f"No labels were found for the {len(collection.refs)} images of {collection.root}.",
            allowed=f"{ways}.",
            fix="Give a table with --labels, or sort the images into class folders.",
        )
    return labelled


def find(collection: Collection, request: SourceRequest, compute: Compute | None = None) -> Labelled | None:
    """As `read`, but None when the source carries no labels and none are named.

    Classes come from the first format that has some, masks and boxes from every one. ``compute``: opens masks in its processes.
    """
    formats = _formats()
    if request.labels is None:
        parts = [each.find(collection, request, compute) for each in formats if each.STRUCTURED]
        structured = [part for part in parts if part is not None]
        parts = [_classes(collection, request, formats, beside=bool(structured)), *structured]
    else:
        named = _named(request.labels, formats)
        parts = [each.find(collection, replace(request, labels=paths), compute) for each, paths in named]
        beside = [cast(LabelFormat, registry.load("labels", name)) for name in _OF_MASKS] if request.masks else []
        parts += [each.find(collection, replace(request, labels=None), compute) for each in beside]
    found = [part for part in parts if part is not None]
    if not found:
        return None
    labelled = _truths.joined(found, collection.refs)
    return _lists.apply(labelled, listed(request.split_lists)) if request.split_lists else labelled


def _classes(collection: Collection, request: SourceRequest, formats: Sequence[LabelFormat], *, beside: bool) -> Labelled | None:
    """Classes found in the source. Those that cannot be understood are none where masks or boxes stand ``beside``."""
    try:
        plain = (each.find(collection, request) for each in formats if not each.STRUCTURED)
        return next((found for found in plain if found is not None), None)
    except InputError:
        if not beside or request.label_columns or request.id_column:
            raise
        return None


def _formats() -> list[LabelFormat]:
    found = [cast(LabelFormat, registry.load("labels", name)) for name in registry.names("labels")]
    return sorted(found, key=lambda each: each.ORDER)


def _named(labels: str, formats: Sequence[LabelFormat]) -> list[tuple[LabelFormat, str]]:
    """The formats of the paths in ``--labels``, each with its paths. Raises `InputError` for a path of no format."""
    paths = (labels,) if Path(labels).expanduser().exists() else listed(labels)
    by_format: dict[int, list[str]] = {}
    for path in paths:
        place = next((place for place, each in enumerate(formats) if each.opens(Path(path).expanduser())), None)
        if place is None:
            raise InputError(
                "bad-labels",
                got=f"--labels {path} is no label file that can be read.",
                allowed="A table (CSV, TSV, XLSX), an .npz, a COCO JSON, Pascal VOC or DICOM SEG files, nnU-Net's dataset.json.",
                fix="Give the file itself; leave --labels out for class folders.",
            )
        by_format.setdefault(place, []).append(path)
    return [(formats[place], ",".join(same)) for place, same in by_format.items()]
