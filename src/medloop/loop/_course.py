"""What came, what was proposed and what readers said, case by case, as the monitor looks at it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import sqlalchemy as sa

from medloop.store import Store, proposals, reviews
from medloop.store import tables as t
from medloop.store.records import ModelRow, ProposalRow, ReviewRow
from medloop.types import Json

EVERYWHERE = "everywhere"
_JUDGED = ("accept", "correct")
_HIDDEN = ("arriving", "deleted")


@dataclass(frozen=True, slots=True)
class Came:
    """A case: when it came, from where, what the champion proposes, and whether the last reader agreed (None: not read)."""

    id: int
    patient: str
    arrived: datetime
    site: str | None
    scanner: str | None
    label: str | None = None
    confidence: float | None = None
    unlike: bool | None = None
    agreed: bool | None = None
    read: datetime | None = None

    def places(self) -> Iterable[str]:
        """Everywhere, its site, its scanner."""
        yield EVERYWHERE
        if self.site:
            yield f"site {self.site}"
        if self.scanner:
            yield f"scanner {self.scanner}"


def course(store: Store, champion: ModelRow | None, begin: datetime) -> list[Came]:
    """Every case that came after ``begin``, in the order of arrival."""
    columns = (t.studies.c.id, t.studies.c.patient, t.studies.c.arrived, t.studies.c.site, t.studies.c.scanner)
    wanted = (
        sa.select(*columns)
        .where(t.studies.c.state.not_in(_HIDDEN), t.studies.c.arrived >= begin)
        .order_by(t.studies.c.arrived, t.studies.c.id)
    )
    with store.read() as connection:
        rows = connection.execute(wanted).all()
    numbers = [row.id for row in rows]
    proposed = proposals.latest(store, numbers, model_id=champion.id) if champion is not None else {}
    read = {row.case_id: row for row in reviews.standing(store, numbers) if row.action in _JUDGED}
    return [_came(row, proposed.get(row.id), read.get(row.id)) for row in rows]


def _came(row: Any, said: ProposalRow | None, read: ReviewRow | None) -> Came:
    compared = said is not None and read is not None and read.value is not None
    return Came(
        id=row.id,
        patient=row.patient or f"case {row.id}",
        arrived=row.arrived,
        site=row.site,
        scanner=row.scanner,
        label=None if said is None else said.label,
        confidence=None if said is None else said.confidence,
        unlike=None if said is None else said.decision == "unlike",
        agreed=_text(read.value) == said.label if compared and said is not None and read is not None else None,
        read=None if read is None else read.time,
    )


def _text(value: Json) -> str:
    """What a reader said, as a proposal says it: classes joined by ``|``."""
    if isinstance(value, (int, float)):
        return f"{value:g}"
    if isinstance(value, str):
        return value
    pairs = value.items() if isinstance(value, dict) else value or ()
    return "|".join(str(name) for name, on in pairs if on)


@dataclass(frozen=True, slots=True)
class Sides:
    """One place: its cases before and here, one of each patient. ``elsewhere``: it is new, and ``before`` are the others' cases."""

    where: str
    before: tuple[Came, ...]
    here: tuple[Came, ...]
    elsewhere: bool = False


def sides(cases: Sequence[Came], since: datetime, when: Callable[[Came], datetime | None], fewest: int, most: int) -> list[Sides]:
    """Every place with enough patients since then. A place without a past is compared with all that came before.

    ``when``: the moment that counts, None where a case does not. ``most``: of each side the last so many patients.
    """
    by_place: dict[str, tuple[list[Came], list[Came]]] = defaultdict(lambda: ([], []))
    for case in cases:
        moment = when(case)
        for place in case.places() if moment is not None else ():
            by_place[place][moment is not None and moment >= since].append(case)
    found = []
    past = _patients(by_place[EVERYWHERE][0], most)
    for place, (before, here) in sorted(by_place.items(), key=lambda item: (item[0] != EVERYWHERE, item[0])):
        one, two = _patients(before, most), _patients(here, most)
        if len(two) < fewest:
            continue
        new = len(one) < fewest and place != EVERYWHERE
        if len(past if new else one) >= fewest:
            found.append(Sides(place, past if new else one, two, new))
    return found


def _patients(cases: Iterable[Came], most: int) -> tuple[Came, ...]:
    """The first case of each patient, of the last so many patients."""
    first: dict[str, Came] = {}
    for case in cases:
        first.setdefault(case.patient, case)
    return tuple(first.values())[-most:]


def by_week(cases: Sequence[Came]) -> list[dict[str, Json]]:
    """Of every place and ISO week of arrival how many cases came, and what was proposed and agreed."""
    parts: dict[tuple[str, str], list[Came]] = defaultdict(list)
    for case in cases:
        year, week, _ = case.arrived.isocalendar()
        for place in case.places():
            parts[(place, f"{year}-W{week:02}")].append(case)
    return [
        {
            "week": week,
            "where": place,
            "cases": len(found),
            "confidence": _mean(each.confidence for each in found),
            "unlike": _mean(each.unlike for each in found),
            "agreement": _mean(each.agreed for each in found),
            "labels": _counts(each.label for each in found),
        }
        for (place, week), found in sorted(parts.items(), key=lambda item: (item[0][0] != EVERYWHERE, item[0]))
    ]


def _mean(values: Iterable[float | bool | None]) -> float | None:
    known = [float(value) for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _counts(labels: Iterable[str | None]) -> dict[str, int]:
    found: dict[str, int] = defaultdict(int)
    for label in labels:
        if label is not None:
            found[label] += 1
    return dict(sorted(found.items()))
