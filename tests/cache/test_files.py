"""Scans are found again by path, size and time, by several processes at once, and whatever happened to the file."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from medloop.cache.files import Entry, FileIndex


def _entries(start: int, stop: int) -> list[Entry]:
    return [Entry(f"/data/{number}.png", number, number * 10, "raster", f'{{"rows":{number}}}') for number in range(start, stop)]


def _keys(entries: list[Entry]) -> list[tuple[str, int, int]]:
    return [(each.path, each.size, each.mtime_ns) for each in entries]


def test_what_is_added_is_known(tmp_path: Path):
    entries = _entries(0, 1300)
    with FileIndex(tmp_path / "cache" / "files.sqlite", "1") as index:
        index.add(entries)
    with FileIndex(tmp_path / "cache" / "files.sqlite", "1") as index:
        assert index.known(_keys(_entries(0, 1400))) == {each.path: each for each in entries}


@pytest.mark.parametrize("change", [(0, 1), (1, 0)])
def test_a_changed_file_is_not_known(tmp_path: Path, change):
    with FileIndex(tmp_path / "files.sqlite", "1") as index:
        index.add(_entries(0, 3))
        assert index.known([("/data/1.png", 1 + change[0], 10 + change[1])]) == {}
        index.add([Entry("/data/1.png", 1 + change[0], 10 + change[1], "", "broken")])
        assert index.known([("/data/1.png", 1 + change[0], 10 + change[1])])["/data/1.png"].found == "broken"


def test_another_version_knows_nothing(tmp_path: Path):
    with FileIndex(tmp_path / "files.sqlite", "1") as index:
        index.add(_entries(0, 3))
    with FileIndex(tmp_path / "files.sqlite", "2") as index:
        assert index.known(_keys(_entries(0, 3))) == {}


@pytest.mark.parametrize("content", [b"this is no database at all, but text", b"SQLite format 3\0" + b"\xff" * 4000])
def test_a_broken_file_is_made_anew(tmp_path: Path, content):
    (tmp_path / "files.sqlite").write_bytes(content)
    with FileIndex(tmp_path / "files.sqlite", "1") as index:
        index.add(_entries(0, 3))
        assert len(index.known(_keys(_entries(0, 3)))) == 3


def test_a_folder_in_the_way_is_an_error_of_the_disk(tmp_path: Path):
    (tmp_path / "files.sqlite").mkdir()
    with pytest.raises(OSError, match="unable to open"):
        FileIndex(tmp_path / "files.sqlite", "1")


def test_a_full_disk_is_an_error_of_the_disk(tmp_path: Path):
    with FileIndex(tmp_path / "files.sqlite", "1") as index:
        index._base.execute("PRAGMA max_page_count = 3")
        with pytest.raises(OSError, match="full") as error:
            index.add(_entries(0, 5000))
        assert error.value.errno == 28


def _fill(job: tuple[str, int]) -> int:
    path, worker = job
    with FileIndex(Path(path), "1") as index:
        for start in range(0, 200, 10):
            index.add(_entries(worker * 1000 + start, worker * 1000 + start + 10))
            index.known(_keys(_entries(0, 50)))
    return worker


def test_two_processes_write_at_once(tmp_path: Path):
    path = tmp_path / "files.sqlite"
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        assert sorted(pool.map(_fill, [(str(path), worker) for worker in (0, 1)])) == [0, 1]
    with FileIndex(path, "1") as index:
        assert len(index.known(_keys(_entries(0, 200) + _entries(1000, 1200)))) == 400
    with sqlite3.connect(path) as base:
        assert base.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    base.close()
