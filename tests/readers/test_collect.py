"""Every file of a source ends up used, listed as a table, or rejected with a reason; unchanged files are not opened again."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import PIL.Image as pil
import pytest

from medloop import readers
from medloop.compute import Compute
from medloop.errors import InputError
from medloop.readers import _scan

GREY = np.arange(48, dtype=np.uint8).reshape(6, 8) * 5


_OTHERS = {
    "a/.DS_Store": b"\0\0", "Thumbs.db": b"\0", "labels.csv": b"image,label\n", "empty.TSV": b"", "b.xlsx": b"PK",
    "notes.txt": b"hello", "old.zip": b"PK\3\4", "v.nrrd": b"NRRD0004\n\0\xff\xfe", "zero.png": b"",
    "random.bin": bytes(range(256)), "noext": b"some words",
}  # fmt: skip


def _picture(path: Path, value: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pil.fromarray(GREY + np.uint8(value)).save(path)
    return path


def _everything(root: Path) -> None:
    _picture(root / "a" / "10.png")
    _picture(root / "a" / "9.png")
    _picture(root / "__MACOSX" / "a" / "._9.png")
    _picture(root / ".thumbnails" / "9.png")
    for name, content in _OTHERS.items():
        (root / name).write_bytes(content)


def test_every_file_is_accounted_for(tmp_path: Path, gather, accounted):
    _everything(tmp_path)
    found = gather(tmp_path)
    accounted(found)
    assert [ref.name for ref in found.refs] == ["a/9.png", "a/10.png"]
    assert {path.name for path in found.tables} == {"labels.csv", "empty.TSV", "b.xlsx"}
    assert {each.path: each.reason for each in found.rejected} == {
        ".thumbnails/9.png": "in the hidden folder .thumbnails",
        "Thumbs.db": "a file that the operating system made",
        "__MACOSX/a/._9.png": "in __MACOSX, a folder that the operating system made",
        "a/.DS_Store": "a hidden file",
        "noext": "a text or document, not an image",
        "notes.txt": "a text or document, not an image",
        "old.zip": "an archive; unpack it first",
        "random.bin": "not an image that can be read (DICOM, NIfTI, PNG, JPEG, TIFF, BMP, .npz)",
        "v.nrrd": "NRRD files are not read; convert it to DICOM, NIfTI, PNG, JPEG, TIFF or BMP",
        "zero.png": "the file is empty (0 bytes)",
    }


def test_a_file_that_falls_through_would_be_caught(tmp_path: Path, gather, accounted, monkeypatch):
    _everything(tmp_path)
    monkeypatch.setattr(readers, "_sieved", lambda seen, images: ([], [each for each in seen if each.name.endswith("9.png")]))
    with pytest.raises(AssertionError):
        accounted(gather(tmp_path))


def test_images_names_what_is_an_image(tmp_path: Path, gather, accounted):
    for name in ("x/1.bmp", "x/1.png", "y/2.BMP"):
        _picture(tmp_path / name)
    found = gather(tmp_path, images="*.bmp")
    accounted(found)
    assert [ref.name for ref in found.refs] == ["x/1.bmp", "y/2.BMP"]
    assert [(each.path, each.reason) for each in found.rejected] == [("x/1.png", "not matched by --images '*.bmp'")]
    assert [ref.name for ref in gather(tmp_path, images="x/*").refs] == ["x/1.bmp", "x/1.png"]
    with pytest.raises(InputError, match=r"No file in .* matches --images '\*\.tif'"):
        gather(tmp_path, images="*.tif")


def test_missing_and_empty_sources_say_what_to_do(tmp_path: Path, gather):
    with pytest.raises(InputError) as missing:
        gather(tmp_path / "nowhere")
    assert (missing.value.code, missing.value.exit_code) == ("no-source", 2)
    with pytest.raises(InputError) as empty:
        gather(tmp_path)
    assert (empty.value.code, empty.value.fix) == ("empty-source", "Name the folder that holds the images.")
    (tmp_path / "only.txt").write_text("words")
    with pytest.raises(InputError, match=r"only\.txt: a text or document") as none:
        gather(tmp_path)
    assert none.value.code == "no-images"


def test_one_file_is_a_source(tmp_path: Path, gather):
    path = _picture(tmp_path / "one.png")
    found = gather(path)
    assert (found.root, [ref.name for ref in found.refs], found.files) == (tmp_path.resolve(), ["one.png"], ("one.png",))


def test_readers_share_a_folder(tmp_path: Path, gather, write_dicom, accounted):
    np.savez(tmp_path / "m.npz", train_images=np.zeros((3, 9, 9), np.uint8))
    _picture(tmp_path / "p.png")
    write_dicom(tmp_path / "without-extension")
    found = gather(tmp_path)
    accounted(found)
    items = [("npz", f"m.npz#train/{number}") for number in range(3)]
    assert [(ref.reader, ref.name) for ref in found.refs] == [*items, ("raster", "p.png"), ("dicom", "without-extension")]


def test_links_in_circles_and_to_nowhere(tmp_path: Path, gather, accounted):
    _picture(tmp_path / "a" / "1.png")
    (tmp_path / "a" / "round").symlink_to(tmp_path)
    (tmp_path / "a" / "self").symlink_to(tmp_path / "a" / "self")
    (tmp_path / "gone.png").symlink_to(tmp_path / "no-such-file")
    os.mkfifo(tmp_path / "pipe")
    found = gather(tmp_path)
    accounted(found)
    assert [ref.name for ref in found.refs] == ["a/1.png"]
    assert {each.path: each.reason for each in found.rejected} == {
        "a/self": "a link that leads nowhere", "gone.png": "a link that leads nowhere", "pipe": "not an ordinary file",
    }  # fmt: skip


def test_a_name_that_is_no_text_is_told(tmp_path: Path, gather):
    _picture(tmp_path / "fine.png")
    try:
        shutil.copy(tmp_path / "fine.png", os.fsencode(tmp_path) + b"/b\xff.png")
    except OSError:
        pytest.skip("this file system only takes valid names")
    found = gather(tmp_path, cache=tmp_path / "ws" / "cache")
    assert [(each.path, each.reason) for each in found.rejected] == [("b?.png", "its name is not valid UTF-8; rename it")]


def test_the_workspace_below_the_source_is_not_data(tmp_path: Path, gather):
    _picture(tmp_path / "1.png")
    _picture(tmp_path / "medloop-workspace" / "runs" / "picture.png")
    found = gather(tmp_path, cache=tmp_path / "medloop-workspace" / "cache")
    assert found.files == ("1.png",)


def test_unchanged_files_are_not_opened_again(tmp_path: Path, gather, monkeypatch):
    for number in range(5):
        _picture(tmp_path / "data" / f"{number}.png")
    (tmp_path / "data" / "bad.png").write_bytes(b"words")
    first = gather(tmp_path / "data", cache=tmp_path / "ws" / "cache")
    opened = []
    real = _scan.scan
    monkeypatch.setattr(_scan, "scan", lambda path: opened.append(Path(path).name) or real(path))
    assert gather(tmp_path / "data", cache=tmp_path / "ws" / "cache") == first
    assert opened == []
    os.utime(tmp_path / "data" / "3.png", ns=(1, 1))
    _picture(tmp_path / "data" / "new.png")
    third = gather(tmp_path / "data", cache=tmp_path / "ws" / "cache")
    assert opened == ["3.png", "new.png"]
    assert [ref.stamp == before.stamp for ref, before in zip(third.refs, first.refs, strict=False)] == [
        True,
        True,
        True,
        False,
        True,
    ]


def test_other_scanning_code_scans_again(tmp_path: Path, gather, monkeypatch):
    _picture(tmp_path / "data" / "1.png")
    gather(tmp_path / "data", cache=tmp_path / "ws" / "cache")
    opened = []
    real = _scan.scan
    monkeypatch.setattr(_scan, "scan", lambda path: opened.append(path) or real(path))
    monkeypatch.setattr(_scan, "version", lambda: "another")
    gather(tmp_path / "data", cache=tmp_path / "ws" / "cache")
    assert len(opened) == 1


def test_worker_processes_find_the_same(tmp_path: Path, gather, write_dicom):
    _everything(tmp_path)
    for number in range(6):
        write_dicom(tmp_path / "s" / f"{number}", InstanceNumber=number, ImagePositionPatient=[0, 0, number])
    with Compute(workers=2) as compute:
        assert readers.collect(tmp_path, compute=compute) == gather(tmp_path)


def test_digests_follow_the_picture_and_not_the_file(tmp_path: Path, gather):
    _picture(tmp_path / "a.png")
    _picture(tmp_path / "b.bmp")
    _picture(tmp_path / "c.png", 1)
    a, b, c = (readers.digest(ref) for ref in gather(tmp_path).refs)
    assert a == b != c
    assert len(a) == 32
