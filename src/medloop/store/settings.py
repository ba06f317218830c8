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
"""Every setting, and what it is until somebody chooses. ``keep_days``: images of what was done longer ago are deleted."""


def get(store: Store, key: str) -> Json:
    """One setting. Raises `InputError` for a name that is none."""
    if key not in DEFAULTS:
        raise unknown_name("setting", key, DEFAULTS)
    with store.read() as connection:
        return value(connection, key)


def value(connection: sa.Connection, key: str) -> Json:
    """As `get`, inside the caller's transaction."""
    row = connection.execute(sa.select(settings.c.value).where(settings.c.key == key)).one_or_none()
    return copy.deepcopy(DEFAULTS[key]) if row is None else row.value


def every(store: Store) -> dict[str, Json]:
    """All settings."""
    with store.read() as connection:
        chosen = pairs(connection.execute(sa.select(settings.c.key, settings.c.value)))
    return copy.deepcopy(DEFAULTS) | {key: each for key, each in chosen.items() if key in DEFAULTS}


def put(store: Store, values: dict[str, Any], actor: str) -> None:
    """Choose settings, all of them or none. Raises `InputError` for a name that is none."""
    for key in values:
        if key not in DEFAULTS:
            raise unknown_name("setting", key, DEFAULTS)
    with store.write() as connection:
        for key, chosen in values.items():
            before = value(connection, key)
            if before == chosen:
                continue
            connection.execute(sa.delete(settings).where(settings.c.key == key))
            connection.execute(sa.insert(settings).values(key=key, value=chosen))
            audit.append(connection, actor, "setting", f"setting:{key}", {"from": before, "to": chosen})
