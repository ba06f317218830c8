"""Jobs: heavy work that waits, runs and ends. A worker beats while it works; what stopped beating is queued again."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from medloop.errors import InputError
from medloop.store import audit
from medloop.store._rows import add as insert
from medloop.store._rows import made, one, said
from medloop.store.base import Store
from medloop.store.records import JobRow, now
from medloop.store.tables import jobs
from medloop.types import Json

STATES = ("queued", "running", "done", "failed", "stopped")
_OPEN = ("queued", "running")


def add(store: Store, kind: str, request: dict[str, Any], actor: str, *, once: bool = False) -> JobRow:
    """Queue a job. With ``once`` one of the same kind and request that waits already is given back instead."""
    with store.write() as connection:
        waiting = sa.select(jobs).where(jobs.c.state == "queued", jobs.c.kind == kind).order_by(jobs.c.id)
        for row in connection.execute(waiting).mappings() if once else ():
            if row["request"] == request:
                return made(JobRow, row)
        new = insert(connection, jobs, said(JobRow(kind=kind, request=request, actor=actor)))
        audit.append(connection, actor, "job.add", f"job:{new['id']}", {"kind": kind})
        return made(JobRow, new)


def get(store: Store, number: int) -> JobRow:
    """One job. Raises `InputError`."""
    with store.read() as connection:
        return made(JobRow, one(connection, jobs, number, "job"))


def every(store: Store, states: tuple[str, ...] = STATES, kind: str | None = None, limit: int = 100) -> list[JobRow]:
    """Jobs in these states, newest first."""
    wanted = sa.select(jobs).where(jobs.c.state.in_(states)).order_by(jobs.c.id.desc()).limit(limit)
    wanted = wanted if kind is None else wanted.where(jobs.c.kind == kind)
    with store.read() as connection:
        return [made(JobRow, row) for row in connection.execute(wanted).mappings()]


def claim(store: Store, number: int | None = None, worker: str = "") -> JobRow | None:
    """Take the oldest queued job (or that one) for oneself; None where there is none. No two workers get the same.

    ``worker``: who takes it; its progress says so from the first moment.
    """
    with store.write() as connection:
        wanted = sa.select(jobs.c.id).where(jobs.c.state == "queued").order_by(jobs.c.id).limit(1)
        found = connection.scalar(wanted if number is None else wanted.where(jobs.c.id == number))
        if found is None:
            return None
        values = {
            "state": "running",
            "started": now(),
            "heartbeat": now(),
            "tries": jobs.c.tries + 1,
            "progress": {"worker": worker},
        }
        connection.execute(sa.update(jobs).where(jobs.c.id == found).values(**values))
        return made(JobRow, one(connection, jobs, found, "job"))


def beat(store: Store, number: int, progress: dict[str, Any] | None = None) -> bool:
    """Say that a job is alive, and how far it is; returns False where it was stopped meanwhile and should end."""
    values: dict[str, Any] = {"heartbeat": now()} | ({} if progress is None else {"progress": progress})
    with store.write() as connection:
        found = connection.execute(sa.update(jobs).where(jobs.c.id == number, jobs.c.state == "running").values(**values))
        return found.rowcount == 1


def end(store: Store, number: int, state: str, *, result: Json = None, error: Json = None, actor: str = "worker") -> None:
    """End a job as done, failed or stopped. One that has ended stays as it ended."""
    if state not in STATES or state in _OPEN:
        raise InputError(
            "bad-state", got=f"A job cannot end as '{state}'.", allowed="done, failed, stopped.", fix="Choose one of these."
        )
    with store.write() as connection:
        values = {"state": state, "ended": now(), "result": result, "error": error}
        found = connection.execute(sa.update(jobs).where(jobs.c.id == number, jobs.c.state.in_(_OPEN)).values(**values))
        if found.rowcount:
            audit.append(connection, actor, f"job.{state}", f"job:{number}", {})


def again(store: Store, number: int, beaten: datetime | None = None) -> bool:
    """Queue a running job again; returns whether it was. ``beaten``: only if its last heartbeat still is this one."""
    with store.write() as connection:
        meant = [jobs.c.id == number, jobs.c.state == "running", *([] if beaten is None else [jobs.c.heartbeat == beaten])]
        found = connection.execute(sa.update(jobs).where(*meant).values(state="queued"))
        if found.rowcount:
            audit.append(connection, "worker", "job.again", f"job:{number}", {})
        return bool(found.rowcount)


def requeue(store: Store, silent_s: float) -> list[int]:
    """Queue again the running jobs that have not beaten for so long; returns their numbers."""
    with store.write() as connection:
        silent = sa.select(jobs.c.id).where(jobs.c.state == "running", jobs.c.heartbeat < now() - timedelta(seconds=silent_s))
        found = list(connection.scalars(silent))
        for number in found:
            connection.execute(sa.update(jobs).where(jobs.c.id == number).values(state="queued"))
            audit.append(connection, "worker", "job.again", f"job:{number}", {})
        return found
