"""DICOM files made for the tests: every person and hospital in them is invented."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from medloop.compute import Compute
from medloop.readers import Collection, collect

Write = Callable[..., Path]


def _write(path: Path, pixels: Any = None, syntax: str = ExplicitVRLittleEndian, **said: Any) -> Path:
    """Write a CT slice; ``said`` sets or (None) removes elements. Pixels default to a picture that names its instance."""
    number = said.get("InstanceNumber", 1)
    grid = np.arange(12, dtype=np.int16).reshape(3, 4) + 100 * int(number or 0) if pixels is None else np.asarray(pixels)
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    elements = {
        "SOPClassUID": CTImageStorage, "SOPInstanceUID": generate_uid(), "StudyInstanceUID": "1.2.3",
        "SeriesInstanceUID": "1.2.3.4", "PatientID": "P1", "Modality": "CT", "SeriesNumber": 7, "InstanceNumber": number,
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "ImagePositionPatient": [0, 0, 0], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0], "PixelSpacing": [0.5, 0.75],
        "SliceThickness": 2, "SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2", "Rows": grid.shape[0],
        "Columns": grid.shape[1], "BitsAllocated": 8 * grid.itemsize, "BitsStored": 8 * grid.itemsize,
        "PixelRepresentation": int(grid.dtype.kind == "i"),
    } | said  # fmt: skip
    for name, value in elements.items():
        if value is not None:
            setattr(data, name, value)
    data.HighBit = data.BitsStored - 1
    data["PixelData"] = pydicom.DataElement(
        "PixelData", "OW" if grid.itemsize > 1 else "OB", grid.tobytes() + b"\0" * (grid.nbytes % 2)
    )
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.file_meta.MediaStorageSOPInstanceUID = data.get("SOPInstanceUID", "1.2")
    path.parent.mkdir(parents=True, exist_ok=True)
    if syntax in (ExplicitVRLittleEndian, pydicom.uid.ImplicitVRLittleEndian, pydicom.uid.DeflatedExplicitVRLittleEndian):
        data.file_meta.TransferSyntaxUID = syntax
    else:
        data.compress(syntax, generate_instance_uid=False)
    pydicom.dcmwrite(path, data, enforce_file_format=True)
    return path


@pytest.fixture(scope="session")
def write_dicom() -> Write:
    """Writes one DICOM file: ``write_dicom(path, pixels, syntax, Keyword=value, …)``."""
    return _write


@pytest.fixture(scope="session")
def gather() -> Callable[..., Collection]:
    """``collect`` in this process."""

    def gathered(src: Path, **how: Any) -> Collection:
        with Compute(workers=0) as compute:
            return collect(src, compute=compute, **how)

    return gathered


@pytest.fixture(scope="session")
def accounted() -> Callable[[Collection], None]:
    """Fails unless every file is used, a table, or rejected with a reason, and no file is both used and rejected."""

    def check(found: Collection) -> None:
        used = {Path(path).relative_to(found.root).as_posix() for ref in found.refs for path in ref.files}
        tables = {path.relative_to(found.root).as_posix() for path in found.tables}
        rejected = {each.path for each in found.rejected}
        assert all(each.reason for each in found.rejected)
        assert set(found.files) == used | tables | (rejected & set(found.files))
        assert not used & rejected

    return check
