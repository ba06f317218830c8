"""Labels of every layout: recognised, stated, matched to images; what does not fit is reported and the rest goes on.

A label format is a module here with ``ORDER``, ``EXAMPLE``, ``opens(path)`` and ``find(collection, request)`` (see `LabelFormat`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from medloop import registry
from medloop.errors import InputError
from medloop.labels import _lists
from medloop.labels._labelled import LabelFormat, Labelled
from medloop.labels._words import NOTHING
from medloop.requests import SourceRequest, listed

if TYPE_CHECKING:
    from medloop.readers import Collection

__all__ = ["NOTHING", "LabelFormat", "Labelled", "find", "read"]


def read(collection: Collection, request: SourceRequest) -> Labelled:
    """The labels of a collection, from ``--labels`` or from wherever the source carries them.

    Raises `InputError` when there are none, with the ways to give them, or when they cannot be read.
    """
    labelled = find(collection, request)
    if labelled is None:
        ways = "; ".join(f"({number}) {each.EXAMPLE}" for number, each in enumerate(reversed(_formats()), 1))
        raise InputError(
            "no-labels",
            got=f"No labels were found for the {len(collection.refs)} images of {collection.root}.",
            allowed=f"{ways}.",
            fix="Give a table with --labels, or sort the images into class folders.",
        )
    return labelled


def find(collection: Collection, request: SourceRequest) -> Labelled | None:
    """As `read`, but None when the source carries no labels and none are named."""
    formats = _formats()
    if request.labels is not None:
        formats = [_named(request.labels, formats)]
    labelled = next((found for each in formats if (found := each.find(collection, request)) is not None), None)
    if labelled is None or not request.split_lists:
        return labelled
    return _lists.apply(labelled, listed(request.split_lists))


def _formats() -> list[LabelFormat]:
    found = [cast(LabelFormat, registry.load("labels", name)) for name in registry.names("labels")]
    return sorted(found, key=lambda each: each.ORDER)


def _named(labels: str, formats: list[LabelFormat]) -> LabelFormat:
    path = Path(labels).expanduser()
    fitting = next((each for each in formats if each.opens(path)), None)
    if fitting is None:
        raise InputError(
            "bad-labels",
            got=f"--labels {labels} is no label file that can be read.",
            allowed="A CSV, TSV or XLSX table, or an .npz.",
            fix="Give the table itself; leave --labels out for class folders.",
        )
    return fitting
