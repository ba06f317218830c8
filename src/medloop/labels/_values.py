"""Cells of label columns as label values: each function gives the target, a value for each row (None: no label), and cells that are
wrong.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from medloop.labels._columns import Profile, number
from medloop.labels._words import NOTHING, ordered
from medloop.types import LabelValue, Target, TargetKind

Wrong: TypeAlias = list[tuple[int, str]]
Parsed: TypeAlias = tuple[Target, list[LabelValue | None], Wrong]
_UNIT = re.compile(r".*(?:[_ ]|\[|\()(mm2|mm3|mm|cm|ml|um|kg|g|hu|years|months|days|percent|%)[\])]?", re.IGNORECASE)


def class_column(column: Profile) -> Parsed:
    """One class for each row. Spellings that differ only in capitals and blanks, or ``1`` and ``1.0``, are one class."""
    spelling = _spellings(column.cells)
    values: list[LabelValue | None] = [spelling.get(cell) for cell in column.cells]
    return _classes(set(spelling.values())), values, []


def one_hot_columns(columns: Sequence[Profile]) -> Parsed:
    """One column for each class, exactly one of them 1."""
    values: list[LabelValue | None] = []
    wrong: Wrong = []
    for row, cells in enumerate(zip(*(column.cells for column in columns), strict=True)):
        marked = [column.name for column, cell in zip(columns, cells, strict=True) if number(cell) == 1]
        values.append(marked[0] if len(marked) == 1 else None)
        if any(cells) and len(marked) != 1:
            wrong.append((row, f"{len(marked)} classes are marked where one must be"))
    names = [column.name for column in columns]
    target = _classes(names)
    kind = TargetKind.BINARY if len(names) == 2 else TargetKind.MULTICLASS
    return Target(kind, target.classes if len(names) == 2 else tuple(names)), values, wrong


def flag_columns(columns: Sequence[Profile]) -> Parsed:
    """One column for each finding: 1 present, 0 absent, blank or -1 unknown."""
    names = tuple(column.name for column in columns)
    values: list[LabelValue | None] = []
    for cells in zip(*(column.cells for column in columns), strict=True):
        found = tuple((name, _flag(cell)) for name, cell in zip(names, cells, strict=True))
        values.append(found if any(value is not None for _, value in found) else None)
    return Target(TargetKind.MULTILABEL, names), values, []


def list_column(column: Profile) -> Parsed:
    """Findings separated by ``|``; a single 'No Finding', 'none' or 'normal' means that none is present."""
    spelling = _spellings(part.strip() for cell in column.cells for part in cell.split("|"))
    names = tuple(sorted({name for name in spelling.values() if name.casefold() not in NOTHING}, key=str.casefold))
    values: list[LabelValue | None] = []
    wrong: Wrong = []
    for row, cell in enumerate(column.cells):
        parts = {spelling[part.strip()] for part in cell.split("|") if part.strip()}
        nothing = {part for part in parts if part.casefold() in NOTHING}
        if nothing and parts - nothing:
            wrong.append((row, f"'{cell}' says both a finding and none"))
            values.append(None)
        else:
            values.append(tuple((name, float(name in parts)) for name in names) if parts else None)
    return Target(TargetKind.MULTILABEL, names), values, wrong


def number_column(column: Profile) -> Parsed:
    """A number for each row, decimal comma or point."""
    values: list[LabelValue | None] = [number(cell) for cell in column.cells]
    wrong = [
        (row, f"'{cell}' is no number")
        for row, (cell, value) in enumerate(zip(column.cells, values, strict=True))
        if cell and value is None
    ]
    return Target(TargetKind.NUMBER, name=column.name, unit=unit_of(column.name)), values, wrong


def unit_of(name: str) -> str | None:
    """The unit that a column's name tells: ``mm`` of ``diameter_mm``."""
    matched = _UNIT.fullmatch(name)
    return matched[1] if matched else None


def _classes(names: Iterable[str]) -> Target:
    classes = ordered(names)
    return Target(TargetKind.BINARY if len(classes) == 2 else TargetKind.MULTICLASS, classes)


def _flag(cell: str) -> float | None:
    value = number(cell)
    return value if value in (0.0, 1.0) else None


def _spellings(cells: Iterable[str]) -> dict[str, str]:
    """For each spelling the class it means: the most frequent of those that differ only in capitals, blanks or ``.0``."""
    best: dict[str, str] = {}
    counted = Counter(cell for cell in cells if cell)
    for cell, _ in counted.most_common():
        best.setdefault(_folded(cell), _whole(cell))
    return {cell: best[_folded(cell)] for cell in counted}


def _whole(cell: str) -> str:
    """``1`` for ``1.0``; other cells as they are."""
    value = number(cell)
    return str(int(value)) if value is not None and value.is_integer() and abs(value) < 1e15 else cell


def _folded(cell: str) -> str:
    return " ".join(_whole(cell).split()).casefold()
