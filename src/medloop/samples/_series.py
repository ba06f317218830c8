"""Writes a scan as a DICOM CT series (PS3.3 A.3, CT Image IOD) and its label map as NIfTI."""

from __future__ import annotations

import gzip
import hashlib
import uuid
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import nibabel
import numpy as np
from pydicom import Dataset, FileMetaDataset, dcmwrite
from pydicom.uid import CTImageStorage, RLELossless

from medloop.samples._scanner import SCANNERS, Acquisition, Scan
from medloop.version import VERSION

_WINDOW = ("60", "400")


@dataclass(frozen=True, slots=True)
class Header:
    """Who was examined and when. Everyone here is invented."""

    patient: str
    number: int
    study: int
    seed: int
    sex: str
    age: int
    day: date
    hour: int

    @property
    def study_uid(self) -> str:
        """The Study Instance UID."""
        return uid(self.seed, self.number, self.study, "study")


def uid(*parts: object) -> str:
    """A UID that follows from its parts (PS3.5 B.2: 2.25 and a UUID as a whole number)."""
    text = "/".join(map(str, ("medloop phantom-ct", *parts)))
    return f"2.25.{uuid.UUID(bytes=hashlib.sha256(text.encode()).digest()[:16], version=4).int}"


def write_series(folder: Path, scan: Scan, take: Acquisition, header: Header) -> int:
    """Write one file a slice into ``folder`` (created); gives the number of files."""
    folder.mkdir(parents=True)
    scanner = SCANNERS[take.scanner]
    common = _common(take, header)
    order = range(len(scan.hu))
    for number, index in enumerate(reversed(order) if scanner.from_head else order, start=1):
        place = (scan.origin_mm[0], scan.origin_mm[1], round(scan.origin_mm[2] + index * take.thickness_mm, 5))
        common.SOPInstanceUID = uid(header.seed, header.number, header.study, "image", number)
        common.InstanceNumber = str(number)
        common.ImagePositionPatient = [f"{value:g}" if abs(value) > 1e-9 else "0" for value in place]
        common.SliceLocation = f"{place[2]:g}"
        stored = scan.hu[index] if scanner.signed else scan.hu[index] + 1024
        common.PixelData = b""
        pixels = np.ascontiguousarray(stored, "<i2" if scanner.signed else "<u2")
        common.compress(RLELossless, pixels, encoding_plugin="pylibjpeg", generate_instance_uid=False)
        common.file_meta.MediaStorageSOPInstanceUID = common.SOPInstanceUID
        dcmwrite(folder / f"IM{number:04d}.dcm", common, enforce_file_format=True)
    return len(scan.hu)


def write_mask(path: Path, scan: Scan, take: Acquisition) -> None:
    """Write the label map ``(X, Y, Z)`` uint8 as ``.nii.gz``; its affine is RAS, as NIfTI wants it."""
    affine = np.diag([-take.pixel_mm, -take.pixel_mm, take.thickness_mm, 1.0])
    affine[:3, 3] = (-scan.origin_mm[0], -scan.origin_mm[1], scan.origin_mm[2])
    image = nibabel.Nifti1Image(np.ascontiguousarray(scan.labels.transpose(2, 1, 0)), affine)
    image.header.set_xyzt_units("mm")
    path.write_bytes(gzip.compress(image.to_bytes(), compresslevel=6, mtime=0))


def _common(take: Acquisition, header: Header) -> Dataset:
    """What all slices of a series share."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.MediaStorageSOPClassUID = CTImageStorage
    data.file_meta.ImplementationClassUID = uid("implementation")
    data.file_meta.ImplementationVersionName = f"MEDLOOP {VERSION}"[:16]
    _about_patient(data, header)
    _about_series(data, take, header)
    _about_pixels(data, take)
    return data


def _about_patient(data: Dataset, header: Header) -> None:
    day, time = header.day.strftime("%Y%m%d"), f"{header.hour:02d}{(header.number * 7) % 60:02d}00"
    data.PatientName = f"Phantom^{header.number:04d}"
    data.PatientID = header.patient
    data.PatientBirthDate = ""
    data.PatientSex = header.sex
    data.PatientAge = f"{header.age:03d}Y"
    data.StudyInstanceUID = header.study_uid
    data.StudyDate = data.SeriesDate = data.AcquisitionDate = data.ContentDate = day
    data.StudyTime = data.SeriesTime = data.AcquisitionTime = data.ContentTime = time
    data.ReferringPhysicianName = ""
    data.StudyID = str(header.study)
    data.AccessionNumber = f"{header.number:04d}{header.study}"
    data.StudyDescription = "CT abdomen, portal venous phase"


def _about_series(data: Dataset, take: Acquisition, header: Header) -> None:
    scanner = SCANNERS[take.scanner]
    data.SOPClassUID = CTImageStorage
    data.Modality = "CT"
    data.SeriesInstanceUID = uid(header.seed, header.number, header.study, "series")
    data.SeriesNumber = "2"
    data.SeriesDescription = f"Abdomen {take.thickness_mm:g} mm {scanner.kernel}"
    data.FrameOfReferenceUID = uid(header.seed, header.number, header.study, "frame")
    data.PositionReferenceIndicator = ""
    data.Manufacturer = scanner.manufacturer
    data.InstitutionName = scanner.institution
    data.ManufacturerModelName = scanner.model
    data.StationName = f"SITE{scanner.site}"
    data.DeviceSerialNumber = f"PH{scanner.site}001"
    data.SoftwareVersions = VERSION
    data.BodyPartExamined = "ABDOMEN"
    data.PatientPosition = "HFS"
    data.KVP = str(scanner.kvp)
    data.XRayTubeCurrent = str(round(52000 / take.noise_hu**2))
    data.ExposureTime = "500"
    data.ConvolutionKernel = scanner.kernel
    data.ContrastBolusAgent = "Phantom contrast medium"
    data.AcquisitionNumber = "1"
    data.ImageComments = "Computed phantom. Not a person."


def _about_pixels(data: Dataset, take: Acquisition) -> None:
    scanner = SCANNERS[take.scanner]
    data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    data.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    data.PixelSpacing = [f"{take.pixel_mm:g}"] * 2
    data.SliceThickness = f"{take.thickness_mm:g}"
    data.ReconstructionDiameter = f"{take.field_mm:g}"
    data.SamplesPerPixel = 1
    data.PhotometricInterpretation = "MONOCHROME2"
    data.Rows = data.Columns = scanner.matrix
    data.BitsAllocated = 16
    data.BitsStored, data.HighBit = (16, 15) if scanner.signed else (12, 11)
    data.PixelRepresentation = int(scanner.signed)
    data.RescaleIntercept, data.RescaleSlope, data.RescaleType = "0" if scanner.signed else "-1024", "1", "HU"
    data.WindowCenter, data.WindowWidth = _WINDOW
