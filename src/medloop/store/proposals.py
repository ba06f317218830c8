"""Proposals: what models said of studies; appended."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

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
            number = int(add(connection, proposals, said(each))["id"])
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
    wanted = _latest(case_ids is not None, model_id is not None)
    found = {}
    with store.read() as connection:
        for part in [None] if case_ids is None else parts(case_ids):
            for row in connection.execute(wanted, {"cases": part, "model": model_id}).mappings():
                found[int(row["case_id"])] = made(ProposalRow, row)
    return found


def history(store: Store, case_id: int) -> list[ProposalRow]:
    """Every proposal of a case, oldest first."""
    with store.read() as connection:
        found = connection.execute(sa.select(proposals).where(proposals.c.case_id == case_id).order_by(proposals.c.id)).mappings()
        return [made(ProposalRow, row) for row in found]


@cache
def _latest(some: bool, of_model: bool) -> sa.Select[Any]:
    """The statement. ``some``: of the ``cases`` only; ``of_model``: of the ``model`` only."""
    last = sa.select(sa.func.max(proposals.c.id)).group_by(proposals.c.case_id)
    if some:
        last = last.where(proposals.c.case_id.in_(sa.bindparam("cases", expanding=True)))
    if of_model:
        last = last.where(proposals.c.model_id == sa.bindparam("model"))
    return sa.select(proposals).where(proposals.c.id.in_(last))
