"""Columns of measures in a table: what is measured, its unit, and its number in each row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from medloop.labels._columns import Holds, Profile, number
from medloop.labels._truths import tally
from medloop.labels._values import unit_of
from medloop.types import Json, Target, TargetKind, Truth


def divided(columns: Sequence[Profile]) -> tuple[list[Profile], list[Profile]]:
    """Label columns that hold classes and such, and those that hold measures.

    A measure is a column of numbers, or, where its name tells a unit, any whose cells are numbers.
    """
    measures = [each for each in columns if each.holds is Holds.NUMBERS or (unit_of(each.name) and _numeric(each))]
    return [each for each in columns if each not in measures], measures


def _numeric(column: Profile) -> bool:
    filled = [cell for cell in column.cells if cell]
    return bool(filled) and all(number(cell) is not None for cell in filled)


def target_of(columns: Sequence[Profile]) -> Target:
    """The target of these measures, with their units as their names tell them."""
    names = tuple(each.name for each in columns)
    return Target(TargetKind.MEASURES, names, name="measures", units=tuple(unit_of(name) or "" for name in names))


def rows_of(columns: Sequence[Profile]) -> list[tuple[float | None, ...]]:
    """The measures of each row, None where a cell holds no number."""
    return [tuple(number(cell) for cell in cells) for cells in zip(*(each.cells for each in columns), strict=True)]


def wrong(columns: Sequence[Profile]) -> list[tuple[int, str]]:
    """Row position and problem of cells that are no number."""
    return [
        (row, f"'{cell}' in column '{each.name}' is no number")
        for each in columns
        for row, cell in enumerate(each.cells)
        if cell and number(cell) is None
    ]


def truth_of(target: Target, measures: Sequence[tuple[float | None, ...]], rows: Sequence[int]) -> Truth:
    """The measures of cases, by the row of the table that labels each."""
    numbers = np.array([[np.nan if each is None else each for each in measures[row]] for row in rows], dtype=np.float64)
    numbers = numbers.reshape(len(rows), len(target.classes))
    return Truth(target=target, known=np.asarray(np.isfinite(numbers).any(axis=1)), numbers=numbers)


def found_of(truth: Truth) -> list[dict[str, Json]]:
    """Rows of `Labelled.found`."""
    return [] if truth.numbers is None else tally(truth.target, np.isfinite(truth.numbers).astype(np.int64).tolist())


def says(target: Target) -> str:
    """The measures in a sentence's part."""
    named: Mapping[str, str] = dict(zip(target.classes, target.units, strict=True))
    told = ", ".join(f"'{name}'{f' in {unit}' if unit else ''}" for name, unit in named.items())
    return f"column {told} is a measure" if len(named) == 1 else f"columns {told} are measures"
