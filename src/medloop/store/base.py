"""The store: one database and one place of blobs, opened and brought up to date."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from medloop.errors import InputError
from medloop.store import head as heads
from medloop.store.blobs import Blobs
from medloop.store.upgrade import upgrade, version
from medloop.workspace.atomic import explained

THREADS = 16
"""So many at once find a connection that is open already."""
_WAIT_S = 30.0
_WRITERS = 0x6D65646C
"""The number under which writers on PostgreSQL wait for each other."""


class _Mine(threading.local):
    """The connections of this thread's open blocks."""

    reading: sa.Connection | None = None
    writing: sa.Connection | None = None


@dataclass(frozen=True, slots=True)
class Store:
    """A database and its blobs. ``root``: the workspace. Safe to use from many threads; processes each open their own."""

    root: Path
    engine: sa.Engine
    blobs: Blobs
    _turn: threading.RLock = field(default_factory=threading.RLock, repr=False)
    _mine: _Mine = field(default_factory=_Mine, repr=False)

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """One connection that sees one state of the database throughout. Inside another block of this thread it is that one's."""
        if (outer := self._mine.writing or self._mine.reading) is not None:
            yield outer
            return
        with _told(self.root), self.engine.connect() as connection, connection.begin():
            self._mine.reading = connection
            try:
                yield connection
            finally:
                self._mine.reading = None

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """One transaction; writers take turns, so what is read inside holds until the end. Committed whole or not at all.

        Inside another one of this thread it is a part of that one, and what it raises must end that one too.
        """
        if self._mine.writing is not None:
            yield self._mine.writing
            return
        with self._turn, _told(self.root), self.engine.connect() as plain:
            connection = plain.execution_options(medloop_write=True)
            with connection.begin():
                if self.postgresql:
                    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_WRITERS)))
                self._mine.writing = connection
                try:
                    yield connection
                finally:
                    self._mine.writing = None
            if last := connection.info.pop(heads.LAST, None):
                heads.advance(self.root, *last)

    def run_alone(self, statement: str, *parameters: str) -> None:
        """One statement that the database takes outside a transaction only."""
        alone = {"isolation_level": "AUTOCOMMIT"} if self.postgresql else {"medloop_alone": True}
        with _told(self.root), self.engine.connect().execution_options(**alone) as connection:
            connection.exec_driver_sql(statement, parameters or None).close()

    @property
    def postgresql(self) -> bool:
        """Whether the database is PostgreSQL; otherwise it is SQLite."""
        return self.engine.dialect.name == "postgresql"

    @property
    def made(self) -> bool:
        """Whether the database has the store's tables."""
        file = None if self.postgresql else self.engine.url.database
        if file and not Path(file).exists():
            return False
        with self.read() as connection:
            return version(connection) is not None

    def close(self) -> None:
        """Let go of all connections."""
        self.engine.dispose()


def open(root: Path, database: str | None = None, blobs: str | None = None, *, make: bool = True) -> Store:
    """The store of the workspace at ``root``, brought up to date first, and made where there is none (unless ``make`` is False).

    ``database``: an SQLAlchemy URL (default: ``MEDLOOP_DATABASE``, else ``root/loop.sqlite``). ``blobs``: any fsspec URL (default:
    ``MEDLOOP_BLOBS``, else ``root/blobs``). Raises `InputError` where the database is newer than this medloop or cannot be opened.
    """
    root = Path(root).absolute()
    with _told(root):
        if not make and not root.is_dir():
            raise _none(root)
        with explained(root):
            root.mkdir(parents=True, exist_ok=True)
        store = Store(root, _engine(database or os.environ.get("MEDLOOP_DATABASE"), root), Blobs(root, blobs))
    try:
        if not make and not store.made:
            raise _none(root)
        with explained(root):
            _reserve(store.engine.url)
        upgrade(store)
        heads.begin(store)
    except BaseException:
        store.close()
        raise
    return store


def database_path(root: Path) -> Path:
    """Where a workspace keeps its own database."""
    return root / "loop.sqlite"


def _none(root: Path) -> InputError:
    return InputError(
        "no-store",
        got=f"There are no records in {root}.",
        allowed="A workspace that medloop ingest or medloop serve has used, or its database.",
        fix="Name it with --workspace DIR, or with --database.",
    )


def _engine(url: str | None, root: Path) -> sa.Engine:
    try:
        address = sa.make_url(url) if url else sa.URL.create("sqlite", database=str(database_path(root)))
        if address.drivername == "postgresql":
            address = address.set(drivername="postgresql+psycopg")
        in_memory = address.get_backend_name() == "sqlite" and address.database in (None, "", ":memory:")
        if address.get_backend_name() not in ("sqlite", "postgresql") or in_memory:
            raise ValueError(address.get_backend_name())
        sizes = {"pool_size": THREADS, "max_overflow": 64 - THREADS, "pool_pre_ping": address.get_backend_name() == "postgresql"}
        engine = sa.create_engine(address, hide_parameters=True, **sizes)
    except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError, ImportError, ValueError) as error:
        raise InputError(
            "bad-database",
            got="The address of the database cannot be used.",
            allowed="postgresql+psycopg://USER@HOST/NAME (with medloop[postgresql] installed) or sqlite:////FOLDER/FILE.",
            fix="Mend --database or MEDLOOP_DATABASE, or leave it out to use the workspace's own.",
        ) from error
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _prepare)
        sa.event.listen(engine, "begin", _begin)
    return engine


def _reserve(address: sa.URL) -> None:
    """Make the file of a SQLite database as one that others cannot read."""
    if address.get_backend_name() == "sqlite" and address.database and not os.path.exists(address.database):
        os.close(os.open(address.database, os.O_CREAT | os.O_WRONLY, 0o600))


def _prepare(connection: sqlite3.Connection, record: Any) -> None:
    """SQLite as the store needs it: readers beside one writer, on the disk at commit, deleted content overwritten."""
    del record
    connection.isolation_level = None  # transactions are begun by `_begin`, not by the driver
    for pragma in (
        f"busy_timeout = {int(_WAIT_S * 1000)}",
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
        "secure_delete = ON",
    ):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin(connection: sa.Connection) -> None:
    options = connection.get_execution_options()
    if not options.get("medloop_alone"):
        connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("medloop_write") else "BEGIN")


_SAYS = {
    "full": (
        "disk-full",
        "No space is left for the database.",
        "A disk with room for the workspace.",
        "Free some space and try again.",
    ),
    "readonly": ("not-writable", "The database cannot be written.", "A database you may write to.", "Mend its permissions."),
    "not a database": (
        "damaged-database",
        "The file of the database is damaged or no database.",
        "A database that medloop wrote.",
        "Bring back a backup: medloop restore DIR.",
    ),
    "malformed": (
        "damaged-database",
        "The file of the database is damaged.",
        "A database that medloop wrote.",
        "Bring back a backup: medloop restore DIR.",
    ),
    "unable to open": (
        "not-writable",
        "The database cannot be opened.",
        "A folder you may write to.",
        "Name another --workspace DIR.",
    ),
    "locked": (
        "database-busy",
        f"The database was busy for {_WAIT_S:.0f} s.",
        "A database that no other program holds.",
        "Try again; see what else has the file open.",
    ),
    "connection": (
        "no-database",
        "The database does not answer.",
        "A PostgreSQL server that runs and lets this user in.",
        "Start it, or mend --database or MEDLOOP_DATABASE.",
    ),
    "no space left": (
        "disk-full",
        "No space is left for the database.",
        "A disk with room for the database.",
        "Free some space and try again.",
    ),
}


@contextmanager
def _told(root: Path) -> Iterator[None]:
    """Turn what a database or disk says into an error that says what to do."""
    del root
    try:
        yield
    except (sa.exc.OperationalError, sa.exc.DatabaseError, sa.exc.TimeoutError) as error:
        text = str(error.orig if isinstance(error, sa.exc.DBAPIError) else error).lower()
        for sign, (code, got, allowed, fix) in _SAYS.items():
            if sign in text and not isinstance(error, sa.exc.IntegrityError):
                raise InputError(code, got=got, allowed=allowed, fix=fix) from error
        raise
