"""Files that are no images, or hardly: each is rejected for a reason of its own, and the rest goes on."""

from __future__ import annotations

import os
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image as Pillow
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

from tests.loop.command import Command
from tests.loop.conftest import blob


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(tmp_path / "w", capsys)


def png_of(width: int, height: int) -> bytes:
    """A grey PNG that says it is of this size and holds a thousand bytes."""
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(bytes(1000))),
        (b"IEND", b""),
    ]
    chunks = (struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def write_dicom(path: Path, seed: int, *, pixels: bool = True, uids: bool = True, rows: int = 40, charset: str = "") -> None:
    data, meta = Dataset(), FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    data.file_meta = meta
    if uids:
        data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
        data.StudyInstanceUID, data.SeriesInstanceUID = generate_uid(), generate_uid()
    data.PatientName, data.PatientID, data.Modality = "Nobody", f"P{seed}", "OT"
    data.Rows, data.Columns, data.BitsAllocated, data.BitsStored, data.HighBit = rows, 40, 8, 8, 7
    data.PixelRepresentation, data.SamplesPerPixel, data.PhotometricInterpretation = 0, 1, "MONOCHROME2"
    if pixels:
        data.PixelData = blob(np.random.default_rng(seed), sick=True).tobytes()
    pydicom.dcmwrite(path, data, enforce_file_format=True)
    if charset:  # as written by a careless machine, which no library would do
        value = charset.encode().ljust(10)
        element = struct.pack("<HH2sH", 0x0008, 0x0005, b"CS", len(value)) + value
        content = path.read_bytes()
        place = content.index(b"\x08\x00\x16\x00")
        path.write_bytes(content[:place] + element + content[place:])


@pytest.fixture(scope="module")
def mess(tmp_path_factory: pytest.TempPathFactory, pngs) -> Path:
    """Forty good pictures among every kind of bad file."""
    folder = tmp_path_factory.mktemp("mess") / "scans"
    folder.mkdir()
    for name in sorted(path.name for path in pngs.src.iterdir())[:40]:
        shutil.copy(pngs.src / name, folder / name)
    good = (folder / "p000_0.png").read_bytes()
    (folder / "zero.png").write_bytes(b"")
    (folder / "cut.png").write_bytes(good[: len(good) // 2])
    (folder / "header.png").write_bytes(good[:20])
    (folder / "noise.png").write_bytes(np.random.default_rng(0).bytes(3000))
    (folder / "bomb.png").write_bytes(png_of(60_000, 60_000))
    Pillow.new("L", (1, 1), 7).save(folder / "one.png")
    Pillow.fromarray(np.random.default_rng(0).integers(0, 255, (20, 30_000), np.uint8)).save(folder / "wide.png")
    for suffix in ("jpg", "tif"):
        path = folder / f"cut.{suffix}"
        Pillow.fromarray(blob(np.random.default_rng(1), sick=True)).save(path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    os.symlink("nowhere.png", folder / "link.png")
    (folder / "text.dcm").write_text("Dear doctor, " * 100)
    (folder / "hollow.dcm").write_bytes(bytes(128) + b"DICM")
    write_dicom(folder / "nopixels.dcm", 1, pixels=False)
    write_dicom(folder / "lying.dcm", 2, rows=4000)
    write_dicom(folder / "nouids.dcm", 3, uids=False)
    write_dicom(folder / "odd.dcm", 4, charset="ISO_IR 999")
    (folder / "bad.nii").write_bytes(np.random.default_rng(1).bytes(400))
    (folder / "bad.nii.gz").write_bytes(b"\x1f\x8b\x08\x00 no more")
    (folder / "bad.npz").write_bytes(b"PK\x03\x04 no more")
    np.savez(folder / "objects.npz", train_images=np.array([{"a": 1}], object), train_labels=np.zeros((1, 1)))
    return folder


WHY = {
    "zero.png": "empty (0 bytes)",
    "cut.png": "cut off",
    "header.png": "cut off",
    "noise.png": "named like PNG",
    "bomb.png": "too large",
    "one.png": "the same value",
    "cut.jpg": "cut off",
    "cut.tif": "cut off",
    "link.png": "leads nowhere",
    "text.dcm": "a text file",
    "hollow.dcm": "neither what it is",
    "nopixels.dcm": "without pixels",
    "lying.dcm": "cannot be decoded",
    "bad.nii": "NIfTI",
    "bad.nii.gz": "NIfTI",
    "bad.npz": "cut off",
    "objects.npz": "Python objects, which are never loaded",
}


def test_every_bad_file_has_its_reason_and_the_rest_goes_on(
    command, mess: Path, pngs, plain: Path, in_brief, tmp_path: Path
) -> None:
    seen = command("inspect", mess, "--labels", pngs.labels, "--workers", 2, "--json").json
    reasons = {each["path"]: each["reason"] for each in seen["rejected"]}
    assert reasons.keys() == WHY.keys()
    for name, part in WHY.items():
        assert part in reasons[name], name
    assert seen["files"] == 40 + len(WHY) + 3
    assert seen["used"] == 43  # the wide one, and the DICOM files without UIDs and of an odd character set, are images
    text = command("inspect", mess, "--labels", pngs.labels).out
    assert "not used, the file is empty (0 bytes): zero.png" in text

    learnt = command("learn", mess, "--labels", pngs.labels, "--recipe", plain, "--json").json
    assert learnt["dataset"]["cases"] == 40
    assert any("not used" in each for each in learnt["warnings"])

    out = tmp_path / "p.csv"
    predicted = command("predict", learnt["run"], mess, "--out", out, "--json").json
    assert predicted["cases"] == 43
    assert {each["path"] for each in predicted["rejected"]} == WHY.keys()
    assert "not used" in command("predict", learnt["run"], mess, "--out", out).out
    for name in ("cut.png", "one.png", "zero.png"):
        command.refused("predict", learnt["run"], mess / name, "--out", out, code=2, says=(name, WHY[name]))
    _other_kinds(command, learnt["run"], tmp_path)


def _other_kinds(command: Command, run: str, folder: Path) -> None:
    """Volumes are not answered by a model of pictures; colour is, with a warning; other classes are refused by name."""
    rng = np.random.default_rng(0)
    np.savez(folder / "volumes.npz", test_images=rng.integers(0, 255, (4, 20, 20, 20), np.uint8))
    words = ("predict", run, folder / "volumes.npz", "--out", folder / "v.csv")
    command.refused(*words, code=2, says=("it is a volume", "learnt from flat pictures"))
    assert not (folder / "v.csv").exists()
    np.savez(folder / "colour.npz", test_images=rng.integers(0, 255, (4, 28, 28, 3), np.uint8))
    predicted = command("predict", run, folder / "colour.npz", "--out", folder / "c.csv", "--json").json
    assert predicted["cases"] == 4
    assert any("4 images are colour, while the model learnt from grey" in each for each in predicted["warnings"])
    labels = np.arange(12)[:, None] % 3
    np.savez(folder / "others.npz", test_images=rng.integers(0, 255, (12, 28, 28), np.uint8), test_labels=labels)
    command.refused("evaluate", run, folder / "others.npz", code=2, says=("0, 1, 2", "sick, well", "--label-columns"))


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"x": np.zeros(3)}, "not in MedMNIST layout"),
        ({"train_images": np.zeros((0, 8, 8), np.uint8), "train_labels": np.zeros((0, 1))}, "holds no images"),
        ({"train_images": np.zeros((5, 8, 8), "U3"), "train_labels": np.zeros((5, 1))}, "not numbers"),
        ({"train_images": np.full((5, 8, 8), np.nan), "train_labels": np.zeros((5, 1))}, "None of the 5 images"),
        ({"train_images": np.zeros((5, 8, 8), np.uint8)}, "No labels were found"),
    ],
)
def test_an_npz_that_cannot_be_learnt_from(command, tmp_path: Path, arrays, says) -> None:
    path = tmp_path / "mine.npz"
    np.savez(path, **arrays)
    command.refused("learn", path, "--workers", 0, code=2, says=says)


def test_a_broken_npz(command, tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    images = np.random.default_rng(0).integers(0, 255, (50, 8, 8), np.uint8)
    np.savez_compressed(path, train_images=images, train_labels=np.arange(50)[:, None] % 2)
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"hello", whole[:300] + b"####" + whole[304:]):
        path.write_bytes(content)
        command.refused("learn", path, "--workers", 0, code=2, says="cut off")


def test_places_without_images(command, tmp_path: Path) -> None:
    for verb in ("inspect", "learn"):
        command.refused(verb, tmp_path / "nix", code=2, says=("nothing at", "nix", "spelling"), kind="no-source")
    (tmp_path / "empty").mkdir()
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "letter.txt").write_text("Dear doctor")
    for verb in ("inspect", "learn"):
        command.refused(verb, tmp_path / "empty", code=2, says=("is empty", "folder that holds the images"))
        command.refused(verb, tmp_path / "words", code=2, says=("None of the 1 files", "letter.txt", "not an image"))
