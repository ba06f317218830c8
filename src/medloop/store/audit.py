"""The audit trail: each entry carries the hash of the one before, so nothing can be changed, taken out or put elsewhere unseen.

What is said of a patient is encrypted with that patient's own key; the hash is over the encrypted text. When a patient is forgotten
the key is deleted: the entry stays and the trail still verifies, but nobody can read it any more.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import sqlalchemy as sa
from cryptography.fernet import Fernet, InvalidToken

from medloop.store import head as heads
from medloop.store.base import Store
from medloop.store.records import AuditRow, now
from medloop.store.tables import Moment, audit, head, keys, labels, reviews, studies
from medloop.types import Json

_STEP = 2_000
_COVERED = {"labels": labels, "reviews": reviews}
_MOMENT = Moment()
_HEAD = sa.select(head.c.number, head.c.hash)
_ENTER, _ADVANCE, _BEGIN = sa.insert(audit), sa.update(head), sa.insert(head).values(id=1)
_KEY = sa.select(keys.c.id, keys.c.key).where(keys.c.patient == sa.bindparam("whose"))


def append(
    connection: sa.Connection,
    actor: str,
    action: str,
    subject: str,
    content: Mapping[str, Any],
    patient: str | None = None,
    rows: Mapping[str, str] | None = None,
) -> int:
    """One entry more, inside the caller's transaction (`Store.write`); returns its number.

    ``subject``: what it is about, without identity, as ``study:12``. ``rows``: `row_hash` of rows that the entry vouches for.
    """
    last = connection.execute(_HEAD).one_or_none()
    number, previous = (last.number + 1, last.hash) if last else (1, heads.START)
    key_id, text = _sealed(connection, _canonical(content), patient)
    entry = {
        "number": number,
        "time": now(),
        "actor": _plain(actor),
        "action": action,
        "subject": _plain(subject),
        "key_id": key_id,
        "content": text,
        "rows": dict(rows or {}),
        "previous": previous,
    }
    entry["hash"] = _hash(entry)
    connection.execute(_ENTER, entry)
    now_last = {"number": number, "hash": entry["hash"]}
    connection.execute(_ADVANCE if last else _BEGIN, now_last)
    connection.info[heads.LAST] = (number, entry["hash"])
    return number


def page(store: Store, *, before: int | None = None, limit: int = 100, subject: str | None = None) -> list[AuditRow]:
    """Entries, newest first, readable as far as their patients' keys still exist."""
    wanted = sa.select(audit, keys.c.key).outerjoin(keys, keys.c.id == audit.c.key_id).order_by(audit.c.number.desc()).limit(limit)
    if before is not None:
        wanted = wanted.where(audit.c.number < before)
    if subject is not None:
        wanted = wanted.where(audit.c.subject == subject)
    with store.read() as connection:
        return [
            AuditRow(
                number=row.number,
                time=row.time,
                actor=row.actor,
                action=row.action,
                subject=row.subject,
                content=_opened(row.content, row.key_id, row.key),
                previous=row.previous,
                hash=row.hash,
            )
            for row in connection.execute(wanted)
        ]


def last(store: Store) -> tuple[int, str]:
    """Number and hash of the last entry; worth keeping elsewhere, where nobody who can write the database can write."""
    with store.read() as connection:
        row = connection.execute(_HEAD).one_or_none()
    return (row.number, row.hash) if row else (0, heads.START)


def verify(store: Store, kept: tuple[int, str] | None = None) -> list[str]:
    """Everything that is wrong with the trail, in words; empty where it is whole.

    ``kept``: number and hash of an entry that was noted elsewhere.
    """
    beside = heads.read(store.root)  # before the database, which may go on meanwhile
    problems: list[str] = []
    marks = {mark[0]: (mark[1], where) for mark, where in ((beside, "the head file"), (kept, "the head you gave")) if mark}
    covered: dict[str, str] = {}
    number, previous = 0, heads.START
    with store.read() as connection:
        for entry in _entries(connection):
            problems += _wrong(entry, number, previous)
            number, previous = entry["number"], entry["hash"]
            if number in marks and marks[number][0] != previous:
                problems.append(f"Entry {number} is not the one that {marks[number][1]} names.")
            covered |= entry["rows"]
        end = connection.execute(_HEAD).one_or_none()
        if (end.number, end.hash) != (number, previous) if end else number:
            problems.append(f"The trail ends at entry {number}, and the database says it ends at {end.number if end else 0}.")
        problems += _uncovered(connection, covered)
    problems += [
        f"{where.capitalize()} names entry {at}, and the trail ends at {number}." for at, (_, where) in marks.items() if at > number
    ]
    if beside is None:
        problems.append(
            f"The file {heads.path(store.root).name} is missing or unreadable; whether the trail's end was cut cannot be told."
        )
    return problems


def row_hash(row: Mapping[str, Any]) -> str:
    """The hash of a row of labels or reviews, as an entry keeps it."""
    return hashlib.sha256(_canonical({name: row[name] for name in sorted(row)}).encode()).hexdigest()


def _entries(connection: sa.Connection) -> Iterator[dict[str, Any]]:
    at = -(2**31)
    while True:
        rows = (
            connection.execute(sa.select(audit).where(audit.c.number > at).order_by(audit.c.number).limit(_STEP)).mappings().all()
        )
        if not rows:
            return
        at = rows[-1]["number"]
        yield from (dict(row) for row in rows)


def _wrong(entry: dict[str, Any], number: int, previous: str) -> Iterable[str]:
    if entry["number"] != number + 1:
        yield f"Entries are missing between {number} and {entry['number']}."
    elif entry["previous"] != previous:
        yield f"Entry {entry['number']} does not follow entry {number}: one of them was put there later or elsewhere."
    if _hash(entry) != entry["hash"]:
        yield f"Entry {entry['number']} was changed after it was written."


def _uncovered(connection: sa.Connection, covered: dict[str, str]) -> Iterator[str]:
    """Labels and reviews that are not those the trail vouches for. Rows of a forgotten patient are blank and say nothing."""
    left = dict(covered)
    for name, table in _COVERED.items():
        wanted = sa.select(table, (studies.c.state == "deleted").label("forgotten")).join(studies, studies.c.id == table.c.case_id)
        for row in connection.execute(wanted.order_by(table.c.id).execution_options(yield_per=_STEP)).mappings():
            content = {key: value for key, value in row.items() if key != "forgotten"}
            hash_ = left.pop(f"{name}:{row['id']}", None)
            if hash_ is None:
                yield f"Row {row['id']} of {name} has no entry in the trail."
            elif not row["forgotten"] and hash_ != row_hash(content):
                yield f"Row {row['id']} of {name} was changed after it was written."
    yield from (f"Row {key.partition(':')[2]} of {key.partition(':')[0]} is missing." for key in sorted(left))


def _sealed(connection: sa.Connection, text: str, patient: str | None) -> tuple[int | None, str]:
    if patient is None:
        return None, text
    row = connection.execute(_KEY, {"whose": patient}).one_or_none()
    if row is None:
        key = Fernet.generate_key().decode()
        key_id = connection.execute(sa.insert(keys).values(patient=patient, key=key).returning(keys.c.id)).scalar_one()
    else:
        key_id, key = row.id, row.key
    return key_id, Fernet(key).encrypt(text.encode()).decode()


def _opened(text: str, key_id: int | None, key: str | None) -> Json:
    if key_id is None:
        return json.loads(text)
    try:
        return None if key is None else json.loads(Fernet(key).decrypt(text))
    except InvalidToken:
        return None


def _canonical(content: Mapping[str, Any]) -> str:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), default=_text)


def _text(value: Any) -> Any:
    return _MOMENT.process_bind_param(value, None) if hasattr(value, "astimezone") else str(value)


def _plain(text: str) -> str:
    """As the database will give it back."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def _hash(entry: Mapping[str, Any]) -> str:
    names = ("number", "time", "actor", "action", "subject", "key_id", "content", "rows", "previous")
    return hashlib.sha256(_canonical({name: entry[name] for name in names}).encode()).hexdigest()
