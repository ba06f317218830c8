"""Labels: appended, never changed. The one that counts is the last that was not undone; a model's never outweighs a person's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa

from medloop.store import audit
from medloop.store._rows import Row, add, made, one, parts, said
from medloop.store.base import Store
from medloop.store.records import LabelRow
from medloop.store.studies import patient_key
from medloop.store.tables import labels, reviews, studies
from medloop.types import Provenance

TRUTH = tuple(each.value for each in Provenance if each is not Provenance.AI_ONLY)
"""Provenances that count as truth."""


def append(store: Store, new: LabelRow, actor: str) -> LabelRow:
    """Keep one more label; returns it with its number. Raises `InputError` where there is no such case."""
    with store.write() as connection:
        patient = patient_key(one(connection, studies, new.case_id, "study")["patient"], new.case_id)
        row, hash_ = write(connection, new)
        content = {"target": row.target, "value": row.value, "provenance": row.provenance, "reason": row.reason}
        audit.append(connection, actor, "label", f"study:{row.case_id}", content, patient, {f"labels:{row.id}": hash_})
        return row


def write(connection: sa.Connection, new: LabelRow) -> tuple[LabelRow, str]:
    """Insert a label inside the caller's transaction, which must put the hash that is returned into the trail."""
    Provenance(new.provenance)
    row = add(connection, labels, said(new))
    return made(LabelRow, row), audit.row_hash(row)


def current(
    store: Store, case_ids: Iterable[int] | None = None, *, truth: bool = False, upto: int | None = None
) -> dict[tuple[int, str], LabelRow]:
    """The label that counts of each ``(case, target)``.

    ``truth``: only what a person said. ``upto``: as it was when the label of that number was the last.
    """
    with store.read() as connection:
        found: list[Any] = []
        for part in [None] if case_ids is None else parts(case_ids):
            found += counting(connection, part, truth=truth, upto=upto)
    return {(row["case_id"], row["target"]): made(LabelRow, row) for row in found}


def counting(connection: sa.Connection, case_ids: Sequence[int] | None, *, truth: bool, upto: int | None = None) -> Sequence[Row]:
    """As `current`, inside the caller's transaction."""
    wanted = _counting(case_ids is not None, truth, upto is not None)
    return connection.execute(wanted, {"cases": case_ids, "upto": upto}).mappings().all()


def history(store: Store, case_id: int) -> list[LabelRow]:
    """Every label of a case, undone ones too, in the order they were given."""
    with store.read() as connection:
        found = connection.execute(sa.select(labels).where(labels.c.case_id == case_id).order_by(labels.c.id)).mappings()
        return [made(LabelRow, row) for row in found]


def last_id(store: Store) -> int:
    """The number of the last label, 0 where there is none."""
    with store.read() as connection:
        return int(connection.scalar(sa.select(sa.func.max(labels.c.id))) or 0)


@cache
def _counting(some: bool, truth: bool, upto: bool) -> sa.Select[Any]:
    """The statement. ``some``: of the ``cases`` only; ``upto``: up to the label ``upto`` only."""
    undone = sa.select(reviews.c.of_review).where(reviews.c.of_review.is_not(None))
    rank = sa.func.row_number().over(
        partition_by=(labels.c.case_id, labels.c.target),
        order_by=(sa.case((labels.c.provenance == Provenance.AI_ONLY.value, 1), else_=0), labels.c.id.desc()),
    )
    wanted = sa.select(labels, rank.label("rank")).where(
        sa.or_(labels.c.review_id.is_(None), labels.c.review_id.not_in(undone)), labels.c.value.is_not(None)
    )
    if some:
        wanted = wanted.where(labels.c.case_id.in_(sa.bindparam("cases", expanding=True)))
    if truth:
        wanted = wanted.where(labels.c.provenance.in_(TRUTH))
    if upto:
        wanted = wanted.where(labels.c.id <= sa.bindparam("upto"))
    ranked = wanted.subquery()
    return sa.select(ranked).where(ranked.c.rank == 1).order_by(ranked.c.case_id)
