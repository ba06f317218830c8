"""What a department chooses: known keys with their defaults, kept as JSON."""

from __future__ import annotations

import copy
from typing import Any

import sqlalchemy as sa

from medloop.errors import unknown_name
from medloop.store import audit
from medloop.store._rows import pairs
from medloop.store.base import Store
from medloop.store.tables import settings
from medloop.types import Json

DEFAULTS: dict[str, Json] = {
    "target": None,
    "drawn": None,
    "error_rate": 0.02,
    "confidence": 0.95,
    "blind_share": 0.1,
    "readers": 1,
    "order": "useful",
    "retrain_after": 50,
    "test_share": 0.2,
    "test_draw": 0,
    "looks_allowed": 20,
    "quiet_s": 30,
    "upload_mb": 2048,
    "mapping": None,
    "reading_seconds": 60,
    "language": "en",
    "keep_days": None,
    "watch": None,
    "recipe": None,
    "margin": 0.05,
    "auto_promote": True,
}
"""Every setting, and what it is until somebody chooses. ``drawn``: classes of outlines and boxes, by ``masks`` and ``boxes``.
``keep_days``: images of what was done longer ago are deleted."""


_CHOSEN = sa.select(settings.c.key, settings.c.value).where(settings.c.key.in_(sa.bindparam("keys", expanding=True)))


def get(store: Store, key: str) -> Json:
    """One setting. Raises `InputError` for a name that is none."""
    if key not in DEFAULTS:
        raise unknown_name("setting", key, DEFAULTS)
    with store.read() as connection:
        return value(connection, key)


def value(connection: sa.Connection, key: str) -> Json:
    """As `get`, inside the caller's transaction."""
    return values(connection, key)[key]


def values(connection: sa.Connection, *keys: str) -> dict[str, Json]:
    """Some settings at once, inside the caller's transaction."""
    chosen = pairs(connection.execute(_CHOSEN, {"keys": keys}))
    return {key: chosen[key] if key in chosen else copy.deepcopy(DEFAULTS[key]) for key in keys}


def every(store: Store) -> dict[str, Json]:
    """All settings."""
    with store.read() as connection:
        chosen = pairs(connection.execute(sa.select(settings.c.key, settings.c.value)))
    return copy.deepcopy(DEFAULTS) | {key: each for key, each in chosen.items() if key in DEFAULTS}


def put(store: Store, chosen: dict[str, Any], actor: str) -> None:
    """Choose settings, all of them or none. Raises `InputError` for a name that is none."""
    for key in chosen:
        if key not in DEFAULTS:
            raise unknown_name("setting", key, DEFAULTS)
    with store.write() as connection:
        for key, after in chosen.items():
            before = value(connection, key)
            if before == after:
                continue
            connection.execute(sa.delete(settings).where(settings.c.key == key))
            connection.execute(sa.insert(settings).values(key=key, value=after))
            audit.append(connection, actor, "setting", f"setting:{key}", {"from": before, "to": after})
