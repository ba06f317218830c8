"""How often each test set has been scored: counted in the user's own data folder, by the test set's content.

Deleting a workspace resets nothing. A test set that has been looked at often no longer says how a model does on new
patients (Dwork et al. 2015, The reusable holdout), so every report shows the count.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import platformdirs


def content_key(digests: Iterable[str]) -> str:
    """The name of a test set: a hash of its pictures' hashes, in any order."""
    return hashlib.blake2b("\n".join(sorted(digests)).encode(), digest_size=16).hexdigest()


def looks_file() -> Path:
    """Where looks are counted."""
    return Path(platformdirs.user_data_dir("medloop", appauthor=False)) / "looks.sqlite"


def record(key: str, verb: str) -> int | None:
    """Count one more look at a test set; returns how many there have been, or None where counting is impossible."""
    path = looks_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(path, timeout=30)) as connection, connection:
            connection.execute("CREATE TABLE IF NOT EXISTS looks (test_set TEXT NOT NULL, time TEXT NOT NULL, verb TEXT NOT NULL)")
            connection.execute("CREATE INDEX IF NOT EXISTS by_test_set ON looks (test_set)")
            now = datetime.now(UTC).isoformat(timespec="seconds")
            connection.execute("INSERT INTO looks VALUES (?, ?, ?)", (key, now, verb))
            (count,) = connection.execute("SELECT count(*) FROM looks WHERE test_set = ?", (key,)).fetchone()
            return int(count)
    except (sqlite3.Error, OSError):
        return None


def count(key: str) -> int:
    """How often a test set has been looked at so far."""
    path = looks_file()
    if not path.exists():
        return 0
    try:
        with closing(sqlite3.connect(path, timeout=30)) as connection:
            (number,) = connection.execute("SELECT count(*) FROM looks WHERE test_set = ?", (key,)).fetchone()
            return int(number)
    except sqlite3.Error:
        return 0
