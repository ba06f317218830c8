"""The header of one DICOM file as plain JSON: what series sorting, reading and the intake report need, and nothing else.

Pixels are never touched. Reasons for files that are no images come from `_dicom_kinds`.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from medloop.errors import Unreadable
from medloop.readers import _mosaic
from medloop.readers._dicom_elements import Elements, Full, elements_of
from medloop.readers._dicom_kinds import not_an_image
from medloop.readers._dicom_tags import FACTS, FLOAT_PIXELS
from medloop.types import Json

_BROKEN = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    NotImplementedError,
    struct.error,
)
"""What pydicom raises on headers that are cut off or damaged."""
_NOTHING: Elements = Full(Dataset())
_DATE = len("YYYYMMDD")
_SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")


def claims(head: bytes, path: Path) -> bool:
    """Whether the first bytes are DICOM: the preamble, or without it a first element of group 2 or 8 in either byte order."""
    del path
    if head[128:132] == b"DICM":
        return True
    named = head[4:6].isalpha() and head[4:6].isupper()
    if head[:2] in (b"\x02\x00", b"\x08\x00"):
        return head[3:4] in (b"\x00", b"\x10") and (named or head[6:8] == b"\0\0")
    return head[:2] in (b"\x00\x02", b"\x00\x08") and named


def scan(path: Path, head: bytes) -> Json:
    """The header as JSON. Raises `Unreadable` for a file that is broken or no image."""
    try:
        return describe(elements_of(path, head))
    except InvalidDicomError as error:
        raise Unreadable(f"not a readable DICOM file: {error}") from None
    except Unreadable:
        raise
    except _BROKEN as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise Unreadable(f"a broken DICOM header: {str(error) or type(error).__name__}") from None


def taken(path: Path) -> str:
    """Date and time of a file's study as text; empty where it does not say, or cannot be read."""
    try:
        header = dcmread(path, force=True, stop_before_pixels=True, specific_tags=["StudyDate", "StudyTime"])
    except (InvalidDicomError, *_BROKEN):
        return ""
    date, time = str(header.get("StudyDate") or ""), str(header.get("StudyTime") or "")
    return date + time if len(date) == _DATE and date.isdigit() else ""


def describe(header: Elements) -> Json:
    """A header as JSON; what is unknown is left out of its slices. Raises `Unreadable` for what is no image."""
    kind = _text(header, "SOPClassUID") or header.media
    if reason := not_an_image(kind, _text(header, "Modality")):
        raise Unreadable(reason)
    rows, columns = _int(header, "Rows"), _int(header, "Columns")
    if header.pixels is None or not rows or not columns:
        raise Unreadable(
            "a DICOM file without pixels" if kind or rows else "a DICOM file that says neither what it is nor its size"
        )
    stored = _int(header, "BitsStored") or _int(header, "BitsAllocated") or 0
    found: dict[str, Json] = {
        "class": kind, "modality": _text(header, "Modality"), "uid": _text(header, "SOPInstanceUID"),
        "patient": _text(header, "PatientID"), "study": _text(header, "StudyInstanceUID"),
        "series": _text(header, "SeriesInstanceUID"), "number": _int(header, "SeriesNumber"),
        "rows": rows, "columns": columns, "samples": _int(header, "SamplesPerPixel") or 1,
        "allocated": _int(header, "BitsAllocated") or stored, "stored": stored, "signed": _int(header, "PixelRepresentation") == 1,
        "frames": max(1, _int(header, "NumberOfFrames") or 1), "photometric": _text(header, "PhotometricInterpretation"),
        "type": header.texts("ImageType"), "facts": _facts(header), "float": header.pixels in FLOAT_PIXELS,
    }  # fmt: skip
    found["slices"] = _slices(header, found)
    found["mosaic"] = _mosaic.layout(header) if "MOSAIC" in found["type"] else None
    found["axis"] = _axis(header) if found["frames"] > 1 else None
    return found


def _facts(header: Elements) -> str:
    """Acquisition facts as JSON text, which files of one series share in memory."""
    facts = {name: text for name, keyword in FACTS.items() if (text := _joined(header, keyword))}
    age = age_years(_text(header, "PatientAge"), _text(header, "PatientBirthDate"), _text(header, "StudyDate"))
    if age is not None:
        facts["age_years"] = f"{age:g}"
        facts["age_band"] = f"{int(age // 10) * 10}-{int(age // 10) * 10 + 9}"
    return json.dumps(facts, separators=(",", ":"))


def age_years(age: str | None, born: str | None, studied: str | None) -> float | None:
    """Age in years from PatientAge (``045Y``, ``008M``, ``003W``, ``012D``), or from birth and study dates (``YYYYMMDD``)."""
    if age and age[:-1].isdigit() and age[-1:] in "YMWD":
        days = {"Y": 365.25, "M": 30.4375, "W": 7.0, "D": 1.0}[age[-1]]
        return round(int(age[:-1]) * days / 365.25, 2)
    if born and studied and len(born) == len(studied) == 8 and (born + studied).isdigit():
        whole = int(studied[:4]) - int(born[:4]) - (studied[4:] < born[4:])
        return float(whole) if 0 <= whole < 130 else None
    return None


def _slices(header: Elements, found: dict[str, Json]) -> list[Json]:
    """One entry a frame where frames are placed one by one, else a single entry for the file."""
    frames = header.items("PerFrameFunctionalGroupsSequence")
    if frames and len(frames) == found["frames"]:
        shared = next(iter(header.items("SharedFunctionalGroupsSequence")), _NOTHING)
        slices = [_frame(header, shared, frame, number) for number, frame in enumerate(frames)]
    else:
        slices = [_single(header)]
    return [{name: value for name, value in each.items() if value is not None} for each in slices]


def _single(header: Elements) -> Json:
    spacing = next((each for keyword in _SPACINGS if (each := _vector(header, keyword, 2))), None)
    return {
        "position": _vector(header, "ImagePositionPatient", 3), "orientation": _vector(header, "ImageOrientationPatient", 6),
        "spacing": spacing, "thickness": _number(header, "SpacingBetweenSlices") or _number(header, "SliceThickness"),
        "location": _number(header, "SliceLocation"), "instance": _int(header, "InstanceNumber"),
        "temporal": _number(header, "TemporalPositionIdentifier"), "trigger": _number(header, "TriggerTime"),
        "b": _number(header, "DiffusionBValue"), "acquisition": _int(header, "AcquisitionNumber"),
        "time": _text(header, "AcquisitionDateTime") or _text(header, "AcquisitionTime") or _text(header, "ContentTime"),
        "echo": _number(header, "EchoTime"), "kernel": _joined(header, "ConvolutionKernel"),
        "rescale": _rescale(header),
    }  # fmt: skip


def _rescale(header: Elements) -> Json:
    """``[slope, intercept]``, ``"lut"`` for a modality LUT, or None."""
    if header.items("ModalityLUTSequence"):
        return "lut"
    slope, intercept = _number(header, "RescaleSlope"), _number(header, "RescaleIntercept")
    if slope is None and intercept is None:
        return None
    return [1.0 if slope is None else slope, intercept or 0.0]


def _frame(header: Elements, shared: Elements, frame: Elements, number: int) -> Json:
    """One frame of an enhanced object: its functional groups, else the shared ones (PS3.3 C.7.6.16)."""

    def group(name: str) -> Elements:
        return next((items[0] for holder in (frame, shared) if (items := holder.items(name))), _NOTHING)

    measures, content = group("PixelMeasuresSequence"), group("FrameContentSequence")
    values, diffusion = group("PixelValueTransformationSequence"), group("MRDiffusionSequence")
    kinds = ("MRImageFrameTypeSequence", "CTImageFrameTypeSequence", "PETFrameTypeSequence")
    frame_type = next((text for name in kinds if (text := _joined(group(name), "FrameType"))), None)
    return {
        "position": _vector(group("PlanePositionSequence"), "ImagePositionPatient", 3),
        "orientation": _vector(group("PlaneOrientationSequence"), "ImageOrientationPatient", 6),
        "spacing": _vector(measures, "PixelSpacing", 2),
        "thickness": _number(measures, "SpacingBetweenSlices") or _number(measures, "SliceThickness"),
        "instance": number + 1, "temporal": _number(content, "TemporalPositionIndex"),
        "trigger": _number(group("CardiacSynchronizationSequence"), "NominalCardiacTriggerDelayTime"),
        "b": _number(diffusion, "DiffusionBValue"), "acquisition": _int(content, "FrameAcquisitionNumber"),
        "time": _text(content, "FrameReferenceDateTime") or _text(content, "FrameAcquisitionDateTime"),
        "echo": _number(group("MREchoSequence"), "EffectiveEchoTime"),
        "stack": [_text(content, "StackID"), frame_type, _quantity(group("RealWorldValueMappingSequence"))],
        "rescale": _rescale(values) or _rescale(header),
    }  # fmt: skip


def _quantity(mapping: Elements) -> str | None:
    """What a parametric map's frame measures."""
    return _text(mapping, "LUTLabel") or _text(mapping, "LUTExplanation")


def _axis(header: Elements) -> str:
    """What the frames of a multi-frame file without positions are: ``time`` or ``slices`` (PS3.3 C.7.6.5, NM vectors)."""
    tags = {int(tag) for tag in header.numbers("FrameIncrementPointer")}
    spatial = {0x00540080, 0x3004000C, 0x00180088}
    if tags & {0x00181063, 0x00181065}:
        return "time"
    return "slices" if tags & spatial and not tags - spatial else "time"


def _text(header: Elements, keyword: str) -> str | None:
    return next(iter(header.texts(keyword)), None)


def _joined(header: Elements, keyword: str) -> str | None:
    return "\\".join(header.texts(keyword)) or None


def _number(header: Elements, keyword: str) -> float | None:
    return next(iter(header.numbers(keyword)), None)


def _int(header: Elements, keyword: str) -> int | None:
    number = _number(header, keyword)
    return None if number is None else int(number)


def _vector(header: Elements, keyword: str, length: int) -> list[float] | None:
    numbers = header.numbers(keyword)
    return numbers if len(numbers) == length else None
