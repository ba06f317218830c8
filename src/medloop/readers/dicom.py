"""DICOM files: single pictures, series of slices, multi-frame objects, cine loops and Siemens mosaics.

A series becomes one image for each volume in it (`_series.arrange`); a multi-frame file is a series of its own. Pixels come in
rescaled units (CT in HU), int16 where that is exact, else float32; MONOCHROME1 is turned right way up; colours are RGB.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from medloop.errors import Unreadable
from medloop.readers import _dicom_header, _mosaic, _series
from medloop.readers._dicom_pixels import Decoded, decode
from medloop.readers._pieces import Assembled, Scanned, SeriesFound, axes_of, facts_of, stamp_of
from medloop.readers._scan import HEAD_BYTES
from medloop.readers._series import Slice, Volume
from medloop.types import Array, Image, ImageRef, Json, Rejected

VERSION = 1
_STACKED = {"CT", "MR", "PT", "NM"}
_TIMES = ("temporal", "trigger", "b", "acquisition", "time")
_TIME_NAMES = {
    "temporal": "temporal position", "trigger": "trigger time", "b": "b-value", "acquisition": "acquisition number", "time": "time",
}  # fmt: skip

claims = _dicom_header.claims
scan = _dicom_header.scan


def assemble(scans: Sequence[Scanned]) -> Assembled:
    """Volumes, cine loops and single pictures from the headers of all DICOM files of a collection."""
    done = Assembled()
    taken: dict[str, int] = {}
    for files in _grouped(_without_copies(scans, done)):
        for volume, item in _volumes(files, done):
            _add(files, volume, item, done, taken)
    return done


def taken(ref: ImageRef) -> str:
    """Date and time of the study, ``YYYYMMDD`` and what the file says of the time; empty where there is no date."""
    return _dicom_header.taken(Path(ref.files[0]))


def read(ref: ImageRef) -> Image:
    """The pixels ``(T, C, Z, Y, X)`` with affine and window. Raises `Unreadable`."""
    t, c, z, y, x = ref.shape
    out = np.zeros((t * z, y, x, c) if ref.colour else (t * z, y, x), np.dtype(ref.dtype))
    slices: list[Slice] = []
    first: Decoded | None = None
    for number, path in enumerate(ref.files):
        decoded = _decoded(path, ref)
        first = first or decoded
        frames = _picked(ref, decoded)
        start = number * len(frames)
        if start + len(frames) > len(out) or frames.shape[1:] != out.shape[1:]:
            raise Unreadable(f"its pixels have the shape {frames.shape}, its header promised another")
        if frames.dtype != out.dtype and not np.can_cast(frames.dtype, out.dtype, "safe"):
            out = out.astype(np.float32)
        out[start : start + len(frames)] = frames
        slices.extend(_placed_frames(ref, decoded.found, number))
    if first is None:
        raise Unreadable("it has no files")
    volume = _volume_of(ref, slices, first.found)
    stack = out.reshape(t, z, y, x, c).transpose(0, 4, 1, 2, 3)
    return Image(
        pixels=np.ascontiguousarray(stack), spacing_mm=volume.spacing_mm, affine_lps=volume.affine_lps,
        modality=ref.modality, colour=ref.colour, window=first.window,
    )  # fmt: skip


def affine(ref: ImageRef) -> Array | None:
    """LPS affine from the headers alone; None where they do not say it. Raises `Unreadable`."""
    slices: list[Slice] = []
    found: Json = None
    for number, path in enumerate(ref.files):
        with open(path, "rb") as file:
            found = scan(Path(path), file.read(HEAD_BYTES))
        slices.extend(_placed_frames(ref, found, number))
    return _volume_of(ref, slices, found).affine_lps


def _decoded(path: str, ref: ImageRef) -> Decoded:
    try:
        return decode(path)
    except Unreadable as error:
        raise error if len(ref.files) == 1 else Unreadable(f"{Path(path).name}: {error}") from None


def _picked(ref: ImageRef, decoded: Decoded) -> Array:
    """The frames of one file that belong to the image, in its order."""
    kind, _, which = ref.item.partition(":")
    if kind == "mosaic":
        return _mosaic.cut(decoded.frames[0], ref.shape[2])
    numbers = _numbers(which) if kind == "frames" else range(len(decoded.frames)) if kind in ("time", "slices") else [0]
    if max(numbers, default=0) >= len(decoded.frames):
        raise Unreadable(f"it has {len(decoded.frames)} frames, its header promised more")
    return decoded.frames[list(numbers)]


def _placed_frames(ref: ImageRef, found: Json, file: int) -> Iterator[Slice]:
    kind, _, which = ref.item.partition(":")
    every = _slices(file, found)
    yield from (every[number] for number in _numbers(which)) if kind == "frames" else every[:1]


def _volume_of(ref: ImageRef, slices: list[Slice], found: Json) -> Volume:
    """Where the image lies, from the slices that were read."""
    t, _, z, _, _ = ref.shape
    if ref.item == "mosaic":
        return _mosaic_volume([[each] for each in slices], found)
    if ref.item in ("time", "slices") or len(slices) != t * z:
        return _unstacked(slices[0], ref.item)
    if slices[0].position is None:
        return Volume([slices], _series.flat_spacing(slices[0]))
    return _known(_series.located([slices[start : start + z] for start in range(0, t * z, z)]))


def _without_copies(scans: Sequence[Scanned], done: Assembled) -> list[Scanned]:
    """Files, each object once: copies of one SOP instance are rejected and told."""
    first: dict[Any, Scanned] = {}
    kept = []
    for file in sorted(scans, key=lambda each: each.name):
        found = file.found
        if found["uid"] is None:
            kept.append(file)
            continue
        position = found["slices"][0].get("position", ())
        key = (
            found["uid"],
            found["patient"],
            found["series"],
            found["rows"],
            found["columns"],
            found["frames"],
            found["allocated"],
            *position,
        )
        original = first.setdefault(key, file)
        if original is file:
            kept.append(file)
        else:
            how = "a copy of" if file.size == original.size else "another version of"
            done.rejected.append(Rejected(file.name, f"{how} {original.name}: both are the same object (SOP Instance UID)"))
    return kept


def _grouped(files: Sequence[Scanned]) -> list[list[Scanned]]:
    """Files of one series; a multi-frame file stands alone. Without a series UID: the same folder and series number."""
    groups: dict[Any, list[Scanned]] = defaultdict(list)
    for file in files:
        found = file.found
        if found["frames"] > 1:
            key: Any = file.name
        elif found["series"] is None:
            key = (found["patient"], found["study"], posixpath.dirname(file.name), found["number"])
        else:
            key = (found["patient"], found["study"], found["series"])
        groups[key].append(file)
    return list(groups.values())


def _volumes(files: Sequence[Scanned], done: Assembled) -> Iterator[tuple[Volume, str]]:
    """The volumes of a group of files, each with the item that tells `read` how to put it together."""
    first = files[0].found
    if first["frames"] > 1:
        yield from _of_frames(files[0], done)
        return
    mosaics = [(number, file) for number, file in enumerate(files) if file.found["mosaic"]]
    yield from _of_mosaics(mosaics)
    for file in files:
        if "MOSAIC" in file.found["type"] and not file.found["mosaic"]:
            done.warnings.append(
                f"{file.name}: a Siemens mosaic that does not say how many slices it has; it is used as one picture."
            )
    slices = [each for number, file in enumerate(files) if not file.found["mosaic"] for each in _slices(number, file.found)]
    arranged = _series.arrange(slices)
    done.rejected.extend(Rejected(files[each.file].name, reason) for each, reason in arranged.left)
    for volume in arranged.volumes:
        single = len(volume.frames) * len(volume.frames[0]) == 1
        yield _known(volume), "" if single else "stack"


def _of_frames(file: Scanned, done: Assembled) -> Iterator[tuple[Volume, str]]:
    """A multi-frame file: volumes where its frames have positions, else a loop in time or a stack."""
    slices = _slices(0, file.found)
    if len(slices) != file.found["frames"] or slices[0].position is None:
        yield _unstacked(slices[0], file.found["axis"]), file.found["axis"]
        return
    arranged = _series.arrange(slices)
    done.rejected.extend(Rejected(f"{file.name}#frame-{each.frame + 1}", reason) for each, reason in arranged.left)
    for volume in arranged.volumes:
        frames = [each.frame for layer in volume.frames for each in layer]
        yield _known(volume), "frames:" + _runs(frames)


def _unstacked(only: Slice, axis: str) -> Volume:
    """Frames without positions of their own."""
    spacing = _series.flat_spacing(only)
    if axis == "slices" or only.position is None or only.orientation is None:
        return Volume([[only]], spacing)
    return _known(_series.located([[only]]))


def _known(volume: Volume) -> Volume:
    """Without the affine where positions were only guessed from slice locations."""
    if ("position", "from the slice location") in volume.frames[0][0].kind:
        volume.affine_lps = None
    return volume


def _of_mosaics(mosaics: Sequence[tuple[int, Scanned]]) -> Iterator[tuple[Volume, str]]:
    """Mosaics of one series: each file a volume, files of equal kind and place its time points."""
    groups: dict[Any, list[Slice]] = defaultdict(list)
    for number, file in mosaics:
        each = _slices(number, file.found)[0]
        groups[(each.kind, each.position, each.orientation, file.found["mosaic"]["slices"])].append(each)
    by_number = dict(mosaics)
    for slices in groups.values():
        ordered = sorted(slices, key=lambda each: (each.instance, each.file))
        found = by_number[ordered[0].file].found
        volume = _mosaic_volume([[each] for each in ordered], found)
        volume.says = [f"Siemens mosaics of {found['mosaic']['slices']} slices"]
        if len(ordered) > 1:
            volume.says.append(f"{len(ordered)} time points, told apart by their order in the series")
        yield volume, "mosaic"


def _mosaic_volume(layers: list[list[Slice]], found: Json) -> Volume:
    first = layers[0][0]
    if first.position is None or first.orientation is None or first.spacing is None:
        return Volume(layers, _series.flat_spacing(first))
    count, orientation = found["mosaic"]["slices"], np.asarray(first.orientation)
    distance = abs(first.thickness or 1.0)
    size, spacing = (found["rows"], found["columns"]), (first.spacing[0], first.spacing[1])
    affine = _series.plane_affine(first, _mosaic.direction(orientation, found["mosaic"]["normal"]) * distance)
    affine[:3, 3] = _mosaic.corner(np.asarray(first.position), orientation, spacing, size, count)
    return Volume(layers, (distance, *spacing), affine)


def _slices(number: int, found: Json) -> list[Slice]:
    """The pictures of one file, ready to be arranged."""
    shared = (("size", (found["rows"], found["columns"])), ("samples", found["samples"]), ("photometric", found["photometric"]))
    kinds = (*shared, ("class", found["class"]), ("image type", "\\".join(found["type"])))
    made = []
    for frame, each in enumerate(found["slices"]):
        position, orientation, how = each.get("position"), each.get("orientation"), "stated"
        if position is None and "location" in each and found["modality"] in _STACKED:
            position, orientation, how = [0.0, 0.0, each["location"]], [1.0, 0.0, 0.0, 0.0, 1.0, 0.0], "from the slice location"
        echo = round(each["echo"], 3) if "echo" in each else None
        stack = tuple(each["stack"]) if "stack" in each else None
        kind = (*kinds, ("echo time", echo), ("kernel", each.get("kernel")), ("stack", stack), ("position", how))
        made.append(
            Slice(
                file=number, frame=frame, position=_tuple(position), orientation=_tuple(orientation),
                spacing=_tuple(each.get("spacing")), thickness=each.get("thickness"), instance=each.get("instance", 0), kind=kind,
                times=tuple((_TIME_NAMES[name], each.get(name)) for name in _TIMES),
            )
        )  # fmt: skip
    return made


def _tuple(values: Iterable[float] | None) -> tuple[float, ...] | None:
    return None if values is None else tuple(values)


def _add(files: Sequence[Scanned], volume: Volume, item: str, done: Assembled, taken: dict[str, int]) -> None:
    """The reference of one volume, and its line in the report."""
    members = [each for layer in volume.frames for each in layer]
    used = [files[number] for number in dict.fromkeys(each.file for each in members)]
    found = used[0].found
    shape = _shape(found, volume, item)
    several = len(used) > 1 or (item.startswith("frames") and len(members) < found["frames"])
    name = _name(used, found, several, taken)
    colour = shape[1] == 3
    texts = json.loads(found["facts"])
    facts = {**texts, "rows": shape[3], "columns": shape[4], "bits": found["stored"], "format": "DICOM",
             "file_bytes": sum(file.size for file in used), "told_apart": volume.apart or None}  # fmt: skip
    if len(used) == 1:
        facts["sop_uid"] = found["uid"]
    if shape[2] > 1:
        facts["axes"] = axes_of(volume.affine_lps)
    done.refs.append(
        ImageRef(
            name=name, reader="dicom", files=tuple(file.path for file in used), item=item, shape=shape, dtype=_dtype(used, colour),
            spacing_mm=volume.spacing_mm, colour=colour, stamp=stamp_of(used, item), patient=found["patient"], study=found["study"],
            series=found["series"], facts=facts_of(facts.items()),
        )
    )  # fmt: skip
    if len(used) > 1 or shape[0] * shape[2] > 1:
        says = "; ".join(text for text in (*volume.says, volume.apart) if text)
        done.series.append(
            SeriesFound(
                name,
                texts.get("modality"),
                texts.get("series_description"),
                len(used),
                shape[0] * shape[2],
                shape,
                volume.spacing_mm,
                says,
            )
        )
    done.warnings.extend(
        f"{name}: {text}." for text in (*volume.says, volume.apart) if "missing" in text or "twice" in text or "unknown" in text
    )


def _shape(found: Json, volume: Volume, item: str) -> tuple[int, int, int, int, int]:
    channels = 3 if found["samples"] > 1 or found["photometric"] == "PALETTE COLOR" else 1
    times, slices, rows, columns = len(volume.frames), len(volume.frames[0]), found["rows"], found["columns"]
    if item == "mosaic":
        slices = found["mosaic"]["slices"]
        rows, columns = rows // _mosaic.side(slices), columns // _mosaic.side(slices)
    elif item == "time":
        times = found["frames"]
    elif item == "slices":
        slices = found["frames"]
    return times, channels, slices, rows, columns


def _name(used: Sequence[Scanned], found: Json, several: bool, taken: dict[str, int]) -> str:
    """The file's path for a file, else folder and series; a number sets apart what would be called the same."""
    base = used[0].name
    if len(used) > 1:
        folders = {posixpath.dirname(file.name) for file in used}
        folder = folders.pop() if len(folders) == 1 else str(PurePosixPath(*_common([file.name for file in used])))
        folder = "" if folder == "." else folder
        series = found["number"] if found["number"] is not None else (found["series"] or "unnamed")[-12:]
        base = f"{folder}#series-{series}"
    elif several:
        base = f"{base}#volume"
    taken[base] = taken.get(base, 0) + 1
    return base if taken[base] == 1 else f"{base}-{taken[base]}"


def _common(names: Sequence[str]) -> list[str]:
    parts = [PurePosixPath(name).parent.parts for name in names]
    shared = []
    for level in zip(*parts, strict=False):
        if len(set(level)) > 1:
            break
        shared.append(level[0])
    return shared


def _dtype(used: Sequence[Scanned], colour: bool) -> str:
    """The type that holds every file's pixels in their units.

    Whole numbers beyond 16 bits, which only the pixels themselves show, are read as float32 in spite of it.
    """
    kinds = {_file_dtype(file.found, colour) for file in used}
    return kinds.pop() if len(kinds) == 1 else "float32"


def _file_dtype(found: Json, colour: bool) -> str:
    size = next((each for each in (8, 16, 32) if found["allocated"] <= each), 32)
    if found["photometric"] == "PALETTE COLOR":
        return "uint8"
    if found["float"]:
        return "float32"
    stored = f"{'int' if found['signed'] else 'uint'}{size}"
    rescales = [each.get("rescale") for each in found["slices"]]
    if colour or all(each is None or each == [1.0, 0.0] for each in rescales):
        return stored
    if "lut" in rescales:
        return "uint16"
    slope, intercept = rescales[0] or (1.0, 0.0)
    same = all(each == rescales[0] for each in rescales)
    whole = float(slope).is_integer() and float(intercept).is_integer() and size <= 16
    return "int16" if same and whole else "float32"


def _runs(numbers: Sequence[int]) -> str:
    """``0-14,20,22`` for frame numbers in order."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in runs)


def _numbers(text: str) -> list[int]:
    numbers: list[int] = []
    for low, high in re.findall(r"(\d+)(?:-(\d+))?", text):
        numbers.extend(range(int(low), int(high or low) + 1))
    return numbers
