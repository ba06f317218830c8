"""Measures as a table: one row a case, the unit in the column's name, and in words the rules that a case breaks."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence

from medloop.types import Violation

VIOLATIONS = "violations"


def column(name: str, unit: str = "") -> str:
    """The name of a measure's column: ``nucleus area (mm2)``."""
    return f"{name} ({unit})" if unit else name


def table(
    rows: Iterable[tuple[str, Mapping[str, float], Sequence[Violation]]], units: Mapping[str, str] | None = None, flags: bool = True
) -> str:
    """CSV text of ``(case, measures, violations)``. Columns are in the order in which the names first come; what a case has not is
    empty. ``units``: of each measure. ``flags``: with the column of violations.
    """
    given = list(rows)
    names = list(dict.fromkeys(name for _, measures, _ in given for name in measures))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    head = [column(name, (units or {}).get(name, "")) for name in names]
    writer.writerow(["case", *head, *([VIOLATIONS] if flags else [])])
    for case, measures, violations in given:
        told = [_text(measures.get(name)) for name in names]
        writer.writerow([case, *told, *(["; ".join(map(in_words, violations))] if flags else [])])
    return out.getvalue()


def in_words(violation: Violation) -> str:
    """A broken rule on one line: its name, the value found, what is allowed."""
    return f"{violation.rule}: {violation.value} (allowed: {violation.allowed})"


def _text(value: float | None) -> str:
    return "" if value is None or not math.isfinite(value) else f"{value:.6g}"
