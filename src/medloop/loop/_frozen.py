"""The frozen test set of the store: drawn by patient at ingest, read blind, never learnt from, looked at a counted few times."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import sqlalchemy as sa

from medloop.errors import Refused
from medloop.loop import _drawn, _draws
from medloop.loop._learnt import Learnt
from medloop.loop._runs import truth_text, values_of
from medloop.loop._stored import case_of, fitting, value_of
from medloop.store import Store, audit, labels, settings, studies
from medloop.store import tables as t
from medloop.store.records import ModelRow, StudyRow
from medloop.types import Array, Case, Integers, Json, LabelValue, Provenance, Target, TargetKind, Truth

READ_BLIND = (Provenance.HUMAN.value, Provenance.IMPORTED.value)
"""Labels that a test case may have: nobody who gave them had seen a proposal."""
_TOLD = 5


@dataclass(frozen=True, slots=True, eq=False)
class Frozen:
    """N test cases labelled for ``target``. ``test_set``: by what looks are counted. ``values``: truth as in `Dataset.values`;
    outlines and boxes are in ``drawn``. ``patients``: ``(N,)`` numbers. ``left_out``: frozen cases that do not count, by reason."""

    target: Target
    test_set: str
    rows: tuple[StudyRow, ...]
    cases: tuple[Case, ...]
    truth: tuple[str, ...]
    values: Array
    patients: Integers
    left_out: Mapping[str, int]
    drawn: Truth | None = None

    def __len__(self) -> int:
        return len(self.cases)

    def select(self, chosen: Integers) -> Frozen:
        """These cases, in this order."""
        at = [int(each) for each in chosen]
        return replace(
            self,
            rows=tuple(self.rows[each] for each in at),
            cases=tuple(self.cases[each] for each in at),
            truth=tuple(self.truth[each] for each in at),
            values=self.values[at],
            patients=self.patients[at],
            drawn=None if self.drawn is None else self.drawn.select(at),
        )


def test_set(store: Store) -> str:
    """The name of the draw by which looks are counted: it stays while cases are added to it."""
    return f"draw-{int(settings.get(store, 'test_draw'))}"


def frozen_cases(store: Store, target: Target) -> Frozen:
    """The test cases that can be judged by: labelled for this target by somebody who had seen no proposal, all studies of their
    patient frozen."""
    left_out: Counter[str] = Counter()
    split = _patients_on_both_sides(store)
    rows = [row for row in studies.many(store, _frozen_ids(store)) if row.refs]
    found = labels.current(store, [row.id for row in rows], truth=True)
    kept: list[tuple[StudyRow, Json | LabelValue]] = []
    for row in rows:
        label = found.get((row.id, target.name))
        fits = None if label is None else _fitting(store, label.value, target)
        if label is None:
            left_out["not labelled yet"] += 1
        elif label.provenance not in READ_BLIND:
            left_out["read with the proposal in view"] += 1
        elif row.state in ("rejected", "adjudication", "second-look"):
            left_out["nothing is settled about it"] += 1
        elif row.patient is not None and row.patient in split:
            left_out["other studies of the patient may be learnt from"] += 1
        elif fits is None:
            left_out["its label is none of the target's"] += 1
        else:
            kept.append((studies.local(store, row), fits))
    return _frozen(store, target, kept, left_out)


def _fitting(store: Store, said: Json, target: Target) -> Json | LabelValue:
    """A label's value as the target takes it; None where it does not."""
    if target.kind.structured:
        return said if _drawn.fits(said, target, store.blobs) else None
    value = value_of(said)
    return None if value is None else fitting(value, target)


def _frozen(store: Store, target: Target, kept: Sequence[tuple[StudyRow, Any]], left_out: Counter[str]) -> Frozen:
    whose = [row.patient or f"case {row.id}" for row, _ in kept]
    _, patients = np.unique(np.array(whose, dtype=np.str_), return_inverse=True)
    said = [value for _, value in kept]
    cases = tuple(case_of(row) for row, _ in kept)
    structured = target.kind.structured
    values = np.zeros(len(said)) if structured else _values(target, said)
    return Frozen(
        target=target,
        test_set=test_set(store),
        rows=tuple(row for row, _ in kept),
        cases=cases,
        truth=tuple(truth_text(target, values)),
        values=values,
        patients=np.asarray(patients, dtype=np.int64),
        left_out=dict(left_out),
        drawn=_drawn.truth(target, [case.images[0] for case in cases], said, store.blobs) if structured else None,
    )


def _values(target: Target, said: Sequence[LabelValue]) -> Array:
    if target.kind is TargetKind.MULTILABEL:
        rows = [dict(value) if isinstance(value, tuple) else {} for value in said]
        named = [[row.get(name) for name in target.classes] for row in rows]
        return np.array([[np.nan if each is None else each for each in row] for row in named], np.float32).reshape(
            len(said), len(target.classes)
        )
    return values_of(target, [repr(value) if isinstance(value, float) else str(value) for value in said])


def _patients_on_both_sides(store: Store) -> set[str]:
    """Patients some of whose studies are frozen and some not: neither blind nor unseen for certain."""
    with store.read() as connection:
        wanted = (
            sa.select(t.studies.c.patient)
            .where(t.studies.c.patient.is_not(None), t.studies.c.state != "deleted")
            .group_by(t.studies.c.patient)
            .having(sa.func.count(sa.distinct(t.studies.c.frozen)) > 1)
        )
        return set(connection.scalars(wanted))


def unseen(frozen: Frozen, learnt: Iterable[tuple[ModelRow, Learnt]]) -> Frozen:
    """The test cases whose pictures no model has learnt from.

    A copy of a picture learnt from that came after the model was made is left out. Raises `Refused` where a model has learnt from
    a case that was in the store before: then the rule that frozen cases are never learnt from was broken.
    """
    copies: set[int] = set()
    for model, seen in learnt:
        shared = [at for at, row in enumerate(frozen.rows) if any(ref.digest in seen.pictures for ref in row.refs)]
        broken = [frozen.rows[at].id for at in shared if frozen.rows[at].arrived <= model.created]
        if broken:
            told = ", ".join(map(str, broken[:_TOLD])) + (" and more" if len(broken) > _TOLD else "")
            raise Refused(
                "leak",
                got=f"The model {model.name} has learnt from {len(broken)} cases of the frozen test set (case {told}).",
                allowed="A challenger that has seen no case of the test set.",
                fix="Retrain it from the store: frozen cases are left out there.",
            )
        copies.update(shared)
    if not copies:
        return frozen
    kept = frozen.select(np.array([at for at in range(len(frozen)) if at not in copies], dtype=np.int64))
    return replace(kept, left_out={**frozen.left_out, "its picture was learnt from under another name": len(copies)})


def _frozen_ids(store: Store) -> list[int]:
    with store.read() as connection:
        return list(connection.scalars(sa.select(t.studies.c.id).where(t.studies.c.frozen, t.studies.c.state != "deleted")))


def _next_draw(connection: sa.Connection, share: float, draw: int) -> tuple[list[int], list[int]]:
    """The cases frozen now, and those of the next draw: of patients none of whose studies is frozen, or was read by anybody."""
    columns = (t.studies.c.id, t.studies.c.patient, t.studies.c.content, t.studies.c.frozen)
    by_patient: dict[str, list[Any]] = defaultdict(list)
    for row in connection.execute(sa.select(*columns).where(t.studies.c.state != "deleted")):
        by_patient[row.patient or f"case {row.id}"].append(row)
    read = {*connection.scalars(sa.select(t.labels.c.case_id)), *connection.scalars(sa.select(t.reviews.c.case_id))}
    fresh = [rows for rows in by_patient.values() if not any(row.frozen or row.id in read for row in rows)]
    old = [row.id for rows in by_patient.values() for row in rows if row.frozen]
    new = [row.id for rows in fresh if _draws.frozen(rows[0].patient, rows[0].content, share, draw) for row in rows]
    return old, new


def renew(store: Store, actor: str) -> int:
    """Draw a new test set; returns how many cases it has so far.

    The old one may be learnt from now on. The new one is drawn by the same share among patients nobody has read yet, and studies to
    come are drawn by the new number.
    """
    draw = int(settings.get(store, "test_draw")) + 1
    share = float(settings.get(store, "test_share"))
    with store.write() as connection:
        old, new = _next_draw(connection, share, draw)
        for numbers, values in ((old, {"frozen": False}), (new, {"frozen": True, "blind": True})):
            for start in range(0, len(numbers), 500):
                part = t.studies.c.id.in_(numbers[start : start + 500])
                connection.execute(sa.update(t.studies).where(part).values(**values))
        connection.execute(sa.delete(t.settings).where(t.settings.c.key == "test_draw"))
        connection.execute(sa.insert(t.settings).values(key="test_draw", value=draw))
        audit.append(connection, actor, "test-set.renew", f"test-set:draw-{draw}", {"released": len(old), "drawn": len(new)})
    return len(new)
