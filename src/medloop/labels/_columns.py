"""What the columns of a table hold: numbers, flags, lists, classes, and who, where and which split."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from medloop.labels._words import MISSING, split_of

_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?")
_SMALL_CLASSES = 20
_MOST_CLASSES = 100
_AGE = re.compile(r"0*(\d{1,3})(?:[.,]\d+)?\s*([YMWDymwd]?)[A-Za-z. ]*")
_YEARS = {"y": 1.0, "m": 1 / 12, "w": 1 / 52.2, "d": 1 / 365.25, "": 1.0}


class Holds(StrEnum):
    """What a column's cells look like."""

    EMPTY = "nothing"
    SAME = "one and the same value"
    FLAGS = "0 and 1"
    LISTS = "lists with |"
    CLASSES = "classes"
    NUMBERS = "numbers"
    TEXT = "free text"


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """One column: its ``name``, its cells with missing ones emptied, what it ``holds``, ``because`` in words."""

    name: str
    cells: tuple[str, ...]
    holds: Holds
    because: str
    distinct: int

    @property
    def key(self) -> str:
        """The name in small letters with single underscores."""
        return plain(self.name)


def plain(name: str) -> str:
    """A column name for comparison: small letters and digits with single underscores between words."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)
    return re.sub(r"[^a-z0-9]+", "_", apart.lower()).strip("_")


def number(cell: str) -> float | None:
    """The number in a cell, decimal comma or point; None for anything else."""
    text = cell.strip()
    if not _NUMBER.fullmatch(text):
        return None
    value = float(text.replace(",", "."))
    return value if math.isfinite(value) else None


def profile(name: str, cells: Sequence[str]) -> Profile:
    """What a column holds, judged by all its cells."""
    clean = tuple("" if cell.casefold() in MISSING else cell for cell in cells)
    counted = Counter(cell for cell in clean if cell)
    holds, because = _judge(counted)
    return Profile(name, clean, holds, because, len(counted))


def _judge(counted: Counter[str]) -> tuple[Holds, str]:
    filled = counted.total()
    if not counted:
        return Holds.EMPTY, "every cell is empty"
    numbers = {cell: value for cell in counted if (value := number(cell)) is not None}
    values = set(numbers.values())
    if len(numbers) == len(counted) and values <= {0.0, 1.0, -1.0} and values != {-1.0}:
        uncertain = ", -1 for uncertain" if -1.0 in values else ""
        return Holds.FLAGS, f"only 0 and 1{uncertain}"
    if len(counted) == 1:
        return Holds.SAME, f"every cell says '{next(iter(counted))}'"
    if any("|" in cell for cell in counted) and _listed(counted):
        return Holds.LISTS, "cells list several findings with |"
    if len(numbers) == len(counted):
        return _numeric(values, filled)
    if sum(counted[cell] for cell in numbers) > 0.9 * filled and len(values) > _SMALL_CLASSES:
        return Holds.NUMBERS, f"{len(values)} different numbers, and some cells that are none"
    if len(counted) <= _MOST_CLASSES and len(counted) <= max(2, filled // 2):
        return Holds.CLASSES, f"{len(counted)} different values in {filled} cells"
    return Holds.TEXT, f"{len(counted)} different values in {filled} cells"


def _numeric(values: set[float], filled: int) -> tuple[Holds, str]:
    whole = all(value.is_integer() for value in values)
    if whole and len(values) <= _SMALL_CLASSES and len(values) <= max(2, filled // 2):
        return Holds.CLASSES, f"{len(values)} different small whole numbers"
    if not whole and len(values) <= 5 and len(values) <= filled // 10:
        return Holds.CLASSES, f"only {len(values)} different numbers"
    return Holds.NUMBERS, f"{len(values)} different numbers from {min(values):g} to {max(values):g}"


def _listed(counted: Counter[str]) -> bool:
    """Whether the parts between bars repeat, as findings do."""
    parts = Counter(part.strip() for cell in counted for part in cell.split("|"))
    return len(parts) <= _MOST_CLASSES


def is_split(cells: Sequence[str]) -> bool:
    """Whether every filled cell names a split, and more than one is named."""
    named = {split_of(cell) for cell in cells if cell}
    return len(named) > 1 and None not in named


def sex_of(name: str, cell: str) -> str | None:
    """``F`` or ``M`` from a sex column, or from a yes/no column called ``male`` or ``female``."""
    text = cell.casefold()
    if plain(name) in ("male", "is_male", "female", "is_female"):
        if text not in ("1", "true", "yes", "0", "false", "no"):
            return None
        return "M" if (text in ("1", "true", "yes")) is (plain(name) in ("male", "is_male")) else "F"
    return {"f": "F", "female": "F", "w": "F", "woman": "F", "m": "M", "male": "M", "man": "M", "o": "O", "other": "O"}.get(text)


def age_band(cell: str) -> str | None:
    """``60-69`` from ``63``, ``063Y`` or ``63.5 years``; None outside 0 to 120."""
    matched = _AGE.fullmatch(cell.strip())
    if not matched:
        return None
    years = int(matched[1]) * _YEARS[matched[2].lower()]
    if years > 120:
        return None
    decade = int(years // 10) * 10
    return f"{decade}-{decade + 9}"
