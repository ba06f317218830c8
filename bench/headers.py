"""Header scan of 10,000 DICOM files: files a second against a plain loop of pydicom.dcmread.

The files are a generated study list (CT series of 100 slices with some 90 elements and small pictures), written to a temporary
folder and read once beforehand, so that both sides find them in the file cache. Our side is the whole of ``readers.collect``
without an index: listing, scanning in two processes (their start included), sorting into series.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from bench.core import Row, seconds
from medloop import readers
from medloop.compute import Compute

FILES = 10_000
SLICES = 100
_TEXTS = {
    "InstanceCreationDate": "20240102", "InstanceCreationTime": "101112", "StudyDate": "20240102", "SeriesDate": "20240102",
    "AcquisitionDate": "20240102", "ContentDate": "20240102", "StudyTime": "100000", "SeriesTime": "100100",
    "AcquisitionTime": "100203.5", "ContentTime": "100204", "AccessionNumber": "1234", "Modality": "CT", "Manufacturer": "Maker",
    "InstitutionName": "Invented Hospital", "ReferringPhysicianName": "Nobody", "StationName": "CT01",
    "StudyDescription": "CT abdomen", "SeriesDescription": "Abdomen 1.0 soft", "InstitutionalDepartmentName": "Radiology",
    "ManufacturerModelName": "Model 64", "PatientName": "Invented^Person", "PatientBirthDate": "19700101", "PatientSex": "F",
    "PatientAge": "054Y", "PatientSize": "1.70", "PatientWeight": "70",
    "ContrastBolusAgent": "Agent", "BodyPartExamined": "ABDOMEN",
    "ScanOptions": "HELICAL MODE", "SliceThickness": "1.0", "KVP": "120", "DataCollectionDiameter": "500",
    "DeviceSerialNumber": "0001", "SoftwareVersions": "1.0", "ProtocolName": "Abdomen", "ReconstructionDiameter": "350",
    "DistanceSourceToDetector": "950", "DistanceSourceToPatient": "541", "GantryDetectorTilt": "0", "TableHeight": "150",
    "RotationDirection": "CW", "ExposureTime": "500", "XRayTubeCurrent": "200", "Exposure": "100", "FilterType": "BODY",
    "GeneratorPower": "24", "FocalSpots": "0.7", "ConvolutionKernel": "STANDARD", "PatientPosition": "HFS",
    "ExposureModulationType": "XYZ_EC", "StudyID": "1", "SeriesNumber": "2", "AcquisitionNumber": "1",
    "FrameOfReferenceUID": "2.25.4", "PositionReferenceIndicator": "SN", "RescaleIntercept": "-1024", "RescaleSlope": "1",
    "RescaleType": "HU", "WindowCenter": "40", "WindowWidth": "400", "SpecificCharacterSet": "ISO_IR 100",
    "RequestedProcedureDescription": "CT abdomen", "PerformedProcedureStepID": "1",
    "PerformedProcedureStepDescription": "CT abdomen",
    "PerformedProcedureStepStartDate": "20240102", "PerformedProcedureStepStartTime": "100000", "BurnedInAnnotation": "NO",
    "LossyImageCompression": "00", "PatientIdentityRemoved": "YES", "EthnicGroup": "", "AdditionalPatientHistory": "",
}  # fmt: skip


def rows() -> list[Row]:
    """Files a second, ours and the plain loop's."""
    with tempfile.TemporaryDirectory() as folder:
        paths = write(Path(folder), FILES)
        _plain(paths)
        plain = seconds(lambda: _plain(paths), repeat=2)
        ours = seconds(lambda: _collect(Path(folder)), repeat=2)
    return [
        Row(
            what=f"header scan of {FILES} DICOM files, two processes", figure=FILES / ours, unit="files/s",
            baseline="pydicom.dcmread(stop_before_pixels=True) in a loop", baseline_figure=FILES / plain, ratio=plain / ours,
        )
    ]  # fmt: skip


def write(folder: Path, files: int) -> list[Path]:
    """Write ``files`` generated DICOM files into folders of one series each."""
    header = _header()
    paths = []
    for number in range(files):
        series, place = divmod(number, SLICES)
        header.PatientID = f"P{series:04d}"
        header.StudyInstanceUID, header.SeriesInstanceUID = f"2.25.1{series}", f"2.25.2{series}"
        header.SOPInstanceUID = header.file_meta.MediaStorageSOPInstanceUID = f"2.25.3{number}"
        header.InstanceNumber = place + 1
        header.ImagePositionPatient = [-175, -175, float(place)]
        header.SliceLocation = float(place)
        path = folder / f"study{series:03d}" / f"IM{place:04d}.dcm"
        path.parent.mkdir(exist_ok=True)
        pydicom.dcmwrite(path, header, enforce_file_format=True)
        paths.append(path)
    return paths


def _header() -> Dataset:
    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.SOPClassUID = header.file_meta.MediaStorageSOPClassUID = CTImageStorage
    for name, text in _TEXTS.items():
        setattr(header, name, text)
    header.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    header.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    header.PixelSpacing = [0.68, 0.68]
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.Rows = header.Columns = 64
    header.BitsAllocated, header.BitsStored, header.HighBit, header.PixelRepresentation = 16, 12, 11, 0
    header.PixelData = np.random.default_rng(0).integers(0, 4096, (64, 64), np.uint16).tobytes()
    return header


def _plain(paths: list[Path]) -> None:
    for path in paths:
        pydicom.dcmread(path, stop_before_pixels=True)


def _collect(folder: Path) -> None:
    with Compute(workers=2) as compute:
        found = readers.collect(folder, compute=compute)
    if len(found.refs) != FILES // SLICES or found.rejected:
        raise AssertionError(f"{len(found.refs)} series and {len(found.rejected)} rejected files; {FILES // SLICES} and 0 expected")
