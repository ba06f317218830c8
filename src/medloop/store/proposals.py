"""Proposals: what models said of studies; appended."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import sqlalchemy as sa

from medloop.store import audit
from medloop.store._rows import add, made, one, parts, said
from medloop.store.base import Store
from medloop.store.records import ProposalRow
from medloop.store.studies import move, patient_key
from medloop.store.tables import proposals, studies


def append(store: Store, new: Sequence[ProposalRow], actor: str) -> list[int]:
    """Keep proposals in one transaction; returns their numbers. Ready studies become proposed; a study takes its priority."""
    numbers = []
    with store.write() as connection:
        for each in new:
            row = one(connection, studies, each.case_id, "study")
            number = add(connection, proposals, said(each))
            numbers.append(number)
            connection.execute(sa.update(studies).where(studies.c.id == each.case_id).values(priority=each.priority))
            content = {"proposal": number, "model": each.model_id, "label": each.label, "decision": each.decision}
            patient = patient_key(row["patient"], each.case_id)
            audit.append(connection, actor, "propose", f"study:{each.case_id}", content, patient)
            if row["state"] == "ready":
                move(connection, row, "proposed", actor)
    return numbers


def get(store: Store, number: int) -> ProposalRow:
    """One proposal. Raises `InputError`."""
    with store.read() as connection:
        return made(ProposalRow, one(connection, proposals, number, "proposal"))


def latest(store: Store, case_ids: Iterable[int] | None = None, model_id: int | None = None) -> dict[int, ProposalRow]:
    """The last proposal of each case (of one model, if named), by case."""
    last = sa.select(sa.func.max(proposals.c.id)).group_by(proposals.c.case_id)
    if model_id is not None:
        last = last.where(proposals.c.model_id == model_id)
    found = {}
    with store.read() as connection:
        for part in [None] if case_ids is None else parts(case_ids):
            wanted = last if part is None else last.where(proposals.c.case_id.in_(part))
            for row in connection.execute(sa.select(proposals).where(proposals.c.id.in_(wanted))).mappings():
                found[int(row["case_id"])] = made(ProposalRow, row)
    return found


def history(store: Store, case_id: int) -> list[ProposalRow]:
    """Every proposal of a case, oldest first."""
    with store.read() as connection:
        found = connection.execute(sa.select(proposals).where(proposals.c.case_id == case_id).order_by(proposals.c.id)).mappings()
        return [made(ProposalRow, row) for row in found]
