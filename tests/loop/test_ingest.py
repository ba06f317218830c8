"""Studies come into the store once, whole, with their labels, and stay when their source goes away."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from medloop import readers, store
from medloop.loop import _draws
from medloop.loop import ingest as ingesting
from medloop.loop._stored import case_of
from medloop.loop.ingest import ingest, ingest_files, watch
from medloop.requests import IngestRequest
from medloop.samples import phantom_ct
from medloop.store import Store, arrivals, audit, labels, settings, studies
from medloop.store.records import APART
from medloop.store.studies import Filter
from medloop.workspace import Workspace
from tests.loop.command import Command
from tests.loop.conftest import Source, write_pngs


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Store]:
    opened = store.open(tmp_path / "w")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Source:
    return write_pngs(tmp_path_factory.mktemp("few"), 12, seed=5)


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantom") / "p"
    phantom_ct.write(folder, seed=5, patients=4)
    return folder


def take(records: Store, src: Path, **more: object):
    return ingest(Workspace(records.root), IngestRequest(src=str(src), workers=0, **more))


def every(records: Store, *states: str):
    wanted = Filter(states=states or ("arriving", "ready", "proposed", "done", "rejected"))
    return studies.page(records, "arrival", wanted, 1000, refs=True).rows


def test_taking_the_same_again_changes_nothing(few: Source, records: Store) -> None:
    first = take(records, few.src)
    assert (len(first.fresh), first.known, first.cases) == (24, 0, 24)
    again = take(records, few.src)
    assert (again.fresh, again.known) == ([], 24)
    assert studies.counts(records)["ready"] == 24
    assert audit.verify(records) == []


def test_the_same_pictures_under_other_names_and_formats_are_known(few: Source, records: Store, tmp_path: Path) -> None:
    take(records, few.src)
    from PIL import Image as Pillow

    (tmp_path / "copies").mkdir()
    for path in sorted(few.src.iterdir())[:3]:
        Pillow.open(path).save(tmp_path / "copies" / f"x-{path.stem}.bmp")
    assert take(records, tmp_path / "copies").known == 3


def test_images_stay_when_the_source_goes(few: Source, records: Store, tmp_path: Path) -> None:
    shutil.copytree(few.src, tmp_path / "src")
    take(records, tmp_path / "src")
    shutil.rmtree(tmp_path / "src")
    shutil.move(records.root, tmp_path / "elsewhere")
    moved = store.open(tmp_path / "elsewhere")
    rows = every(moved)
    assert len(rows) == 24
    before = readers.read(readers_ref(few, rows[0].name))
    np.testing.assert_array_equal(readers.read(rows[0].refs[0]).pixels, before.pixels)
    moved.close()


def readers_ref(few: Source, name: str):
    from medloop.compute import Compute

    with Compute(0) as compute:
        return next(ref for ref in readers.collect(few.src, compute=compute).refs if ref.name == name)


def test_labels_come_with_provenance_imported(few: Source, records: Store) -> None:
    done = take(records, few.src, labels=str(few.labels))
    assert done.labels == 24
    assert studies.counts(records)["done"] == 24
    assert settings.get(records, "target")["classes"] == ["sick", "well"]
    told = labels.current(records)
    assert {row.provenance for row in told.values()} == {"imported"}
    row = every(records)[0]
    assert (row.patient, told[(row.id, "classes")].value) == ("0", "well")
    assert take(records, few.src, labels=str(few.labels)).labels == 0
    assert len(labels.history(records, row.id)) == 1


def test_labels_may_come_later_and_tell_whose_images_they_are(few: Source, records: Store) -> None:
    settings.put(records, {"test_share": 0.5}, "kim")
    take(records, few.src)
    assert {row.patient for row in every(records)} == {None}
    take(records, few.src, labels=str(few.labels))
    rows = every(records)
    assert len({row.patient for row in rows}) == 12
    assert one_sided(rows)
    assert studies.counts(records)["done"] == 24


def one_sided(rows) -> bool:
    """Whether no patient is in the frozen test set with some studies and outside with others."""
    sides: dict[str, set[bool]] = {}
    for row in rows:
        sides.setdefault(row.patient, set()).add(row.frozen)
    return all(len(side) == 1 for side in sides.values()) and {side for each in sides.values() for side in each} == {True, False}


def test_a_patient_is_frozen_whole_or_not_at_all(few: Source, records: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.put(records, {"test_share": 0.5}, "kim")
    take(records, few.src, labels=str(few.labels))
    assert one_sided(every(records))
    frozen = [row for row in every(records) if row.frozen]
    assert all(row.blind for row in frozen)
    other = store.open(records.root.parent / "other")
    settings.put(other, {"test_share": 0.5}, "kim")
    monkeypatch.setattr(_draws, "frozen", lambda patient, content, share, number=0: _draws.share_of(content, "x") < share)
    monkeypatch.setattr(arrivals, "_with_patient", lambda connection, new: new)
    take(other, few.src, labels=str(few.labels))
    assert not one_sided(every(other))
    other.close()


def test_a_patient_stays_on_their_side_when_the_draw_changes(phantom: Path, records: Store, tmp_path: Path) -> None:
    settings.put(records, {"test_share": 1.0}, "kim")
    patient = next(path for path in sorted((phantom / "images").iterdir()) if path.is_dir())
    take(records, patient)
    settings.put(records, {"test_share": 0.0}, "kim")
    take(records, phantom / "images")
    sides = {(row.patient, row.frozen) for row in every(records)}
    assert sum(frozen for _, frozen in sides) == 1
    assert len(sides) == len({name for name, _ in sides}) == 4


def test_draws_are_as_large_as_asked_and_differ() -> None:
    drawn = [_draws.frozen(f"p{number}", "", 0.2) for number in range(5000)]
    again = [_draws.frozen(f"p{number}", "", 0.2, 1) for number in range(5000)]
    assert 0.17 < np.mean(drawn) < 0.23
    assert 0.02 < np.mean(np.array(drawn) & np.array(again)) < 0.06
    assert drawn == [_draws.frozen(f"p{number}", "other", 0.2) for number in range(5000)]
    assert not any(_draws.blind(str(number), 0.0) for number in range(50))
    assert all(_draws.blind(str(number), 1.0) for number in range(50))


def test_what_is_no_image_is_told(few: Source, records: Store, tmp_path: Path) -> None:
    src = tmp_path / "src"
    src.mkdir()
    good = sorted(few.src.iterdir())[:2]
    for path in good:
        shutil.copy(path, src)
    (src / "cut.png").write_bytes(good[0].read_bytes()[:400])
    (src / "text.png").write_text("<script>alert(1)</script>'; DROP TABLE studies; --")
    (src / "empty.dcm").write_bytes(b"")
    done = take(records, src)
    assert len(done.fresh) == 2
    assert {each["path"] for each in done.rejected} == {"cut.png", "text.png", "empty.dcm"}
    assert all(each["reason"] for each in done.rejected)
    assert len(done.rejected) + 2 == done.files


def test_archives_are_unpacked_with_care(few: Source, records: Store, tmp_path: Path) -> None:
    paths = sorted(few.src.iterdir())
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as out:
        for path in paths[:3]:
            out.write(path, f"in/{path.name}")
        out.write(paths[3], "../../evil.png")
    done = take(records, tmp_path / "a.zip")
    assert len(done.fresh) == 3
    assert [each["reason"] for each in done.rejected] == ["its name leads out of the archive"]
    assert not list(tmp_path.rglob("evil.png"))
    assert not list((records.root / "incoming").iterdir())


def test_npz_items_become_studies(npz: Source, records: Store) -> None:
    done = take(records, npz.src)
    assert (len(done.fresh), done.labels) == (150, 150)
    assert len(list((records.root / "blobs").rglob("*.npz"))) == 1
    assert take(records, npz.src).known == 150


def upload(records: Store, paths: list[Path], **more: object):
    return ingest_files(records, paths, "kim", **more)


def test_uploads_have_plain_names_and_never_fail(few: Source, records: Store, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("nothing")
    (tmp_path / "z").write_bytes(b"PK\3\4 broken")
    (tmp_path / "link").symlink_to(tmp_path / "x")
    paths = [*sorted(few.src.iterdir())[:2], tmp_path / "x", tmp_path / "z", tmp_path / "link"]
    names = ["../../../etc/a.png", "C:\\evil\\a.png", "<img src=x>.png", "z.zip", "l.png"]
    done = upload(records, paths, names=names)
    assert len(done.fresh) == done.waiting == 2
    assert {row.name for row in every(records)} == {"a.png", "2-a.png"}
    assert {each["path"] for each in done.rejected} == {"_img src=x_.png", "z.zip", "l.png"}
    nothing = upload(records, [tmp_path / "x"])
    assert nothing.fresh == []
    assert len(nothing.rejected) == 1
    assert not list((records.root / "incoming").iterdir())


def test_a_series_that_comes_in_parts_is_put_together(phantom: Path, records: Store) -> None:
    folder = next(path for path in sorted((phantom / "images").rglob("1")) if path.is_dir())
    slices = sorted(folder.iterdir())
    half = len(slices) // 2
    first = upload(records, slices[:half])
    assert first.waiting == 1
    second = upload(records, slices[half:])
    assert second.replaced == 1
    assert second.rejected == []
    assert {(row.state, row.refs[0].shape[2]) for row in every(records)} == {("rejected", half), ("arriving", len(slices))}
    part = upload(records, slices[:3])
    assert (part.fresh, part.known) == ([], 1)
    assert arrivals.settle(records, 3600, "clock") == []
    assert arrivals.settle(records, 0, "clock") == second.fresh
    assert studies.get(records, second.fresh[0]).state == "ready"


def test_series_of_one_name_are_told_apart(phantom: Path, records: Store) -> None:
    take(records, phantom / "images")
    rows = every(records)
    assert all(row.series.startswith("Abdomen ") and row.series.endswith(row.day) for row in rows)
    assert len({row.series for row in rows}) > 1
    assert not [row.series for row in rows if row.patient in row.series]
    assert not {name for row in rows for name, _ in case_of(row).attributes} & set(APART), "what tells them apart is no subgroup"


def test_the_wait_begins_anew_when_files_come_again(few: Source, records: Store) -> None:
    paths = sorted(few.src.iterdir())[:1]
    (number,) = upload(records, paths).fresh
    before = studies.get(records, number).arrived
    upload(records, paths)
    assert studies.get(records, number).arrived > before


class Clockwork:
    """A clock that stands until told."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


def test_a_study_is_still_when_none_of_its_files_is_new(phantom: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from medloop.compute import Compute

    clock = Clockwork()
    monkeypatch.setattr(ingesting.time, "monotonic", clock.monotonic)
    with Compute(0) as compute:
        ref = readers.collect(phantom / "images", compute=compute).refs[0]
    still = ingesting._Still(30.0)
    assert still.ready([ref]) == []
    clock.now += 29
    grown = replace(ref, stamp="more files")
    assert still.ready([grown]) == []
    clock.now += 29
    assert still.ready([grown]) == []
    other_series = replace(ref, stamp="another", name="another")
    assert still.ready([grown, other_series]) == []
    clock.now += 29
    assert still.ready([grown, other_series]) == []
    clock.now += 2
    assert still.ready([grown, other_series]) == [grown, other_series]


def test_a_watched_folder_is_taken_as_it_fills(few: Source, records: Store, tmp_path: Path) -> None:
    src = tmp_path / "src"
    src.mkdir()
    looks = 0

    def stop() -> bool:
        nonlocal looks
        looks += 1
        if looks == 2:
            for path in sorted(few.src.iterdir())[:2]:
                shutil.copy(path, src)
            (src / "text.png").write_text("no image")
        return studies.counts(records)["ready"] == 2 or looks > 200

    done = watch(records, IngestRequest(src=str(src), watch=True, quiet=0.3, every=0.05, workers=0), stop=stop)
    assert len(done.fresh) == 2
    assert [each["path"] for each in done.rejected] == ["text.png"]


def test_a_watch_that_is_killed_goes_on_where_it_was(few: Source, records: Store) -> None:
    words = [sys.executable, "-m", "medloop", "ingest", str(few.src), "--watch", "--quiet", "0", "--every", "0.1", "--workers", "0"]
    work = subprocess.Popen([*words, "--workspace", str(records.root)], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not studies.counts(records)["ready"] and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(work.pid, signal.SIGKILL)
    work.wait()
    assert audit.verify(records) == []
    take(records, few.src)
    assert studies.counts(records)["ready"] == 24
    assert len({row.content for row in every(records)}) == 24


def test_images_too_large_to_unfold_are_left_out(few: Source, records: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from medloop.loop import _arrivals

    monkeypatch.setattr(_arrivals, "MOST_BYTES", 1000)
    done = take(records, few.src)
    assert done.fresh == []
    assert {each["reason"] for each in done.rejected} == {"it unfolds to more than 2 GB; cut it up or scale it down"}


def test_numbers_and_several_labels_come_as_the_store_keeps_them(few: Source, records: Store, tmp_path: Path) -> None:
    names = [path.stem for path in sorted(few.src.iterdir())]
    rows = [f"{name},{number % 2},{number // 2 % 2}" for number, name in enumerate(names)]
    (tmp_path / "several.csv").write_text("\n".join(["image,effusion,nodule", *rows]))
    take(records, few.src, labels=str(tmp_path / "several.csv"), label_columns="effusion,nodule")
    told = labels.current(records)
    assert {frozenset(row.value) for row in told.values()} == {frozenset(["effusion", "nodule"])}
    assert {tuple(row.value.values()) for row in told.values()} == {(0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0)}
    assert settings.get(records, "target")["kind"] == "multi-label"
    (tmp_path / "ages.csv").write_text("\n".join(["image,bone_age", *(f"{name},{50 + 3.5 * at}" for at, name in enumerate(names))]))
    done = take(records, few.src, labels=str(tmp_path / "ages.csv"), label_columns="bone_age")
    assert done.labels == 24
    ages = [row.value for (_, target), row in labels.current(records).items() if target == "bone_age"]
    assert sorted(ages) == [50 + 3.5 * at for at in range(24)]


def test_the_command_says_what_it_took_and_what_not(few: Source, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = Command(tmp_path / "w", capsys)
    src = tmp_path / "src"
    shutil.copytree(few.src, src)
    (src / "a.png").write_text("no image")
    said = command("ingest", src, "--workers", "0", "--json").json
    assert (len(said["fresh"]), said["files"]) == (24, 25)
    assert said["rejected"] == [{"path": "a.png", "reason": "named like PNG, but it is a text file"}]
    spoken = command("ingest", src, "--workers", "0").out
    assert "0 new studies, 24 known already" in spoken
    assert "named like PNG" in spoken
    command.refused("ingest", tmp_path / "none", code=2, says="There is nothing at")
    command.refused("ingest", src / "a.png", "--watch", code=2, says="is no folder", kind="not-a-folder")
    command.refused("ingest", src, "--quiet", "-1", code=2, says="--quiet")
    command.refused("ingest", src, "--labels", tmp_path / "none.csv", code=2, says="none.csv")
    command.refused("propose", code=3, says="No model has been promoted yet", kind="no-champion")


def test_what_a_killed_upload_left_goes_after_a_day(few: Source, records: Store) -> None:
    left = records.root / "incoming" / "left"
    left.mkdir(parents=True)
    fresh = records.root / "incoming" / "fresh"
    fresh.mkdir()
    os.utime(left, (1, 1))
    upload(records, sorted(few.src.iterdir())[:1])
    assert [path.name for path in (records.root / "incoming").iterdir()] == ["fresh"]


def test_a_forgotten_study_takes_no_labels(few: Source, records: Store) -> None:
    take(records, few.src)
    studies.set_state(records, 1, "deleted", "kim")
    assert take(records, few.src, labels=str(few.labels)).labels == 23
    assert studies.get(records, 1).state == "deleted"
