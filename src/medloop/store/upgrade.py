"""Bring a database up to date with Alembic; a newer one than this medloop knows is refused."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory

from medloop.errors import InputError

if TYPE_CHECKING:
    from medloop.store.base import Store

_SCRIPTS = ScriptDirectory(str(Path(__file__).parent / "migrations"))


def version(connection: sa.Connection) -> str | None:
    """The database's version; None where it is empty."""
    return MigrationContext.configure(connection).get_current_revision()


def upgrade(store: Store) -> None:
    """Take the steps that the database lacks, all of them or none. Raises `InputError` where it is newer than this medloop."""
    newest = _SCRIPTS.get_current_head()
    with store.read() as connection:
        if version(connection) == newest:
            return
    with store.write() as connection:
        found = version(connection)
        if found is not None and found not in {each.revision for each in _SCRIPTS.walk_revisions()}:
            raise InputError(
                "newer-database",
                got=f"The database is of version {found}, which is newer than this medloop.",
                allowed=f"A database of version {newest} or older.",
                fix="Install the medloop that wrote it, or a newer one.",
            )
        context = MigrationContext.configure(
            connection, opts={"fn": lambda now, _: _SCRIPTS._upgrade_revs(str(newest), now), "transaction_per_migration": False}
        )
        with Operations.context(context):
            context.run_migrations()
