"""The function that says a result in words, and the words that several results share."""

from __future__ import annotations

from collections.abc import Iterable
from functools import singledispatch
from typing import Any

_REASONS = 12


@singledispatch
def as_text(result: Any) -> str:
    """What a person reads after a verb is done."""
    raise TypeError(f"no text for {type(result).__name__}")


def number(value: Any) -> str:
    """A figure in a column, or a dash where there is none."""
    return f"{value:8.3f}" if isinstance(value, (int, float)) else f"{'-':>8}"


def reasons(rejected: list[dict[str, str]]) -> list[str]:
    """What is not used, by reason, the most frequent first."""
    grouped: dict[str, list[str]] = {}
    for each in rejected:
        grouped.setdefault(each["reason"], []).append(each["path"])
    shown = sorted(grouped.items(), key=lambda item: -len(item[1]))
    lines = [f"  not used, {reason}: {_few(paths)}" for reason, paths in shown[:_REASONS]]
    more = sum(len(paths) for _, paths in shown[_REASONS:])
    return [*lines, f"  not used for other reasons: {more} more (--json lists all)"] if more else lines


def some(what: str, lines: Iterable[str]) -> list[str]:
    """How many there are, and the first five."""
    shown = list(lines)
    if not shown:
        return []
    more = [f"  … and {len(shown) - 5} more, all in the report"] if len(shown) > 5 else []
    return [f"{len(shown)} {what}:", *(f"  {line}" for line in shown[:5]), *more]


def _few(paths: list[str]) -> str:
    """The first three, and how many more there are."""
    return ", ".join(paths[:3]) + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")
