"""The survey: everything decoded once, kept by content, whatever happens in between."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from medloop import prep, readers, registry
from medloop.compute import Compute
from medloop.errors import InputError
from medloop.prepared import Survey, _jobs, survey
from medloop.types import ImageRef, Step

AS_IS = (Step("clean"),)


def write_pictures(folder: Path, count: int, side: int = 24, seed: int = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for at in range(count):
        cv2.imwrite(str(folder / f"{at:04}.png"), rng.integers(0, 255, (side, side), dtype=np.uint8))
    return folder


@pytest.fixture(scope="module")
def two() -> Iterator[Compute]:
    with Compute(2) as compute:
        yield compute


def collected(src: Path) -> tuple[ImageRef, ...]:
    return readers.collect(src, cache=None, compute=Compute(0)).refs


def done(src: Path, cache: Path, compute: Compute, steps: tuple[Step, ...] | None = AS_IS) -> Survey:
    return survey(collected(src), cache=cache, steps=steps, compute=compute)


def pixels_of(path: Path) -> np.ndarray:
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def test_without_pictures_only_what_is_prepared_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    src, cache = write_pictures(tmp_path / "src", 5), tmp_path / "cache"
    with monkeypatch.context() as patched:
        patched.setattr(_jobs, "picture_of", None)
        bare = survey(collected(src), cache=cache, steps=AS_IS, compute=Compute(0), pictures=False)
    assert len(bare.pictures) == 0
    assert len(bare.refs) == 5
    whole = done(src, cache, Compute(0))
    assert len(whole.pictures) == 5
    assert bare.arrays is not None
    assert whole.arrays is not None
    np.testing.assert_array_equal(bare.arrays.take(range(5)), whole.arrays.take(range(5)))


def test_rows_are_the_files_pixels_in_order(tmp_path: Path, two: Compute) -> None:
    src = write_pictures(tmp_path / "src", 60)
    found = done(src, tmp_path / "cache", two)
    assert found.arrays is not None
    assert [ref.name for ref in found.refs] == [f"{at:04}.png" for at in range(60)]
    assert found.kept.tolist() == list(range(60))
    assert found.arrays.shape == (1, 1, 24, 24)
    for at, image in enumerate(found.arrays.take(np.arange(60))):
        np.testing.assert_array_equal(image[0, 0], pixels_of(src / f"{at:04}.png"))
    assert all(ref.digest == readers.digest(ref) for ref in found.refs[:5])
    assert len(found.pictures) == 60
    assert [bytes(row).hex() for row in found.arrays.digests] == [ref.digest for ref in found.refs]


def test_a_second_run_opens_and_decodes_nothing(tmp_path: Path, two: Compute) -> None:
    src = write_pictures(tmp_path / "src", 30)
    refs = collected(src)
    first = survey(refs, cache=tmp_path / "cache", steps=AS_IS, compute=two)
    shutil.rmtree(src)  # nothing can be opened any more
    second = survey(refs, cache=tmp_path / "cache", steps=AS_IS, compute=two)
    assert_equal(first, second)


def assert_equal(one: Survey, other: Survey) -> None:
    assert one.refs == other.refs
    assert one.rejected == other.rejected
    np.testing.assert_array_equal(one.kept, other.kept)
    assert one.pictures.rows.tobytes() == other.pictures.rows.tobytes()
    assert one.arrays is not None
    assert other.arrays is not None
    every = np.arange(len(one.arrays))
    np.testing.assert_array_equal(one.arrays.take(every), other.arrays.take(every))
    assert one.arrays.key == other.arrays.key


def test_pictures_alone_and_arrays_later(tmp_path: Path) -> None:
    src = write_pictures(tmp_path / "src", 12)
    alone = done(src, tmp_path / "cache", Compute(0), None)
    assert alone.arrays is None
    assert len(alone.pictures) == 12
    both = done(src, tmp_path / "cache", Compute(0))
    assert alone.pictures.rows.tobytes() == both.pictures.rows.tobytes()
    assert both.arrays is not None
    assert len(both.arrays) == 12


def test_what_cannot_be_used_is_rejected_with_its_reason(tmp_path: Path, two: Compute) -> None:
    src = write_pictures(tmp_path / "src", 20)
    cv2.imwrite(str(src / "0003.png"), np.full((24, 24), 7, np.uint8))
    refs = collected(src)
    whole = (src / "0005.png").read_bytes()
    (src / "0005.png").write_bytes(whole[: len(whole) // 2])
    cv2.imwrite(str(src / "0009.png"), np.random.default_rng(0).integers(0, 255, (24, 30), dtype=np.uint8))
    for _ in range(2):
        found = survey(refs, cache=tmp_path / "cache", steps=AS_IS, compute=two)
        reasons = {each.path: each.reason for each in found.rejected}
        assert set(reasons) == {"0003.png", "0005.png", "0009.png"}
        assert reasons["0003.png"] == "every pixel has the same value"
        assert "1 x 1 x 24 x 30" in reasons["0009.png"]
        assert found.kept.tolist() == [at for at in range(20) if at not in (3, 5, 9)]
        assert found.arrays is not None
        assert len(found.refs) == len(found.pictures) == len(found.arrays) == 17
        np.testing.assert_array_equal(found.arrays.take([3])[0, 0, 0], pixels_of(src / "0004.png"))


def test_nothing_usable_gives_an_empty_survey(tmp_path: Path) -> None:
    src = tmp_path / "src"
    src.mkdir()
    cv2.imwrite(str(src / "a.png"), np.full((5, 5), 7, np.uint8))
    found = done(src, tmp_path / "cache", Compute(0))
    assert found.refs == ()
    assert found.arrays is not None
    assert found.arrays.take([]).shape == (0, 1, 1, 1, 1)
    assert len(found.rejected) == 1


def test_the_same_picture_twice_is_kept_once(tmp_path: Path) -> None:
    src = write_pictures(tmp_path / "src", 6)
    shutil.copy(src / "0001.png", src / "copy.png")
    found = done(src, tmp_path / "cache", Compute(0))
    assert found.arrays is not None
    assert len(found.refs) == 7
    assert found.refs[1].digest == found.refs[6].digest
    assert sum(len(np.load(path, mmap_mode="r")) for path in found.arrays.paths) == 6
    np.testing.assert_array_equal(found.arrays.take([1]), found.arrays.take([6]))


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    src = write_pictures(tmp_path / "src", 5)
    first = done(src, tmp_path / "cache", Compute(0))
    write_pictures(src, 1, seed=9)
    os.utime(src / "0000.png", (1, 1))
    second = done(src, tmp_path / "cache", Compute(0))
    assert first.refs[0].digest != second.refs[0].digest
    assert [ref.digest for ref in first.refs[1:]] == [ref.digest for ref in second.refs[1:]]
    assert second.arrays is not None
    np.testing.assert_array_equal(second.arrays.take([0])[0, 0, 0], pixels_of(src / "0000.png"))


def stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether a changed step goes unnoticed: prepare, let 'clean' do something else as version 2, prepare again."""
    src = write_pictures(tmp_path / "src", 4)
    before = done(src, tmp_path / "cache", Compute(0)).arrays
    module = registry.load("prep", "clean")
    original = module.step

    def inverted(image, *, frames: bool = True, slices: bool = False):
        made = original(image, frames=frames, slices=slices)
        return type(made)(255 - made.pixels)

    with monkeypatch.context() as patch:
        patch.setattr(module, "step", inverted)
        patch.setattr(module, "VERSION", 2)
        after = done(src, tmp_path / "cache", Compute(0)).arrays
    assert before is not None
    assert after is not None
    return not np.array_equal(after.take(np.arange(4)), 255 - before.take(np.arange(4)))


def test_a_changed_step_is_not_served_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not stale(tmp_path, monkeypatch)


def test_the_staleness_check_fails_when_the_key_forgets_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prep, "key", lambda steps: "the same for everything")
    assert stale(tmp_path, monkeypatch)


def test_lost_and_damaged_shards_are_made_again(tmp_path: Path, two: Compute) -> None:
    src = write_pictures(tmp_path / "src", 40)
    first = done(src, tmp_path / "cache", two)
    assert first.arrays is not None
    expected = first.arrays.take(np.arange(40)).copy()
    first.arrays.paths[0].unlink()
    with first.arrays.paths[1].open("r+b") as file:
        file.truncate(200)
    second = done(src, tmp_path / "cache", two)
    assert second.arrays is not None
    np.testing.assert_array_equal(second.arrays.take(np.arange(40)), expected)


KILLED = """
import sys, time
from pathlib import Path
from medloop import readers
from medloop.compute import Compute
from medloop.prepared import survey
from medloop.types import Step
src, cache = map(Path, sys.argv[1:3])
refs = readers.collect(src, cache=None, compute=Compute(0)).refs
print("begin", flush=True)
with Compute(int(sys.argv[3])) as compute:
    found = survey(refs, cache=cache, steps=(Step("clean"), Step("resample", {"size": [1, 96, 96]})), compute=compute)
print(found.arrays.key, len(found.refs), flush=True)
"""
RESIZED = (Step("clean"), Step("resample", {"size": [1, 96, 96]}))


def rows_kept(cache: Path) -> int:
    index = cache / "arrays" / "index-1.sqlite"
    if not index.exists():
        return 0
    connection = sqlite3.connect(index, timeout=60)
    try:
        return int(connection.execute("SELECT count(*) FROM row WHERE key LIKE 'array/%'").fetchone()[0])
    except sqlite3.OperationalError:
        return 0
    finally:
        connection.close()


def test_killed_in_the_middle_it_goes_on_and_ends_the_same(tmp_path: Path) -> None:
    src, cache = write_pictures(tmp_path / "src", 160, side=64), tmp_path / "cache"
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(src), str(cache), "0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    while process.poll() is None and not rows_kept(cache) > 0:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    kept = rows_kept(cache)
    assert 0 < kept < 160
    shards = set((cache / "arrays" / "shards").glob("*.npy"))
    after = done(src, cache, Compute(0), RESIZED)
    assert shards < set((cache / "arrays" / "shards").glob("*.npy"))
    assert after.arrays is not None
    assert {path.name for path in shards} & {path.name for path in after.arrays.paths}
    fresh = done(src, tmp_path / "other", Compute(0), RESIZED)
    assert_equal(after, fresh)


def test_two_processes_on_one_cache(tmp_path: Path) -> None:
    src, cache = write_pictures(tmp_path / "src", 100, side=60), tmp_path / "cache"
    command = [sys.executable, "-c", KILLED, str(src), str(cache), "0"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for _ in range(2)]
    said = [process.communicate()[0].splitlines()[-1] for process in both]
    assert said[0] == said[1]
    assert said[0].endswith(" 100")


def test_a_picture_that_kills_its_reader_costs_only_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def deadly(job: _jobs.Job) -> int:
        """Stands for a decoder that crashes on one file."""
        if any(ref.name == "0011.png" for ref in job.refs):
            os.kill(os.getpid(), signal.SIGKILL)
        return _jobs.run(job)

    src = write_pictures(tmp_path / "src", 30)
    with Compute(2) as compute:
        monkeypatch.setattr(sys.modules["medloop.prepared.survey"], "run", deadly)
        found = done(src, tmp_path / "cache", compute)
    assert [(each.path, each.reason) for each in found.rejected] == [("0011.png", "the process that read it died")]
    assert found.arrays is not None
    assert len(found.arrays) == 29
    monkeypatch.undo()
    assert len(done(src, tmp_path / "cache", Compute(0)).refs) == 30


def test_orphans_are_swept(tmp_path: Path) -> None:
    src, cache = write_pictures(tmp_path / "src", 4), tmp_path / "cache"
    shards = cache / "arrays" / "shards"
    shards.mkdir(parents=True)
    for name, age in (("old.part", 9000), ("old.npy", 9000), ("new.part", 5)):
        (shards / name).write_bytes(b"half")
        os.utime(shards / name, (time.time() - age,) * 2)
    done(src, cache, Compute(0))
    left = {path.name for path in shards.iterdir()}
    assert "new.part" in left
    assert not left & {"old.part", "old.npy"}


def test_a_broken_index_is_told_with_the_way_out(tmp_path: Path) -> None:
    src, cache = write_pictures(tmp_path / "src", 4), tmp_path / "cache"
    (cache / "arrays").mkdir(parents=True)
    (cache / "arrays" / "index-1.sqlite").write_bytes(b"no database at all, only text" * 99)
    with pytest.raises(InputError, match="cannot be used") as wrong:
        done(src, cache, Compute(0))
    assert "Delete the folder" in wrong.value.fix


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    src = write_pictures(tmp_path / "src", 4)

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="No space is left"):
        done(src, tmp_path / "cache", Compute(0))
    assert not list((tmp_path / "cache" / "arrays" / "shards").iterdir())
    monkeypatch.undo()
    assert len(done(src, tmp_path / "cache", Compute(0)).refs) == 4


def test_a_cache_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    src = write_pictures(tmp_path / "src", 4)
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with pytest.raises(InputError, match="cannot be written"):
        done(src, blocked, Compute(0))


def test_jobs_are_bounded_and_more_than_the_workers(tmp_path: Path) -> None:
    small = [ImageRef(str(at), "raster", (), shape=(1, 1, 1, 28, 28)) for at in range(5000)]
    runs = list(_jobs.cut(small, range(5000), 2))
    assert [at for run in runs for at in run] == list(range(5000))
    assert max(map(len, runs)) == 512
    large = [ImageRef(str(at), "nifti", (), shape=(1, 1, 300, 512, 512), dtype="int16") for at in range(9)]
    assert [len(run) for run in _jobs.cut(large, range(9), 2)] == [1] * 9
    assert len(list(_jobs.cut(small[:5], range(5), 1))) == 5


@pytest.mark.shared
def test_medmnist_volumes(shared_data: Path, tmp_path: Path, two: Compute) -> None:
    refs = collected(shared_data / "adrenalmnist3d.npz")
    found = survey(refs, cache=tmp_path, steps=prep.plan(refs), compute=two)
    assert found.arrays is not None
    assert found.arrays.shape == (1, 28, 28, 28)
    assert found.arrays.binary
    assert len(found.refs) == 1584
    with np.load(shared_data / "adrenalmnist3d.npz") as file:
        where = [at for at, ref in enumerate(found.refs) if "#test/" in ref.name]
        np.testing.assert_array_equal(found.arrays.take(where)[:, 0], file["test_images"])
