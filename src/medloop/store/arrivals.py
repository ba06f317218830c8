"""Many studies at once, with the labels they came with: one transaction, so that a study is there with its label or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import sqlalchemy as sa

from medloop.store import audit
from medloop.store import labels as labelling
from medloop.store._rows import add as insert
from medloop.store._rows import pairs, said
from medloop.store.base import Store
from medloop.store.records import LabelRow, StudyRow, now
from medloop.store.studies import _refs_json, move, patient_key
from medloop.store.tables import studies
from medloop.types import Json

_MANY = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A study that comes in. ``labels``: what it is labelled with, by target; ``done``: nobody need read it then. ``replaces``: a
    study of fewer of the same files that nobody has read."""

    study: StudyRow
    labels: Mapping[str, Json]
    done: bool = True
    replaces: int | None = None


@dataclass(frozen=True, slots=True)
class Kept:
    """``number``: of the study. ``fresh``: it was not there before. ``labels``: kept. ``replaced``: another gave way."""

    number: int
    fresh: bool
    labels: int
    replaced: bool


_LABELLED = "labelled when it came"
UNREAD = ("arriving", "ready", "proposed")
"""States in which nobody has read a study."""


def known(store: Store, contents: Iterable[str]) -> dict[str, int]:
    """The studies that have these contents, by content."""
    every = list(dict.fromkeys(contents))
    found: dict[str, int] = {}
    with store.read() as connection:
        for start in range(0, len(every), _MANY):
            wanted = sa.select(studies.c.content, studies.c.id).where(studies.c.content.in_(every[start : start + _MANY]))
            found |= pairs(connection.execute(wanted))
    return found


def keep(store: Store, arriving: Sequence[Arrival], actor: str) -> list[Kept]:
    """Keep these studies and their labels, all of them or none. What is there already stays as it is and takes new labels only.

    A study that comes with the label that is asked for need not be read.
    """
    with store.write() as connection:
        return [_keep(connection, store, each, actor) for each in arriving]


def settle(store: Store, quiet_s: float, actor: str) -> list[int]:
    """Make ready every arriving study of which nothing new has come for ``quiet_s`` seconds; returns their numbers."""
    moment = now().timestamp() - quiet_s
    with store.write() as connection:
        waiting = (
            connection.execute(sa.select(studies).where(studies.c.state == "arriving").order_by(studies.c.id)).mappings().all()
        )
        still = [dict(row) for row in waiting if row["arrived"].timestamp() <= moment]
        for row in still:
            move(connection, row, "ready", actor)
    return [int(row["id"]) for row in still]


def again(store: Store, numbers: Iterable[int]) -> None:
    """Files of these arriving studies came once more: their wait begins anew."""
    with store.write() as connection:
        wanted = sa.update(studies).where(studies.c.id.in_(list(numbers)), studies.c.state == "arriving")
        connection.execute(wanted.values(arrived=now()))


def _keep(connection: sa.Connection, store: Store, arriving: Arrival, actor: str) -> Kept:
    there = connection.execute(sa.select(studies).where(studies.c.content == arriving.study.content)).mappings().one_or_none()
    new = _with_patient(connection, arriving.study)
    if there is None:
        new = replace(new, state="done", why=_LABELLED, ready=new.arrived) if arriving.labels and arriving.done else new
        number = _insert(connection, store, new, actor)
        for target, value in arriving.labels.items():
            _append(connection, number, new.patient, target, value, actor)
        replaced = arriving.replaces is not None and _give_way(connection, arriving.replaces, number, actor)
        return Kept(number, True, len(arriving.labels), replaced)
    if there["state"] == "deleted":
        return Kept(int(there["id"]), False, 0, False)
    row = _told(connection, dict(there), new, actor)
    number = int(row["id"])
    fresh = _unsaid(connection, number, arriving.labels) if arriving.labels else {}
    for target, value in fresh.items():
        _append(connection, number, row["patient"], target, value, actor)
    if fresh and arriving.done and row["state"] in UNREAD:
        move(connection, row, "done", actor, _LABELLED)
    return Kept(number, False, len(fresh), False)


def _insert(connection: sa.Connection, store: Store, new: StudyRow, actor: str) -> int:
    values = said(new) | {"refs": _refs_json(new.refs, store.blobs), "attributes": dict(new.attributes)}
    number = int(insert(connection, studies, values)["id"])
    content = {"name": new.name, "content": new.content, "state": new.state, "frozen": new.frozen, "blind": new.blind}
    audit.append(connection, actor, "study.add", f"study:{number}", content, patient_key(new.patient, number))
    return number


def _with_patient(connection: sa.Connection, new: StudyRow) -> StudyRow:
    """A patient who is known stays on the side of the frozen test set where they are; only new ones are drawn."""
    if new.patient is None:
        return new
    frozen = connection.scalar(sa.select(studies.c.frozen).where(studies.c.patient == new.patient).limit(1))
    return new if frozen is None else replace(new, frozen=bool(frozen), blind=bool(frozen) or new.blind)


def _told(connection: sa.Connection, row: Mapping[str, Json], new: StudyRow, actor: str) -> Mapping[str, Json]:
    """A study of which nobody knew whose it is takes what is told of it now, and is drawn anew, as long as nobody has read it."""
    if row["patient"] is not None or new.patient is None or row["state"] not in UNREAD:
        return row
    names = ("patient", "study", "site", "scanner", "frozen", "blind")
    values = {name: getattr(new, name) for name in names} | {"attributes": dict(row["attributes"]) | dict(new.attributes)}
    connection.execute(sa.update(studies).where(studies.c.id == row["id"]).values(**values))
    content = {"frozen": new.frozen, "blind": new.blind}
    audit.append(connection, actor, "study.told", f"study:{row['id']}", content, patient_key(new.patient, int(row["id"])))
    return dict(row) | values


def _unsaid(connection: sa.Connection, number: int, values: Mapping[str, Json]) -> dict[str, Json]:
    """The labels that say something else than what counts already, and of which no person has said anything since."""
    counts = {row["target"]: row for row in labelling.counting(connection, [number], truth=True)}
    told = {target: counts.get(target) for target in values}
    return {
        target: values[target]
        for target, row in told.items()
        if row is None or (row["value"] != values[target] and row["provenance"] == "imported")
    }


def _append(connection: sa.Connection, number: int, patient: str | None, target: str, value: Json, actor: str) -> None:
    kept, hash_ = labelling.write(connection, LabelRow(case_id=number, value=value, target=target, author=actor))
    content = {"target": target, "value": value, "provenance": kept.provenance}
    audit.append(connection, actor, "label", f"study:{number}", content, patient_key(patient, number), {f"labels:{kept.id}": hash_})


def _give_way(connection: sa.Connection, old: int, number: int, actor: str) -> bool:
    """The study of fewer files leaves the list, unless somebody has begun to read it."""
    row = connection.execute(sa.select(studies).where(studies.c.id == old)).mappings().one_or_none()
    if row is None or row["state"] not in UNREAD:
        return False
    move(connection, dict(row), "rejected", actor, f"study {number} has more of the same series")
    return True
