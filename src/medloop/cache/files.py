"""What the header scan found in each file, by path, size and time, so that unchanged files are not opened again.

One SQLite database in write-ahead mode: two processes may use it at once. It can be deleted at any time; a broken one is
made anew. Failures of the disk are `OSError` with the number that tells why (no space, no permission).
"""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType

_TABLE = """
CREATE TABLE IF NOT EXISTS files (
    path TEXT PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, version TEXT NOT NULL,
    reader TEXT NOT NULL, found TEXT NOT NULL
) WITHOUT ROWID
"""
_WAIT_SECONDS = 60.0
_AT_ONCE = 500
_DISK = {sqlite3.SQLITE_FULL: errno.ENOSPC, sqlite3.SQLITE_READONLY: errno.EROFS, sqlite3.SQLITE_CANTOPEN: errno.EACCES}


@dataclass(frozen=True, slots=True)
class Entry:
    """One file's scan: the ``reader`` that took it (empty: rejected) and JSON of what it ``found`` (or the reason)."""

    path: str
    size: int
    mtime_ns: int
    reader: str
    found: str


class FileIndex:
    """Scans by path, size and time. Use it as a context manager.

    ``version`` names the scanning code: entries of another version are not answered.
    """

    def __init__(self, path: Path, version: str) -> None:
        """Open or create the database at ``path``. A file that is no database is replaced. Raises `OSError`."""
        self._version = version
        path.parent.mkdir(parents=True, exist_ok=True)
        with _disk(path):
            try:
                self._base = _opened(path)
            except sqlite3.DatabaseError as error:
                if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
                    raise
                for each in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
                    each.unlink(missing_ok=True)
                self._base = _opened(path)
        self._path = path

    def __enter__(self) -> FileIndex:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._base.close()

    def known(self, files: Iterable[tuple[str, int, int]]) -> dict[str, Entry]:
        """The entries of those ``(path, size, mtime_ns)`` that are unchanged since they were scanned, by path."""
        answer: dict[str, Entry] = {}
        for group in _cut(files, _AT_ONCE):
            wanted = {path: (size, time) for path, size, time in group}
            marks = ",".join("?" * len(wanted))
            found = self._base.execute(
                f"SELECT path, size, mtime_ns, reader, found FROM files WHERE version = ? AND path IN ({marks})",
                (self._version, *wanted),
            )
            for row in found:
                entry = Entry(*row)
                if (entry.size, entry.mtime_ns) == wanted[entry.path]:
                    answer[entry.path] = entry
        return answer

    def add(self, entries: Sequence[Entry]) -> None:
        """Keep entries, in one short transaction; later ones replace earlier ones of the same path. Raises `OSError`."""
        with _disk(self._path), self._base:
            self._base.executemany(
                "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?)",
                [(each.path, each.size, each.mtime_ns, self._version, each.reader, each.found) for each in entries],
            )


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        number = _DISK.get(error.sqlite_errorcode & 0xFF, errno.EIO)
        raise OSError(number, f"{error}", str(path)) from error


def _opened(path: Path) -> sqlite3.Connection:
    base = sqlite3.connect(path, timeout=_WAIT_SECONDS)
    try:
        base.execute("PRAGMA journal_mode = WAL")
        base.execute("PRAGMA synchronous = NORMAL")
        with base:
            base.execute(_TABLE)
    except sqlite3.Error:
        base.close()
        raise
    return base


def _cut(files: Iterable[tuple[str, int, int]], size: int) -> Iterator[list[tuple[str, int, int]]]:
    stream = iter(files)
    while group := list(islice(stream, size)):
        yield group
