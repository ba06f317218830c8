"""Drafts: a reader's unfinished correction of a case, so that it survives a log-out. Gone when the review is committed.

Who keeps one is at work on the case, so it stays on their desk.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from medloop.store._rows import one
from medloop.store.base import Store
from medloop.store.desk import hold
from medloop.store.records import now
from medloop.store.tables import drafts, studies

_DRAFT = sa.select(drafts.c.content).where(drafts.c.case_id == sa.bindparam("case"), drafts.c.account_id == sa.bindparam("reader"))


def put(store: Store, case_id: int, account_id: int, content: dict[str, Any]) -> None:
    """Keep a draft in place of the one before. Raises `InputError` where there is no such case."""
    with store.write() as connection:
        one(connection, studies, case_id, "study")
        connection.execute(_which(sa.delete(drafts), case_id, account_id))
        connection.execute(sa.insert(drafts).values(case_id=case_id, account_id=account_id, time=now(), content=content))
        hold(connection, case_id, account_id)


def get(store: Store, case_id: int, account_id: int) -> dict[str, Any] | None:
    """The draft of a reader for a case, or None."""
    with store.read() as connection:
        row = connection.execute(_DRAFT, {"case": case_id, "reader": account_id}).one_or_none()
        return None if row is None else dict(row.content)


def drop(store: Store, case_id: int, account_id: int) -> None:
    """Forget a draft."""
    with store.write() as connection:
        connection.execute(_which(sa.delete(drafts), case_id, account_id))


def _which(statement: Any, case_id: int, account_id: int) -> Any:
    return statement.where(drafts.c.case_id == case_id, drafts.c.account_id == account_id)
