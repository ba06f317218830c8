"""Rows of tables to values and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, TypeAlias, TypeVar

import sqlalchemy as sa

from medloop.errors import InputError

T = TypeVar("T")
Row: TypeAlias = Mapping[Any, Any]
"""Columns by name."""
_MANY = 500
"""As many values as one statement asks for on every database."""


def said(row: Any) -> dict[str, Any]:
    """A new row's columns, without the number that the store gives."""
    return {name: getattr(row, name) for name in _names(type(row)) if name != "id"}  # type: ignore[arg-type]


def made(kind: type[T], row: Row) -> T:
    """A value of this class from a row that has its columns, and perhaps more."""
    return kind(**{name: row[name] for name in _names(kind)})  # type: ignore[arg-type]


def add(connection: sa.Connection, table: sa.Table, values: Mapping[str, Any]) -> Row:
    """Insert one row; returns it as the database keeps it, read again: SQLite's RETURNING gives a whole REAL as an integer."""
    number = connection.execute(_insertion(table), dict(values)).scalar_one()
    return dict(connection.execute(_by_number(table), {"number": number}).mappings().one())


def one(connection: sa.Connection, table: sa.Table, number: int, what: str) -> Row:
    """The row of that number. Raises `InputError`."""
    row = None
    if -(2**31) <= number < 2**31:
        row = connection.execute(_by_number(table), {"number": number}).mappings().one_or_none()
    if row is None:
        raise InputError(
            f"no-such-{what}",
            got=f"There is no {what} {number}.",
            allowed=f"The number of a {what} in the store.",
            fix="Look at the list and choose one of it.",
        )
    return dict(row)


def parts(values: Iterable[int]) -> Iterator[Sequence[int]]:
    """The values in lots small enough for one statement."""
    every = list(values)
    for start in range(0, len(every), _MANY):
        yield every[start : start + _MANY]


@cache
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(item.name for item in dataclasses.fields(kind))


@cache
def _insertion(table: sa.Table) -> sa.Insert:
    return sa.insert(table).returning(table.c.id)


@cache
def _by_number(table: sa.Table) -> sa.Select[Any]:
    return sa.select(table).where(table.c.id == sa.bindparam("number"))


def pairs(rows: Iterable[Any]) -> dict[Any, Any]:
    """Rows of two columns as a mapping from the first to the second."""
    return {row[0]: row[1] for row in rows}
