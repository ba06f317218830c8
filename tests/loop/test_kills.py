"""Server and worker killed while people read and a model trains: nothing confirmed is lost, nothing half made is served."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bench import kills
from bench.readers import Heard, counted
from medloop import store


@pytest.mark.slow
def test_nothing_is_lost_by_a_few_kills(tmp_path: Path) -> None:
    found = kills.storm(tmp_path / "w", 4, seed=3, training={"recipe": "classical", "budget": "30s"})
    assert sum(found.killed.values()) == 4
    assert len(found.heard.confirmed) > 5
    assert (found.lost, found.doubled, found.half, found.problems, found.heard.errors) == (0, 0, [], [], [])
    assert found.trained


def test_a_lost_review_would_be_seen(tmp_path: Path) -> None:
    """The check above fails where a confirmed review is gone, and the trail tells."""
    kills.furnish(tmp_path / "w", 1, 2, 2)
    opened = store.open(tmp_path / "w")
    row = store.reviews.commit(opened, store.records.ReviewRow(case_id=1, author="reader 0", action="accept", value="well"))
    heard = Heard(confirmed=[(1, row.id)])
    assert counted(tmp_path / "w", heard) == (0, 0, [])
    opened.close()
    with closing(sqlite3.connect(tmp_path / "w" / "loop.sqlite", isolation_level=None)) as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f'DROP TRIGGER "{name}"')
        connection.execute("DELETE FROM labels")
        connection.execute("DELETE FROM reviews")
    lost, _, problems = counted(tmp_path / "w", heard)
    assert lost == 1
    assert problems
