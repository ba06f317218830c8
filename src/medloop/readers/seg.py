"""DICOM segmentations (SEG, PS3.3 A.51) as a label map on the grid of the image they are about.

A reference of this reader is made (`reference`), not found: several objects may be about one series. Each frame is put where it
says it lies; what no frame shows is 0, for empty frames are usually left out. Binary, fractional (from half on) and label-map
objects are read; where segments overlap the later one counts.
"""

from __future__ import annotations

import hashlib
import json
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom

from medloop.errors import Unreadable
from medloop.readers._pieces import Assembled, Scanned
from medloop.readers.labelmap import Grid, resampled
from medloop.types import Array, Image, ImageRef, Integers, Json

VERSION = 1
_UNEVEN = 0.25
_MOST_SLICES = 20_000
_BROKEN = (OSError, ValueError, TypeError, KeyError, AttributeError, IndexError, NotImplementedError, RuntimeError)


@dataclass(frozen=True, slots=True)
class Segmentation:
    """An object: its file, UID of the ``series`` it is about, ``segments``: number and label of each."""

    path: str
    series: str | None
    segments: tuple[tuple[int, str], ...]


def claims(head: bytes, path: Path) -> bool:
    """No file is an image of this reader by itself."""
    del head, path
    return False


def scan(path: Path, head: bytes) -> Json:
    """Never asked for. Raises `Unreadable`."""
    del path, head
    raise Unreadable("a segmentation is a mask of another series, not an image")


def assemble(scans: Sequence[Scanned]) -> Assembled:
    """Nothing: these label maps are not found in folders."""
    del scans
    return Assembled()


def describe(path: str) -> Segmentation:
    """What a file says without its pixels. Raises `Unreadable`."""
    header = _opened(path, pixels=False)
    if "SegmentSequence" not in header:
        raise Unreadable("not a DICOM segmentation")
    about = header.get("ReferencedSeriesSequence") or []
    segments = [
        (int(each.SegmentNumber), " ".join(str(each.get("SegmentLabel") or f"segment {each.SegmentNumber}").split()))
        for each in header.SegmentSequence
    ]
    return Segmentation(path, str(about[0].SeriesInstanceUID) if about else None, tuple(segments))


def reference(image: ImageRef, grid: Grid, values: Mapping[str, Mapping[int, int]]) -> ImageRef:
    """The label map on the ``grid`` of ``image`` of the files in ``values``: the value of each of their segments."""
    said = [{str(number): value for number, value in each.items()} for each in values.values()]
    affine = np.round(grid.affine_lps[:3], 7).ravel().tolist()
    item = json.dumps({"values": said, "affine": affine}, separators=(",", ":"))
    digest = hashlib.blake2b(item.encode(), digest_size=16)
    for path in values:
        stat = Path(path).stat()
        digest.update(f"\0{path}\0{stat.st_size}\0{stat.st_mtime_ns}".encode())
    names = "+".join(Path(path).name for path in values)
    shape = (1, 1, *grid.shape)
    made = ImageRef(names, "seg", tuple(values), item, shape, "int32", image.spacing_mm)
    return replace(made, stamp=digest.hexdigest())


def read(ref: ImageRef) -> Image:
    """The values ``(1, 1, Z, Y, X)`` int32. Raises `Unreadable`."""
    how = json.loads(ref.item)
    affine = np.vstack([np.reshape(how["affine"], (3, 4)), [0, 0, 0, 1]])
    onto = Grid((ref.shape[2], ref.shape[3], ref.shape[4]), affine)
    out = np.zeros(onto.shape, np.int32)
    for path, values in zip(ref.files, how["values"], strict=True):
        drawn, own = _volume(path, {int(number): value for number, value in values.items()})
        moved = resampled(drawn, own, onto)
        out[moved > 0] = moved[moved > 0]
    return Image(pixels=out[None, None], spacing_mm=ref.spacing_mm, affine_lps=affine)


def _opened(path: str, *, pixels: bool) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return pydicom.dcmread(path, stop_before_pixels=not pixels)
    except (pydicom.errors.InvalidDicomError, *_BROKEN) as error:
        raise Unreadable(f"not a readable DICOM file: {error}") from None


def _volume(path: str, values: Mapping[int, int]) -> tuple[Integers, Array]:
    """``(Z, Y, X)`` values on the segmentation's own even grid, and its LPS affine. Raises `Unreadable`."""
    header = _opened(path, pixels=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            frames = np.asarray(header.pixel_array)
        frames = frames[None] if frames.ndim == 2 else frames
        shared = header.SharedFunctionalGroupsSequence[0]
        each = list(header.PerFrameFunctionalGroupsSequence)
        orientation = _vector(_group(shared, each[0], "PlaneOrientationSequence").ImageOrientationPatient, 6)
        measures = _group(shared, each[0], "PixelMeasuresSequence")
        positions = [_vector(_group(shared, one, "PlanePositionSequence").ImagePositionPatient, 3) for one in each]
        rows, columns = (float(step) for step in measures.PixelSpacing)
        normal = np.cross(orientation[:3], orientation[3:])
        along = np.array([position @ normal for position in positions])
        step = _step(along, measures)
        places = _places(along, step)
        out = np.zeros((places.max() + 1, *frames.shape[1:]), np.int32)
        for place, one, frame in zip(places, each, frames, strict=True):
            _draw(out[place], frame, _meaning(header, shared, one, values))
    except _BROKEN as error:
        raise Unreadable(f"a segmentation that does not say where its frames lie, or is broken: {error}") from None
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1], affine[:3, 2] = orientation[:3] * columns, orientation[3:] * rows, normal * step
    affine[:3, 3] = positions[int(along.argmin())]
    return out, affine


def _group(shared: Any, own: Any, name: str) -> Any:
    """The functional group of a frame, its own or that of all."""
    return (own.get(name) or shared[name].value)[0]


def _vector(values: Any, count: int) -> Array:
    found = np.array([float(each) for each in values])
    if found.shape != (count,) or not np.isfinite(found).all():
        raise ValueError(f"{count} numbers are needed, there are {len(found)}")
    return found


def _step(along: Array, measures: Any) -> float:
    """Distance of slices in mm: as stated, or the smallest between frames."""
    stated = float(measures.get("SpacingBetweenSlices") or 0) or float(measures.get("SliceThickness") or 0)
    gaps = np.diff(np.unique(np.round(along, 4)))
    return abs(stated) or (float(gaps.min()) if len(gaps) else 1.0)


def _places(along: Array, step: float) -> Integers:
    """The slice of each frame. Raises `Unreadable` for frames at uneven distances."""
    places = (along - along.min()) / step
    if not math.isfinite(step) or places.max() > _MOST_SLICES or np.abs(places - np.rint(places)).max() > _UNEVEN:
        raise Unreadable("its frames lie at uneven distances")
    return np.asarray(np.rint(places).astype(np.int64))


def _meaning(header: Any, shared: Any, own: Any, values: Mapping[int, int]) -> dict[int, int]:
    """What the numbers stored in a frame stand for: segments in a label map, else 1 (or from half on) for the frame's own."""
    if str(header.get("SegmentationType")) == "LABELMAP":
        return dict(values)
    number = int(_group(shared, own, "SegmentIdentificationSequence").ReferencedSegmentNumber)
    most = int(header.get("MaximumFractionalValue") or 1) if str(header.get("SegmentationType")) == "FRACTIONAL" else 1
    return dict.fromkeys(range(max(1, math.ceil(most / 2)), most + 1), values.get(number, 0))


def _draw(out: Integers, frame: Array, meaning: Mapping[int, int]) -> None:
    for stored, value in meaning.items():
        if value:
            out[frame == stored] = value
