"""Deletion: of one patient, for good, with an audit trail that stays valid; and of images that are kept long enough."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from medloop.errors import InputError
from medloop.store import audit, settings
from medloop.store._rows import parts
from medloop.store.base import Store
from medloop.store.records import now
from medloop.store.studies import patient_key
from medloop.store.tables import drafts, keys, labels, proposals, reviews, studies

_KEYS = re.compile(r"[0-9a-f]{64}(?:\.[a-z0-9]{1,8}){0,2}")
_STEP = 500
IMAGES = ((studies, "refs", "id"),)
_SPEAKING = (*IMAGES, (proposals, "findings", "case_id"), (reviews, "findings", "case_id"), (labels, "value", "case_id"))
"""Where keys of blobs are written, and the column of the case they belong to."""
_NOTHING: dict[str, Any] = dict.fromkeys(("patient", "study", "site", "scanner")) | {"why": "", "batch": ""}
_BLANK = _NOTHING | {"attributes": {}, "refs": [], "state": "deleted"}


@dataclass(frozen=True, slots=True)
class Gone:
    """What was deleted."""

    studies: int
    blobs: int


def patient(store: Store, name: str, reason: str, actor: str) -> Gone:
    """Delete everything that is kept of a patient. The trail's entries stay, and what they said of the patient is unreadable.

    Studies, reviews and labels stay as blank rows, so that their numbers keep their meaning. Raises `InputError` where there is no
    such patient or no reason.
    """
    if not reason.strip():
        raise InputError(
            "no-reason", got="There is no reason.", allowed="Some words without identity.", fix="Say why with --reason."
        )
    cases = _of_patient(store, name)
    mine, others, upto = _blobs_of(store, cases)
    with store.write() as connection:
        if set(_numbers(connection, name)) != set(cases):
            raise InputError(
                "busy-patient",
                got="Another study of this patient arrived at this moment.",
                allowed="A patient of whom nothing arrives.",
                fix="Try again.",
            )
        gone = mine - others - named(connection, after=upto)
        _blank(connection, cases)
        connection.execute(sa.delete(keys).where(keys.c.patient.in_([patient_key(None, case) for case in cases])))
        connection.execute(sa.delete(keys).where(keys.c.patient == patient_key(name, 0)))
        content = {"reason": reason, "studies": cases, "blobs": len(gone)}
        audit.append(connection, actor, "forget", f"studies:{len(cases)}", content)
        for key in sorted(gone):  # before the commit: where this is cut short, doing it again ends it
            store.blobs.delete(key)
    shutil.rmtree(store.root / "cache", ignore_errors=True)
    _scrub(store)
    return Gone(len(cases), len(gone))


def expired(store: Store, actor: str) -> Gone:
    """Apply the retention rule: delete the images of studies that were done longer ago than the setting ``keep_days``.

    Labels, reviews and proposals stay. The frozen test set keeps its images.
    """
    days = settings.get(store, "keep_days")
    if days is None:
        return Gone(0, 0)
    cases = _expired(store, float(days))
    if not cases:
        return Gone(0, 0)
    mine, others, upto = _blobs_of(store, cases, of_images=True)
    with store.write() as connection:
        gone = mine - others - named(connection, after=upto)
        for part in parts(cases):
            wanted = sa.update(studies).where(studies.c.id.in_(part))
            connection.execute(wanted.values(refs=[], why="images deleted by the retention rule"))
        audit.append(
            connection, actor, "images.delete", f"studies:{len(cases)}", {"studies": cases, "days": days, "blobs": len(gone)}
        )
        for key in sorted(gone):
            store.blobs.delete(key)
    return Gone(len(cases), len(gone))


def _of_patient(store: Store, name: str) -> list[int]:
    with store.read() as connection:
        cases = _numbers(connection, name)
    if not cases:
        raise InputError(
            "no-such-patient",
            got="There is no such patient.",
            allowed="A patient's identifier exactly as it came with the images.",
            fix="Look it up in the worklist.",
        )
    return cases


def _numbers(connection: sa.Connection, name: str) -> list[int]:
    return list(connection.scalars(sa.select(studies.c.id).where(studies.c.patient == name).order_by(studies.c.id)))


def _expired(store: Store, days: float) -> list[int]:
    said = sa.select(reviews.c.case_id, reviews.c.time).union_all(sa.select(labels.c.case_id, labels.c.time)).subquery()
    last = sa.select(sa.func.max(said.c.time)).where(said.c.case_id == studies.c.id).scalar_subquery()
    done = (studies.c.state.in_(("done", "rejected")), ~studies.c.frozen, sa.cast(studies.c.refs, sa.Text) != "[]")
    with store.read() as connection:
        wanted = sa.select(studies.c.id).where(*done, last < now() - timedelta(days=days)).order_by(studies.c.id)
        return list(connection.scalars(wanted))


def _blobs_of(store: Store, cases: list[int], *, of_images: bool = False) -> tuple[set[str], set[str], int]:
    """Keys that these cases name, keys that other cases name, and the last case that was looked at."""
    with store.read() as connection:
        upto = int(connection.scalar(sa.select(sa.func.max(studies.c.id))) or 0)
        mine = named(connection, only=cases, tables=IMAGES if of_images else _SPEAKING)
        others = named(connection, but=set(cases))
        if of_images:
            others |= named(connection, only=cases, tables=_SPEAKING[1:])
    return mine, others, upto


def named(
    connection: sa.Connection,
    *,
    only: Iterable[int] | None = None,
    but: frozenset[int] | set[int] = frozenset(),
    after: int = 0,
    tables: Any = _SPEAKING,
) -> set[str]:
    """What reads as a key in the rows: of all cases, of some of them, or of cases that came after."""
    found: set[str] = set()
    for table, column, case in tables:
        text = sa.cast(table.c[column], sa.Text)
        wanted = sa.select(table.c[case], text).where(table.c[case] > after)
        for each in [wanted] if only is None else [wanted.where(table.c[case].in_(part)) for part in parts(only)]:
            for number, said in connection.execute(each.execution_options(yield_per=_STEP)):
                if number not in but and said:
                    found.update(_KEYS.findall(said))
    return found


def _blank(connection: sa.Connection, cases: list[int]) -> None:
    """Take out of the rows of these cases what they say."""
    for case in cases:
        gone = f"deleted {case}"
        connection.execute(sa.update(studies).where(studies.c.id == case).values(name=gone, content=gone, **_BLANK))
    for part in parts(cases):
        connection.execute(sa.update(labels).where(labels.c.case_id.in_(part)).values(value=None, reason=""))
        connection.execute(sa.update(reviews).where(reviews.c.case_id.in_(part)).values(value=None, reason="", findings={}))
        for table in (proposals, drafts):
            connection.execute(sa.delete(table).where(table.c.case_id.in_(part)))


def _scrub(store: Store) -> None:
    """Let the database overwrite what was deleted, where it still lies in its log or in dead rows."""
    if store.postgresql:
        for table in (keys, studies, labels, reviews, proposals, drafts):
            store.run_alone(f"VACUUM {table.name}")
    else:
        store.run_alone("PRAGMA wal_checkpoint(TRUNCATE)")
