"""Generated pictures in the layout of ISIC 2019, and the same as PNG and as DICOM files."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
from PIL import Image as Pillow
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, generate_uid

from medloop.types import Array

CLASSES = ("MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC", "UNK")
"""As in ISIC 2019; pictures are generated of the first three."""
_KINDS = 3


def picture(number: int, height: int = 360, width: int = 480) -> Array:
    """``(height, width, 3)`` bytes: skin with a spot, whose border, size and colours go with the class ``number % 3``."""
    draw = np.random.default_rng(number)
    down, across = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    y, x = draw.uniform(-0.25, 0.25, 2)
    angle, radius = np.arctan2(down - y, across - x), np.hypot(down - y, across - x)
    kind = number % _KINDS
    waves = 0.06 * (kind == 0) * np.sin(7 * angle + draw.uniform(0, 6)) + 0.03 * np.sin(3 * angle + draw.uniform(0, 6))
    spot = 1 / (1 + np.exp((radius - draw.uniform(0.3, 0.5) - waves) * (12, 30, 60)[kind]))
    skin = (np.array((205, 165, 145)) + draw.normal(0, 14, 3)).astype(np.float32)
    inside = (np.array(((95, 60, 50), (130, 80, 55), (150, 70, 75))[kind]) + draw.normal(0, 22, 3)).astype(np.float32)
    shown = skin + spot[..., None] * (inside - skin)
    for scale, strength in ((20, 16), (4, 10), (1, 8)):
        coarse = draw.standard_normal((-(-height // scale), -(-width // scale)), dtype=np.float32)
        noise = cv2.resize(cv2.GaussianBlur(coarse, (0, 0), 2), (width, height), interpolation=cv2.INTER_CUBIC)
        shown += strength * (noise / noise.std())[..., None]
    return np.clip(shown, 0, 255).astype(np.uint8)


def isic(folder: Path, count: int) -> tuple[list[Path], Array]:
    """``count`` JPEG files with their table; every lesion is shown once. Files and the class of each."""
    images = folder / "ISIC_2019_Training_Input"
    images.mkdir(parents=True)
    files = [images / f"ISIC_{number:07}.jpg" for number in range(count)]
    for number, path in enumerate(files):
        cv2.imwrite(str(path), picture(number)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
    with (folder / "ISIC_2019_Training_GroundTruth.csv").open("w", newline="") as file:
        marks = ([float(each == number % _KINDS) for each in range(len(CLASSES))] for number in range(count))
        csv.writer(file).writerows([("image", *CLASSES), *((path.stem, *mark) for path, mark in zip(files, marks, strict=True))])
    return files, np.arange(count) % _KINDS


def pngs(folder: Path, count: int, side: int, first: int) -> list[Path]:
    """Colour PNG files."""
    folder.mkdir(parents=True)
    files = [folder / f"{number:05}.png" for number in range(count)]
    for number, path in enumerate(files):
        Pillow.fromarray(picture(first + number, side, side)).save(path)
    return files


def dicoms(folder: Path, count: int, side: int, first: int) -> list[Path]:
    """Uncompressed grey DICOM files of 12 bits, a patient each."""
    folder.mkdir(parents=True)
    files = [folder / f"{number:05}.dcm" for number in range(count)]
    for number, path in enumerate(files):
        grey = picture(first + number, side, side).mean(axis=2)
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = ComputedRadiographyImageStorage, generate_uid()
        head = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
        head.SOPClassUID, head.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
        head.StudyInstanceUID, head.SeriesInstanceUID = generate_uid(), generate_uid()
        head.PatientID, head.Modality, head.InstanceNumber = f"made-{number}", "CR", 1
        head.Rows, head.Columns, head.SamplesPerPixel = side, side, 1
        head.PhotometricInterpretation, head.PixelRepresentation = "MONOCHROME2", 0
        head.BitsAllocated, head.BitsStored, head.HighBit = 16, 12, 11
        head.PixelSpacing = [0.3, 0.3]
        head.PixelData = (grey * 16).astype(np.uint16).tobytes()
        head.save_as(path, enforce_file_format=True)
    return files
