"""Rows kept by content: whole shards or none, bounded, found again."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from medloop.cache import arrays
from medloop.cache.arrays import ArrayCache

KEY = "array/steps"


def digest(number: int) -> bytes:
    return number.to_bytes(16, "big")


def row(number: int, shape: tuple[int, ...] = (2, 3), dtype: str = "uint8") -> np.ndarray:
    return np.full(shape, number % 251, dtype)


def fill(folder: Path, numbers: range) -> None:
    with ArrayCache(folder) as cache, cache.writer() as out:
        for number in numbers:
            out.add(KEY, digest(number), row(number), kind="even" if number % 2 == 0 else "odd")
            out.seen("read/png/1", f"stamp{number}", digest(number))


def test_rows_are_found_again(tmp_path: Path) -> None:
    fill(tmp_path, range(10))
    with ArrayCache(tmp_path) as cache:
        assert cache.digests("read/png/1", ["stamp3", "stamp99"]) == {"stamp3": digest(3)}
        assert cache.digests("read/png/2", ["stamp3"]) == {}
        places = cache.places(KEY, [digest(number) for number in range(12)])
        assert len(places) == 10
        shards = cache.described({shard for shard, _, _ in places.values()})
        assert [(shard.shape, shard.dtype) for shard in shards.values()] == [((2, 3), "|u1")]
        for number in range(10):
            shard, at, kind = places[digest(number)]
            np.testing.assert_array_equal(np.load(shards[shard].path, mmap_mode="r")[at], row(number))
            assert cache.kinds([kind])[kind] == ("odd" if number % 2 else "even")


def test_shards_are_bounded_in_rows_and_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "SHARD_ROWS", 30)
    fill(tmp_path / "a", range(100))
    assert sorted(len(np.load(path)) for path in (tmp_path / "a" / "shards").iterdir()) == [10, 30, 30, 30]
    monkeypatch.setattr(arrays, "SHARD_ROWS", 10**9)
    monkeypatch.setattr(arrays, "SHARD_BYTES", 700)
    fill(tmp_path / "b", range(100))
    files = list((tmp_path / "b" / "shards").iterdir())
    assert max(path.stat().st_size for path in files) <= 700
    assert sum(len(np.load(path)) for path in files) == 100


def test_shapes_and_types_go_to_shards_of_their_own(tmp_path: Path) -> None:
    with ArrayCache(tmp_path) as cache, cache.writer() as out:
        for number in range(60):
            out.add(KEY, digest(number), row(number, (1, 1 + number % 20), "uint8" if number % 2 else "float32"))
    with ArrayCache(tmp_path) as cache:
        places = cache.places(KEY, [digest(number) for number in range(60)])
        shards = cache.described({shard for shard, _, _ in places.values()})
        for number in range(60):
            shard, at, _ = places[digest(number)]
            kept = np.load(shards[shard].path)[at]
            assert kept.shape == shards[shard].shape == (1, 1 + number % 20)
            np.testing.assert_array_equal(kept, row(number, kept.shape))


def test_what_waits_to_be_flushed_counts_as_kept(tmp_path: Path) -> None:
    with ArrayCache(tmp_path) as cache, cache.writer() as out:
        assert not out.has(KEY, digest(1))
        out.add(KEY, digest(1), row(1))
        assert out.has(KEY, digest(1))
        assert not cache.has(KEY, digest(1))
        out.flush()
        assert cache.has(KEY, digest(1))


def broken_off(folder: Path) -> None:
    with ArrayCache(folder) as cache, cache.writer() as out:
        out.add(KEY, digest(1), row(1))
        raise ZeroDivisionError


def test_a_failure_leaves_no_half_shard(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        broken_off(tmp_path)
    assert list((tmp_path / "shards").iterdir()) == []
    with ArrayCache(tmp_path) as cache:
        assert not cache.has(KEY, digest(1))


def test_the_first_of_two_writers_of_one_content_wins(tmp_path: Path) -> None:
    fill(tmp_path, range(4))
    with ArrayCache(tmp_path) as cache:
        before = cache.places(KEY, [digest(number) for number in range(4)])
    fill(tmp_path, range(6))
    with ArrayCache(tmp_path) as cache:
        after = cache.places(KEY, [digest(number) for number in range(6)])
    assert len(after) == 6
    assert all(after[each] == place for each, place in before.items())


def test_refusals_are_kept_by_key(tmp_path: Path) -> None:
    with ArrayCache(tmp_path) as cache:
        with cache.writer() as out:
            out.refuse("read/png/1/env", "stamp", "broken")
            out.refuse(KEY, digest(5), "cannot be prepared")
        assert cache.refusals("read/png/1/env", ["stamp", "other"]) == {"stamp": "broken"}
        assert cache.refusals("read/png/2/env", ["stamp"]) == {}
        assert cache.refusals(KEY, [digest(5)]) == {digest(5): "cannot be prepared"}


def fill_to_the_brim(cache: ArrayCache) -> None:
    """As on a disk with no room left: the index may not grow by a page."""
    with cache.writer() as out:
        with cache.transaction() as sql:
            count = sql.execute("PRAGMA page_count").fetchone()[0]
            sql.execute(f"PRAGMA max_page_count={count}")
        for number in range(5000):
            out.add(KEY, digest(100 + number), row(number))


def test_a_full_index_is_an_error_of_the_disk(tmp_path: Path) -> None:
    fill(tmp_path, range(3))
    with ArrayCache(tmp_path) as cache, pytest.raises(OSError, match="full") as full:
        fill_to_the_brim(cache)
    assert full.value.errno == errno.ENOSPC
    with ArrayCache(tmp_path) as cache:
        assert len(cache.places(KEY, [digest(number) for number in range(3)])) == 3
        assert len(list((tmp_path / "shards").iterdir())) == 1


def test_many_processes_open_a_new_cache_at_once(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; import numpy as np\n"
        "from medloop.cache.arrays import ArrayCache\n"
        "with ArrayCache(Path(sys.argv[1])) as cache:\n"
        "    for at in range(20):\n"
        "        name = int(sys.argv[2] + str(at)).to_bytes(16, 'big')\n"
        "        with cache.writer() as out: out.add('k', name, np.zeros((4, 4), np.uint8))\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "cache")]
    running = [subprocess.Popen([*command, str(number)], stderr=subprocess.PIPE, text=True) for number in range(1, 5)]
    for process in running:
        assert process.communicate()[1] == ""
        assert process.returncode == 0
    with ArrayCache(tmp_path / "cache") as cache:
        assert len(list((tmp_path / "cache" / "shards").iterdir())) == 80
        assert (
            len(cache.places("k", [int(f"{number}{at}").to_bytes(16, "big") for number in range(1, 5) for at in range(20)])) == 80
        )
