"""Arrays kept by content: rows of one shape in bounded ``.npy`` shards, found again through an index in SQLite.

```
FOLDER/index-1.sqlite  which file stamp has which content; which content lies in which row of which shard
FOLDER/shards/*.npy    arrays (rows, ...), written beside and renamed: a shard is whole or not there
```

A process killed at any moment leaves at most shards that nobody knows of (`ArrayCache.sweep` removes them). Two processes may use
one folder at the same time. Failures of the disk are `OSError` with the number that tells why (no space, no permission).
"""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, TypeAlias

import numpy as np
from numpy.lib import format as npy

from medloop.errors import InputError
from medloop.types import Array

SHARD_BYTES = 64 * 1024 * 1024
SHARD_ROWS = 4096
_INDEX = "index-1.sqlite"
_ORPHAN_S = 3600.0
_DRAFTS = 8
_ASK = 8000

_TABLES = """
CREATE TABLE IF NOT EXISTS seen (key TEXT, stamp TEXT, digest BLOB, PRIMARY KEY (key, stamp)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS refused (key TEXT, item BLOB, reason TEXT, PRIMARY KEY (key, item)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS shard (id INTEGER PRIMARY KEY, name TEXT UNIQUE, bytes INTEGER, shape TEXT, dtype TEXT);
CREATE TABLE IF NOT EXISTS kind (id INTEGER PRIMARY KEY, text TEXT UNIQUE);
CREATE TABLE IF NOT EXISTS row (key TEXT, digest BLOB, shard INTEGER, row INTEGER, kind INTEGER, PRIMARY KEY (key, digest))
    WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS row_shard ON row (shard);
"""


Place: TypeAlias = tuple[int, int, int]
"""Where a row lies: its shard, its number there, and the number of its kind (`ArrayCache.kinds`)."""


@dataclass(frozen=True, slots=True)
class Shard:
    """A file of rows that all have ``shape``; ``dtype`` as NumPy writes it."""

    path: Path
    shape: tuple[int, ...]
    dtype: str


@dataclass(slots=True)
class _Draft:
    """A shard being written: rows of one shape and type appended behind a header that is set right at the end."""

    path: Path
    file: IO[bytes]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    rows: list[tuple[str, bytes, str]] = field(default_factory=list)

    def header(self) -> None:
        self.file.seek(0)
        shape = (len(self.rows), *self.shape)
        npy.write_array_header_1_0(self.file, {"descr": npy.dtype_to_descr(self.dtype), "fortran_order": False, "shape": shape})


class ArrayCache:
    """The cache in ``folder``. Use it as a context manager; it is opened on entry and cheap to open."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.shards = folder / "shards"
        self._connection: sqlite3.Connection | None = None

    def __enter__(self) -> ArrayCache:
        self.shards.mkdir(parents=True, exist_ok=True)
        with _disk_errors(self.folder):
            self._connection = sqlite3.connect(self.folder / _INDEX, timeout=60, isolation_level=None)
            self._sql.execute("PRAGMA journal_mode=WAL")
            self._sql.execute("PRAGMA synchronous=NORMAL")
            self._sql.executescript(_TABLES)
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @property
    def _sql(self) -> sqlite3.Connection:
        if self._connection is None:
            raise ValueError("the cache is not open")
        return self._connection

    def digests(self, key: str, stamps: Sequence[str]) -> dict[str, bytes]:
        """The content of each stamp that has been read under ``key`` (the reader and its version)."""
        return dict(self._ask("SELECT stamp, digest FROM seen WHERE stamp IN {} AND key = ?", stamps, key))

    def refusals(self, key: str, items: Sequence[str | bytes]) -> dict[str | bytes, str]:
        """Why each of these stamps or digests could not be used under ``key``."""
        return dict(self._ask("SELECT item, reason FROM refused WHERE item IN {} AND key = ?", items, key))

    def places(self, key: str, digests: Sequence[bytes]) -> dict[bytes, Place]:
        """Where each content lies under ``key``. Shards that have gone or lost bytes are forgotten first."""
        rows = list(self._ask("SELECT digest, shard, row, kind FROM row WHERE digest IN {} AND key = ?", digests, key))
        lost = self._forget_lost({shard for _, shard, _, _ in rows})
        return {digest: (shard, row, kind) for digest, shard, row, kind in rows if shard not in lost}

    def has(self, key: str, digest: bytes) -> bool:
        """Whether that content is kept under ``key``."""
        return any(self._ask("SELECT 1 FROM row WHERE digest IN {} AND key = ?", [digest], key))

    def described(self, shards: Iterable[int]) -> dict[int, Shard]:
        """File, shape and type of each shard."""
        rows = self._ask("SELECT id, name, shape, dtype FROM shard WHERE id IN {}", sorted(shards))
        return {number: Shard(self.shards / name, tuple(json.loads(shape)), dtype) for number, name, shape, dtype in rows}

    def kinds(self, numbers: Iterable[int]) -> dict[int, str]:
        """The text of each kind, as it was given to `Writer.add`."""
        return dict(self._ask("SELECT id, text FROM kind WHERE id IN {}", sorted(numbers)))

    def writer(self) -> Writer:
        """Something to write rows with; use it as a context manager."""
        return Writer(self)

    def sweep(self, older_s: float = _ORPHAN_S) -> int:
        """Remove shards that no index row knows and nobody has touched for ``older_s`` seconds; says how many."""
        known = {name for (name,) in self._sql.execute("SELECT name FROM shard")}
        limit, gone = time.time() - older_s, 0
        with os.scandir(self.shards) as entries:
            for entry in entries:
                if entry.name not in known and entry.stat().st_mtime < limit:
                    Path(entry.path).unlink(missing_ok=True)
                    gone += 1
        return gone

    def _ask(self, select: str, items: Sequence[Any], *after: str) -> Iterator[Any]:
        """The rows of ``select`` for these items (in place of ``{}``), a few thousand a question; ``after`` fills what follows."""
        for start in range(0, len(items), _ASK):
            part = items[start : start + _ASK]
            with _disk_errors(self.folder):
                rows = self._sql.execute(select.format(f"({','.join('?' * len(part))})"), (*part, *after)).fetchall()
            yield from rows

    def _forget_lost(self, shards: set[int]) -> set[int]:
        """Those of ``shards`` whose file has gone or changed its size; they and their rows leave the index."""
        known = self._ask("SELECT id, name, bytes FROM shard WHERE id IN {}", sorted(shards))
        sizes = {entry.name: entry.stat().st_size for entry in os.scandir(self.shards)} if shards else {}
        lost = {number for number, name, size in known if sizes.get(name) != size}
        if lost:
            with self.transaction() as sql:
                sql.executemany("DELETE FROM row WHERE shard = ?", [(number,) for number in lost])
                sql.executemany("DELETE FROM shard WHERE id = ?", [(number,) for number in lost])
        return lost

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing; other processes wait their turn."""
        with _disk_errors(self.folder):
            self._sql.execute("BEGIN IMMEDIATE")
            try:
                yield self._sql
            except BaseException:
                if self._sql.in_transaction:
                    self._sql.execute("ROLLBACK")
                raise
            self._sql.execute("COMMIT")


class Writer:
    """Appends rows to shards of at most `SHARD_BYTES` or `SHARD_ROWS`. What is flushed survives the death of the process."""

    def __init__(self, cache: ArrayCache) -> None:
        self._cache = cache
        self._drafts: dict[str, _Draft] = {}
        self._written: set[tuple[str, bytes]] = set()
        self._seen: list[tuple[str, str, bytes]] = []
        self._refused: list[tuple[str, str | bytes, str]] = []

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if kind is None:
                self.flush()
        finally:
            for draft in self._drafts.values():
                draft.file.close()
                draft.path.unlink(missing_ok=True)
            self._drafts.clear()

    def has(self, key: str, digest: bytes) -> bool:
        """Whether that content is kept, or waits to be flushed."""
        return (key, digest) in self._written or self._cache.has(key, digest)

    def seen(self, key: str, stamp: str, digest: bytes) -> None:
        """What a stamp contains."""
        self._seen.append((key, stamp, digest))

    def refuse(self, key: str, item: str | bytes, reason: str) -> None:
        """Why a stamp or a content cannot be used."""
        self._refused.append((key, item, reason))

    def add(self, key: str, digest: bytes, row: Array, kind: str = "") -> None:
        """Keep ``row`` (any shape) as that content under ``key``; rows that differ in shape or type go to shards of their own."""
        name = f"{key}/{row.shape}/{row.dtype.str}"
        draft = self._drafts.get(name) or self._begin(name, row)
        draft.file.write(np.ascontiguousarray(row).tobytes())
        draft.rows.append((key, digest, kind))
        self._written.add((key, digest))
        full = len(draft.rows) >= SHARD_ROWS or draft.file.tell() >= SHARD_BYTES - row.nbytes
        if full or len(self._drafts) > _DRAFTS:
            self.flush()

    def _begin(self, name: str, row: Array) -> _Draft:
        path = self._cache.shards / f"{uuid.uuid4().hex}.part"
        draft = _Draft(path, path.open("wb"), row.shape, row.dtype)
        draft.header()
        self._drafts[name] = draft
        return draft

    def flush(self) -> None:
        """Make everything added so far last: whole shards first, then the index."""
        finished = []
        for draft in self._drafts.values():
            draft.header()
            draft.file.flush()
            os.fsync(draft.file.fileno())
            draft.file.close()
            finished.append((draft, draft.path.rename(draft.path.with_suffix(".npy"))))
        self._drafts.clear()
        try:
            with self._cache.transaction() as sql:
                for draft, path in finished:
                    _register(sql, draft, path)
                sql.executemany("INSERT OR REPLACE INTO seen VALUES (?, ?, ?)", self._seen)
                sql.executemany("INSERT OR REPLACE INTO refused VALUES (?, ?, ?)", self._refused)
        except BaseException:
            for _, path in finished:
                path.unlink(missing_ok=True)
            raise
        for waiting in (self._seen, self._refused):
            waiting.clear()
        self._written.clear()


def _register(sql: sqlite3.Connection, draft: _Draft, path: Path) -> None:
    about = (path.name, path.stat().st_size, json.dumps(draft.shape), draft.dtype.str)
    cursor = sql.execute("INSERT INTO shard (name, bytes, shape, dtype) VALUES (?, ?, ?, ?)", about)
    kinds = sorted({kind for _, _, kind in draft.rows})
    sql.executemany("INSERT OR IGNORE INTO kind (text) VALUES (?)", [(kind,) for kind in kinds])
    number = {kind: sql.execute("SELECT id FROM kind WHERE text = ?", (kind,)).fetchone()[0] for kind in kinds}
    sql.executemany(
        "INSERT OR IGNORE INTO row VALUES (?, ?, ?, ?, ?)",
        [(key, digest, cursor.lastrowid, at, number[kind]) for at, (key, digest, kind) in enumerate(draft.rows)],
    )


_NUMBERS = {
    "SQLITE_FULL": errno.ENOSPC,
    "SQLITE_READONLY": errno.EROFS,
    "SQLITE_CANTOPEN": errno.EACCES,
    "SQLITE_PERM": errno.EACCES,
}


@contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    """SQLite's words for a full or closed disk as the `OSError` that other files would give; a broken index as `InputError`."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        name = str(getattr(error, "sqlite_errorname", ""))
        number = next((number for start, number in _NUMBERS.items() if name.startswith(start)), None)
        if number is not None:
            raise OSError(number, str(error), str(folder)) from error
        raise InputError(
            "broken-cache",
            got=f"The index of the cache in {folder} cannot be used: {error}.",
            allowed="A cache that medloop has written.",
            fix=f"Delete the folder {folder}: everything in it can be computed again.",
        ) from error
