"""Which case lies on whose desk: readers who ask for the next one get different ones, from whichever server process they ask.

A case that is taken up is its reader's for a while, and one that was passed over is not offered to that reader for a longer while.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from medloop.store._rows import one
from medloop.store.base import Store
from medloop.store.records import Account, now
from medloop.store.studies import Filter, first
from medloop.store.tables import desks, passed, studies

HELD, PASSED = timedelta(minutes=3), timedelta(minutes=30)
"""How long a case lies on a desk, and how long one that was passed over is not offered."""
_ME: sa.BindParameter[int] = sa.bindparam("me")
_NOW: sa.BindParameter[datetime] = sa.bindparam("moment")
_OTHERS = sa.select(desks.c.case_id).where(desks.c.account_id != _ME, desks.c.until > _NOW)
_PASSED = sa.select(passed.c.case_id).where(passed.c.account_id == _ME, passed.c.until > _NOW)
_FREE = sa.and_(studies.c.id.not_in(_OTHERS), studies.c.id.not_in(_PASSED), studies.c.id != sa.bindparam("besides"))
_HOLDER = sa.select(desks.c.account_id, desks.c.until).where(desks.c.case_id == sa.bindparam("case"), desks.c.until > _NOW)
_CLEAR = sa.delete(desks).where(sa.or_(desks.c.account_id == _ME, desks.c.case_id == sa.bindparam("case")))
_LAY = sa.insert(desks)
_HOLD = (
    sa.update(desks).where(desks.c.account_id == _ME, desks.c.case_id == sa.bindparam("lies")).values(until=sa.bindparam("later"))
)
_STALE = sa.delete(passed).where(
    sa.or_(passed.c.until <= _NOW, sa.and_(passed.c.account_id == _ME, passed.c.case_id == sa.bindparam("case")))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Which case somebody wants next: of these studies, in this order, but not ``besides``.

    A case that waits for its second reader is none for its first.
    """

    reader: Account
    order: str
    which: Filter
    besides: int = 0


def following(store: Store, wish: Wish) -> int | None:
    """The case that would come next; it stays where it is. None where nothing is left. Raises `InputError` for an odd wish."""
    with store.read() as connection:
        return _first(connection, wish)


def claim(store: Store, wish: Wish) -> int | None:
    """The next case, which is on this reader's desk from now on and offered to nobody else. None where nothing is left."""
    with store.read():
        case = following(store, wish)
        if case is not None and lies(store, case, wish.reader):
            return case
    with store.write() as connection:
        return hand_out(connection, wish)


def hand_out(connection: sa.Connection, wish: Wish) -> int | None:
    """As `claim`, inside the caller's transaction."""
    case = _first(connection, wish)
    _lay(connection, case, wish.reader)
    return case


def lies(store: Store, case: int, reader: Account) -> bool:
    """Whether the case lies on this reader's desk, and will for a while yet."""
    with store.read() as connection:
        holder = connection.execute(_HOLDER, {"case": case, "moment": now()}).one_or_none()
        return holder is not None and holder.account_id == reader.id and holder.until > now() + HELD / 2


def take(store: Store, case: int, reader: Account) -> bool:
    """Lay this case on the reader's desk, and what lay there goes back; returns False where it is on somebody else's."""
    with store.write() as connection:
        one(connection, studies, case, "study")
        holder = connection.execute(_HOLDER, {"case": case, "moment": now()}).one_or_none()
        if holder is not None and holder.account_id != reader.id:
            return False
        _lay(connection, case, reader)
        return True


def hold(connection: sa.Connection, case: int, account: int) -> None:
    """Who is at work on a case keeps it, from now on for as long as who takes it up; inside the caller's transaction.

    It goes on somebody's desk only where it lay there and was not handed out since.
    """
    connection.execute(_HOLD, {"me": account, "lies": case, "later": now() + HELD})


def pass_over(store: Store, case: int, reader: Account) -> None:
    """The reader wants another one first. Raises `InputError` where there is no such case."""
    with store.write() as connection:
        one(connection, studies, case, "study")
        connection.execute(_STALE, {"me": reader.id, "case": case, "moment": now()})
        connection.execute(sa.insert(passed), {"account_id": reader.id, "case_id": case, "until": now() + PASSED})


def _first(connection: sa.Connection, wish: Wish) -> int | None:
    wanted = _statement(wish.order, wish.which, wish.reader.name)
    found = connection.execute(wanted, {"me": wish.reader.id, "moment": now(), "besides": wish.besides}).first()
    return None if found is None else int(found.id)


@lru_cache(256)
def _statement(order: str, which: Filter, reader: str) -> sa.Select[Any]:
    return first(order, which, _FREE, reader)


def _lay(connection: sa.Connection, case: int | None, reader: Account) -> None:
    connection.execute(_CLEAR, {"me": reader.id, "case": case})
    if case is not None:
        connection.execute(_LAY, {"account_id": reader.id, "case_id": case, "until": now() + HELD})
