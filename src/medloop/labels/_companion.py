"""A second table beside the label table that says more of the same images, as the ISIC challenges give it.

``ISIC_2019_Training_GroundTruth.csv`` holds the classes, ``ISIC_2019_Training_Metadata.csv`` beside it age, sex and which lesion a
picture shows. Without the second one, pictures of one lesion would fall on both sides of a split.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from medloop.labels import _sheet
from medloop.labels._sheet import Sheet

_TRUTH = "GroundTruth"
_MORE = ("Metadata", "LesionGroupings")


def companions(path: Path) -> tuple[Path, ...]:
    """The tables that belong to a label table, by their names. They may not be there."""
    head, word, tail = path.name.rpartition(_TRUTH)
    return tuple(path.with_name(f"{head}{more}{tail}") for more in _MORE) if word else ()


def joined(sheet: Sheet) -> Sheet:
    """The table with the columns of its companions, row by row: they share the column that names the images.

    Raises `InputError` for a companion that cannot be read as a table.
    """
    for path in companions(sheet.path):
        if path.is_file():
            sheet = _with(sheet, _sheet.read(path))
    return sheet


def _with(sheet: Sheet, more: Sheet) -> Sheet:
    """Cells stay empty where the companion has no row, or rows that contradict each other."""
    shared = [name for name in more.columns if name in sheet.columns]
    if len(shared) != 1:
        return sheet
    key = shared[0]
    fresh = [place for place, name in enumerate(more.columns) if name != key]
    said: dict[str, tuple[str, ...] | None] = {}
    for name, row in zip(more.column(key), more.rows, strict=True):
        cells = tuple(row[place] for place in fresh)
        said[name] = cells if said.get(name, cells) == cells else None
    empty = ("",) * len(fresh)
    rows = tuple((*row, *(said.get(name) or empty)) for name, row in zip(sheet.column(key), sheet.rows, strict=True))
    columns = (*sheet.columns, *(more.columns[place] for place in fresh))
    return replace(sheet, columns=columns, rows=rows, says=f"{sheet.says}, with {more.path.name}")
