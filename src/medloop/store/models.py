"""Model versions, decisions about them, and looks at the frozen test set. At most one model is champion."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from medloop.errors import InputError, Refused, unknown_name
from medloop.store import audit
from medloop.store._rows import add as insert
from medloop.store._rows import made, one, said
from medloop.store.base import Store
from medloop.store.records import LookRow, ModelRow, PromotionRow
from medloop.store.tables import looks, models, promotions

STATES = ("champion", "challenger", "former", "refused")
_NAME = sa.select(models.c.name).where(models.c.id == sa.bindparam("number"))
DECISIONS = ("promoted", "refused", "needs-person", "rolled-back")


def add(store: Store, new: ModelRow, actor: str) -> ModelRow:
    """Keep a model version; returns it with its number. Raises `InputError` for a name that is taken or a second champion."""
    with store.write() as connection:
        taken = connection.scalar(sa.select(models.c.id).where(models.c.name == new.name))
        if taken is not None or new.state not in STATES or (new.state == "champion" and _champion(connection) is not None):
            raise InputError(
                "bad-model",
                got=f"A model '{new.name}' in the state '{new.state}' cannot be added.",
                allowed=f"A new name; the states {', '.join(STATES)}; one champion.",
                fix="Add it as a challenger and promote it.",
            )
        row = insert(connection, models, said(new))
        content = {"name": new.name, "family": new.family, "dataset": new.dataset, "state": new.state}
        audit.append(connection, actor, "model.add", f"model:{row['id']}", content)
        return made(ModelRow, row)


def get(store: Store, number: int) -> ModelRow:
    """One model. Raises `InputError`."""
    with store.read() as connection:
        return made(ModelRow, one(connection, models, number, "model"))


def name_of(store: Store, number: int) -> str | None:
    """The name of a model, without its card; None where there is none of that number."""
    with store.read() as connection:
        return connection.scalar(_NAME, {"number": number})


def every(store: Store) -> list[ModelRow]:
    """All models, newest first."""
    with store.read() as connection:
        return [made(ModelRow, row) for row in connection.execute(sa.select(models).order_by(models.c.id.desc())).mappings()]


def champion(store: Store) -> ModelRow | None:
    """The model that proposes now, or None."""
    with store.read() as connection:
        row = _champion(connection)
        return None if row is None else made(ModelRow, row)


def set_card(store: Store, number: int, card: dict[str, Any], actor: str) -> None:
    """Write a model's card anew."""
    with store.write() as connection:
        one(connection, models, number, "model")
        connection.execute(sa.update(models).where(models.c.id == number).values(card=card))
        audit.append(connection, actor, "model.card", f"model:{number}", {"keys": sorted(card)})


def decide(store: Store, new: PromotionRow, actor: str) -> PromotionRow:
    """Keep a decision, and change who is champion as it says, in one transaction.

    ``promoted`` and ``rolled-back`` make ``challenger_id`` champion and the champion of now former. Raises `Refused`
    (``champion-changed``) where the champion is no longer the one that was judged against.
    """
    with store.write() as connection:
        challenger = one(connection, models, new.challenger_id, "model")
        reigning = _champion(connection)
        _check(new, reigning)
        if new.decision in ("promoted", "rolled-back"):
            if reigning is not None:
                _set(connection, reigning["id"], "former")
            _set(connection, challenger["id"], "champion")
        elif new.decision == "refused" and challenger["state"] == "challenger":
            _set(connection, challenger["id"], "refused")
        row = insert(connection, promotions, said(new))
        content = {"promotion": row["id"], "champion": new.champion_id, "reason": new.reason, "forced": new.forced}
        audit.append(connection, actor, f"model.{new.decision}", f"model:{challenger['id']}", content)
        return made(PromotionRow, row)


def decisions(store: Store) -> list[PromotionRow]:
    """Every decision, newest first."""
    with store.read() as connection:
        found = connection.execute(sa.select(promotions).order_by(promotions.c.id.desc())).mappings()
        return [made(PromotionRow, row) for row in found]


def look(store: Store, new: LookRow) -> int:
    """Count one more look at a frozen test set, before its result is seen; returns how many there have been."""
    with store.write() as connection:
        insert(connection, looks, said(new))
        content = {"test_set": new.test_set, "model": new.model_id, "why": new.why}
        audit.append(connection, new.by, "look", f"test-set:{new.test_set}", content)
        return _looks(connection, new.test_set)


def looked(store: Store, test_set: str) -> int:
    """How often this test set has been looked at."""
    with store.read() as connection:
        return _looks(connection, test_set)


def _check(new: PromotionRow, reigning: Any) -> None:
    if new.decision not in DECISIONS:
        raise unknown_name("decision", new.decision, DECISIONS)
    if (None if reigning is None else reigning["id"]) != new.champion_id:
        raise Refused(
            "champion-changed",
            got="Another model has become champion since this was judged.",
            allowed="A decision about the champion of now.",
            fix="Compare with it and decide again.",
        )


def _looks(connection: sa.Connection, test_set: str) -> int:
    wanted = sa.select(sa.func.count()).select_from(looks).where(looks.c.test_set == test_set)
    return int(connection.scalar(wanted) or 0)


def _champion(connection: sa.Connection) -> Any:
    return connection.execute(sa.select(models).where(models.c.state == "champion").limit(1)).mappings().one_or_none()


def _set(connection: sa.Connection, number: int, state: str) -> None:
    connection.execute(sa.update(models).where(models.c.id == number).values(state=state))
