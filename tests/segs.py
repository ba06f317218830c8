"""DICOM series and segmentations of them, made for the tests; nobody in them is a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels.utils import pack_bits
from pydicom.sequence import Sequence as Items
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, SegmentationStorage

SHAPE = (4, 6, 5)
"""Slices, rows and columns of a series."""
_SPACING, _STEP = [0.5, 0.75], 2.0


def _dataset(**said: Any) -> Dataset:
    made = Dataset()
    for name, value in said.items():
        setattr(made, name, value)
    return made


def _saved(path: Path, data: Dataset) -> None:
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID, data.file_meta.MediaStorageSOPInstanceUID = data.SOPClassUID, data.SOPInstanceUID
    path.parent.mkdir(parents=True, exist_ok=True)
    pydicom.dcmwrite(path, data, enforce_file_format=True)


def write_series(folder: Path, series: str) -> None:
    """A CT series of four slices."""
    for number in range(SHAPE[0]):
        pixels = np.full(SHAPE[1:], 10 * number, np.int16)
        made = _dataset(
            SOPClassUID=CTImageStorage, SOPInstanceUID=f"{series}.{number}", StudyInstanceUID="1.2.3", SeriesInstanceUID=series,
            PatientID="P1", Modality="CT", InstanceNumber=number, ImageType=["ORIGINAL", "PRIMARY", "AXIAL"],
            ImagePositionPatient=[3, 4, _STEP * number], ImageOrientationPatient=[1, 0, 0, 0, 1, 0], PixelSpacing=_SPACING,
            SliceThickness=_STEP, SamplesPerPixel=1, PhotometricInterpretation="MONOCHROME2", Rows=SHAPE[1], Columns=SHAPE[2],
            BitsAllocated=16, BitsStored=16, HighBit=15, PixelRepresentation=1,
        )  # fmt: skip
        made.add_new("PixelData", "OW", pixels.tobytes())
        _saved(folder / f"{number}.dcm", made)


def write_seg(
    path: Path, series: str, segments: Mapping[int, str], frames: Sequence[tuple[int, int, np.ndarray]], most: int = 0
) -> None:
    """A segmentation with ``frames``: segment, slice and pixels ``(6, 5)``. ``most``: fractional with this highest value."""
    pixels = np.stack([each.astype(np.uint8) for *_, each in frames])
    per_frame = [
        _dataset(
            SegmentIdentificationSequence=Items([_dataset(ReferencedSegmentNumber=segment)]),
            PlanePositionSequence=Items([_dataset(ImagePositionPatient=[3, 4, _STEP * place])]),
        )
        for segment, place, _ in frames
    ]
    shared = _dataset(
        PlaneOrientationSequence=Items([_dataset(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])]),
        PixelMeasuresSequence=Items([_dataset(PixelSpacing=_SPACING, SliceThickness=_STEP, SpacingBetweenSlices=_STEP)]),
    )
    bits = 8 if most else 1
    made = _dataset(
        SOPClassUID=SegmentationStorage, SOPInstanceUID="1.9.9", StudyInstanceUID="1.2.3", SeriesInstanceUID="1.9", PatientID="P1",
        Modality="SEG", SegmentationType="FRACTIONAL" if most else "BINARY", NumberOfFrames=len(frames), SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2", Rows=SHAPE[1], Columns=SHAPE[2], BitsAllocated=bits, BitsStored=bits,
        HighBit=bits - 1, PixelRepresentation=0, ReferencedSeriesSequence=Items([_dataset(SeriesInstanceUID=series)]),
        SegmentSequence=Items([_dataset(SegmentNumber=number, SegmentLabel=label) for number, label in segments.items()]),
        SharedFunctionalGroupsSequence=Items([shared]), PerFrameFunctionalGroupsSequence=Items(per_frame),
    )  # fmt: skip
    if most:
        made.MaximumFractionalValue = most
    stored = pixels.tobytes() if most else pack_bits(pixels)
    made.add_new("PixelData", "OB", stored + b"\0" * (len(stored) % 2))
    _saved(path, made)
