"""The header of one DICOM file as plain JSON: what series sorting, reading and the intake report need, and nothing else.

Pixels are never touched. Reasons for files that are no images come from `_dicom_kinds`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pydicom
from pydicom import config
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_partial
from pydicom.tag import Tag

from medloop.errors import Unreadable
from medloop.readers import _mosaic
from medloop.readers._dicom_kinds import not_an_image
from medloop.types import Json

FACTS = {
    "modality": "Modality", "manufacturer": "Manufacturer", "model": "ManufacturerModelName", "station": "StationName",
    "institution": "InstitutionName", "body_part": "BodyPartExamined", "view": "ViewPosition", "laterality": "Laterality",
    "image_laterality": "ImageLaterality", "protocol": "ProtocolName", "series_description": "SeriesDescription",
    "study_description": "StudyDescription", "kernel": "ConvolutionKernel", "field_strength": "MagneticFieldStrength",
    "kvp": "KVP", "slice_thickness": "SliceThickness", "echo_time": "EchoTime", "repetition_time": "RepetitionTime",
    "contrast_agent": "ContrastBolusAgent", "software": "SoftwareVersions", "sex": "PatientSex",
    "photometric": "PhotometricInterpretation", "patient_position": "PatientPosition",
}  # fmt: skip
"""Acquisition facts by the keyword they come from."""

_OTHERS = (
    "SpecificCharacterSet", "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "PatientID", "SeriesNumber",
    "InstanceNumber", "AcquisitionNumber", "TemporalPositionIdentifier", "TriggerTime", "AcquisitionTime", "ContentTime",
    "AcquisitionDateTime", "DiffusionBValue", "EchoNumbers", "ImageType", "Rows", "Columns", "SamplesPerPixel", "BitsAllocated",
    "BitsStored", "PixelRepresentation", "NumberOfFrames", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing",
    "ImagerPixelSpacing", "NominalScannedPixelSpacing", "SpacingBetweenSlices", "SliceLocation", "RescaleSlope", "RescaleIntercept",
    "ModalityLUTSequence", "FrameIncrementPointer", "PatientAge", "PatientBirthDate", "StudyDate",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
)  # fmt: skip
_PRIVATE = [0x00190010, 0x0019100A, 0x00290010, 0x00290011, 0x00291010, 0x00291110]
_TAGS: list[Any] = [Tag(each) for each in (*dict.fromkeys((*FACTS.values(), *_OTHERS)), *_PRIVATE)]
_PIXELS = (0x7FE00010, 0x7FE00008, 0x7FE00009)
_FLOATS = (0x7FE00008, 0x7FE00009)
_STARTS = {b"\x02\x00", b"\x08\x00"}


def claims(head: bytes, path: Path) -> bool:
    """Whether the first bytes are DICOM: the preamble, or without it a first element of group 2 or 8."""
    del path
    if head[128:132] == b"DICM":
        return True
    return (
        head[:2] in _STARTS
        and head[3:4] in (b"\x00", b"\x10")
        and ((head[4:6].isalpha() and head[4:6].isupper()) or head[6:8] == b"\0\0")
    )


def scan(path: Path) -> Json:
    """The header as JSON. Raises `Unreadable` for a file that is broken or no image."""
    pixels: list[int] = []

    def at_pixels(tag: Any, vr: str | None, length: int) -> bool:
        del vr, length
        if tag in _PIXELS:
            pixels.append(int(tag))
        return int(tag) >= 0x7FE00008

    try:
        with config.disable_value_validation(), path.open("rb") as file:
            header: Dataset = read_partial(file, at_pixels, defer_size=None, force=True, specific_tags=_TAGS)
            return describe(header, pixels[0] if pixels else None)
    except InvalidDicomError as error:
        raise Unreadable(f"not a readable DICOM file: {error}") from None
    except Unreadable:
        raise
    except (
        EOFError,
        OSError,
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        NotImplementedError,
        OverflowError,
        IndexError,
    ) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise Unreadable(f"a broken DICOM header: {str(error) or type(error).__name__}") from None


def describe(header: Dataset, pixels: int | None = None) -> Json:
    """A header as JSON; ``pixels``: the tag of its pixels where they have not been read. Raises `Unreadable` for no image."""
    pixels = next((tag for tag in _PIXELS if tag in header), pixels)
    meta = getattr(header, "file_meta", None) or Dataset()
    kind = _text(header, "SOPClassUID") or str(meta.get("MediaStorageSOPClassUID", "") or "")
    if reason := not_an_image(kind, _text(header, "Modality")):
        raise Unreadable(reason)
    rows, columns = _number(header, "Rows"), _number(header, "Columns")
    if pixels is None or not rows or not columns:
        empty = len(header) == 0
        raise Unreadable("not a readable DICOM file: nothing in it makes sense" if empty else "a DICOM file without pixels")
    stored = _int(header, "BitsStored") or _int(header, "BitsAllocated") or 0
    found: dict[str, Json] = {
        "class": kind, "uid": _text(header, "SOPInstanceUID") or str(meta.get("MediaStorageSOPInstanceUID", "") or "") or None,
        "patient": _text(header, "PatientID"), "study": _text(header, "StudyInstanceUID"),
        "series": _text(header, "SeriesInstanceUID"), "number": _int(header, "SeriesNumber"),
        "rows": int(rows), "columns": int(columns), "samples": _int(header, "SamplesPerPixel") or 1,
        "allocated": _int(header, "BitsAllocated") or stored, "stored": stored, "signed": _int(header, "PixelRepresentation") == 1,
        "frames": max(1, _int(header, "NumberOfFrames") or 1), "photometric": _text(header, "PhotometricInterpretation"),
        "type": list(_texts(header, "ImageType")), "facts": _facts(header), "float": pixels in _FLOATS,
    }  # fmt: skip
    found["slices"] = _slices(header, found)
    found["mosaic"] = _mosaic.layout(header) if "MOSAIC" in found["type"] else None
    found["axis"] = _axis(header) if found["frames"] > 1 else None
    return found


def _facts(header: Dataset) -> dict[str, str]:
    facts = {name: text for name, keyword in FACTS.items() if (text := "\\".join(_texts(header, keyword)))}
    age = age_years(_text(header, "PatientAge"), _text(header, "PatientBirthDate"), _text(header, "StudyDate"))
    if age is not None:
        facts["age_years"] = f"{age:g}"
        facts["age_band"] = f"{int(age // 10) * 10}-{int(age // 10) * 10 + 9}"
    return facts


def age_years(age: str | None, born: str | None, studied: str | None) -> float | None:
    """Age in years from PatientAge (``045Y``, ``008M``, ``003W``, ``012D``), or from birth and study dates (``YYYYMMDD``)."""
    if age and age[:-1].isdigit() and age[-1:] in "YMWD":
        days = {"Y": 365.25, "M": 30.4375, "W": 7.0, "D": 1.0}[age[-1]]
        return round(int(age[:-1]) * days / 365.25, 2)
    if born and studied and len(born) == len(studied) == 8 and (born + studied).isdigit():
        whole = int(studied[:4]) - int(born[:4]) - (studied[4:] < born[4:])
        return float(whole) if 0 <= whole < 130 else None
    return None


def _slices(header: Dataset, found: dict[str, Json]) -> list[Json]:
    """One entry a frame where frames are placed one by one, else a single entry for the file."""
    frames = header.get("PerFrameFunctionalGroupsSequence")
    shared = (list(header.get("SharedFunctionalGroupsSequence") or [])[:1] or [Dataset()])[0]
    if frames and len(frames) == found["frames"]:
        return [_frame(header, shared, frame, number) for number, frame in enumerate(frames)]
    return [_single(header)]


def _single(header: Dataset) -> Json:
    spacing = next(
        (
            each
            for name in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
            if (each := _vector(header, name, 2))
        ),
        None,
    )
    return {
        "position": _vector(header, "ImagePositionPatient", 3), "orientation": _vector(header, "ImageOrientationPatient", 6),
        "spacing": spacing, "thickness": _number(header, "SpacingBetweenSlices") or _number(header, "SliceThickness"),
        "location": _number(header, "SliceLocation"), "instance": _int(header, "InstanceNumber"),
        "temporal": _number(header, "TemporalPositionIdentifier"), "trigger": _number(header, "TriggerTime"),
        "b": _number(header, "DiffusionBValue"), "acquisition": _int(header, "AcquisitionNumber"),
        "time": _text(header, "AcquisitionDateTime") or _text(header, "AcquisitionTime") or _text(header, "ContentTime"),
        "echo": _number(header, "EchoTime"), "kernel": "\\".join(_texts(header, "ConvolutionKernel")) or None, "stack": None,
        "rescale": _rescale(header),
    }  # fmt: skip


def _rescale(header: Dataset) -> Json:
    """``[slope, intercept]``, ``"lut"`` for a modality LUT, or None."""
    if header.get("ModalityLUTSequence"):
        return "lut"
    slope, intercept = _number(header, "RescaleSlope"), _number(header, "RescaleIntercept")
    if slope is None and intercept is None:
        return None
    return [1.0 if slope is None else slope, intercept or 0.0]


def _frame(header: Dataset, shared: Dataset, frame: Dataset, number: int) -> Json:
    """One frame of an enhanced object: its functional groups, else the shared ones (PS3.3 C.7.6.16)."""

    def group(name: str) -> Dataset:
        for holder in (frame, shared):
            items = holder.get(name)
            if items:
                item: Dataset = items[0]
                return item
        return Dataset()

    measures, content = group("PixelMeasuresSequence"), group("FrameContentSequence")
    values, diffusion = group("PixelValueTransformationSequence"), group("MRDiffusionSequence")
    kind = next(
        (
            each
            for name in ("MRImageFrameTypeSequence", "CTImageFrameTypeSequence", "PETFrameTypeSequence")
            if (each := group(name))
        ),
        None,
    )
    frame_type = "\\".join(_texts(kind, "FrameType")) or None
    return {
        "position": _vector(group("PlanePositionSequence"), "ImagePositionPatient", 3),
        "orientation": _vector(group("PlaneOrientationSequence"), "ImageOrientationPatient", 6),
        "spacing": _vector(measures, "PixelSpacing", 2),
        "thickness": _number(measures, "SpacingBetweenSlices") or _number(measures, "SliceThickness"),
        "location": None, "instance": number + 1, "temporal": _number(content, "TemporalPositionIndex"),
        "trigger": _number(group("CardiacSynchronizationSequence"), "NominalCardiacTriggerDelayTime"),
        "b": _number(diffusion, "DiffusionBValue"), "acquisition": _int(content, "FrameAcquisitionNumber"),
        "time": _text(content, "FrameReferenceDateTime") or _text(content, "FrameAcquisitionDateTime"),
        "echo": _number(group("MREchoSequence"), "EffectiveEchoTime"), "kernel": None,
        "stack": [_text(content, "StackID"), frame_type, _quantity(group("RealWorldValueMappingSequence"))],
        "rescale": _rescale(values) or _rescale(header),
    }  # fmt: skip


def _quantity(mapping: Dataset) -> str | None:
    """What a parametric map's frame measures."""
    return _text(mapping, "LUTLabel") or _text(mapping, "LUTExplanation")


def _axis(header: Dataset) -> str:
    """What the frames of a multi-frame file without positions are: ``time`` or ``slices`` (PS3.3 C.7.6.5, NM vectors)."""
    pointer = header.get("FrameIncrementPointer")
    tags = {
        int(tag) for tag in (pointer if isinstance(pointer, (list, pydicom.multival.MultiValue)) else [pointer]) if tag is not None
    }
    spatial = {0x00540080, 0x3004000C, 0x00180088}
    if tags & {0x00181063, 0x00181065}:
        return "time"
    return "slices" if tags & spatial and not tags - spatial else "time"


def _values(header: Dataset | None, name: str) -> list[Any]:
    if header is None:
        return []
    try:
        value = header.get(name)
    except (ValueError, TypeError, NotImplementedError, OverflowError, KeyError, AttributeError):
        return []
    if value is None or value == "":
        return []
    return list(value) if isinstance(value, (list, tuple, pydicom.multival.MultiValue)) else [value]


def _texts(header: Dataset | None, name: str) -> Iterable[str]:
    return [text for value in _values(header, name) if (text := str(value).replace("\0", "").strip())]


def _text(header: Dataset | None, name: str) -> str | None:
    return next(iter(_texts(header, name)), None)


def _number(header: Dataset, name: str) -> float | None:
    for value in _values(header, name)[:1]:
        try:
            number = float(value)
        except (ValueError, TypeError):
            return None
        return number if math.isfinite(number) else None
    return None


def _int(header: Dataset, name: str) -> int | None:
    number = _number(header, name)
    return None if number is None else int(number)


def _vector(header: Dataset, name: str, length: int) -> list[float] | None:
    try:
        numbers = [float(value) for value in _values(header, name)]
    except (ValueError, TypeError):
        return None
    return numbers if len(numbers) == length and all(map(math.isfinite, numbers)) else None
