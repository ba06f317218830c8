"""Pictures in motion, end to end: what only the order of frames tells is learnt by the recurrent layer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, UltrasoundMultiFrameImageStorage, generate_uid

from tests.loop.command import Command

FRAMES, SIDE, CASES = 8, 32, 40


def write_cine(path: Path, frames: np.ndarray, number: int) -> None:
    """An ultrasound sequence ``(T, Y, X)``."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, UltrasoundMultiFrameImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[f"cine {number}"])
    said = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    said.SOPClassUID, said.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    said.StudyInstanceUID = said.SeriesInstanceUID = generate_uid(entropy_srcs=[f"study {number}"])
    said.PatientID, said.Modality = f"P{number}", "US"
    said.NumberOfFrames, said.Rows, said.Columns = frames.shape
    said.SamplesPerPixel, said.PhotometricInterpretation, said.PixelRepresentation = 1, "MONOCHROME2", 0
    said.BitsAllocated = said.BitsStored = 8
    said.HighBit = 7
    said.PixelData = frames.tobytes()
    pydicom.dcmwrite(path, said)


@pytest.fixture
def cines(tmp_path: Path) -> Path:
    """A spot that grows or shrinks: the frames are the same, their order is not."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:SIDE, :SIDE]
    lines = ["image,motion"]
    (tmp_path / "us").mkdir()
    for number in range(CASES):
        cy, cx = rng.uniform(12, 20, 2)
        sizes = np.linspace(2, 11, FRAMES)
        frames = np.stack([120.0 * (np.hypot(y - cy, x - cx) < size) for size in sizes])
        frames = np.clip(frames + rng.normal(60, 6, frames.shape), 0, 255).astype(np.uint8)
        grows = number % 2 == 0
        write_cine(tmp_path / "us" / f"{number:02}.dcm", frames if grows else frames[::-1].copy(), number)
        lines.append(f"{number:02}.dcm,{'grows' if grows else 'shrinks'}")
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


RECIPE = """name = "short"
family = "transfer"

[[preparation]]
step = "sample"
frames = "sequence"
count = 8

[[preparation]]
step = "channels"

[[preparation]]
step = "normalise"

[parameters]
how = "last"
side = 32
stages = [1, 2]
folds = 2

[parameters.head]
join = "JOIN"

[parameters.training]
epochs = 25
rate = 0.003
"""


@pytest.mark.parametrize(("join", "low", "high"), [("gru", 0.9, 1.0), ("mean", 0.0, 0.75)])
def test_a_recurrent_layer_reads_the_order_of_frames(
    cines: Path, in_brief, capsys: pytest.CaptureFixture[str], join: str, low: float, high: float
) -> None:
    recipe = cines / "recipe.toml"
    recipe.write_text(RECIPE.replace("JOIN", join))
    command = Command(cines / "w", capsys)
    said = command("learn", cines / "us", "--labels", cines / "labels.csv", "--recipe", recipe, "--budget", "2m", "--json")
    assert low <= said.json["ladder"][0]["validation"]["value"] <= high
