"""Several images of one case as the channels of one: the contrasts of a study, the phases of a contrast agent.

A reference of this reader is not found in a folder but made (`reference`) once it is known which files belong together. The grid is
that of the first image; others that lie on another one are brought to it, linearly, and the fact ``resampled`` names them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
from scipy import ndimage

from medloop import registry
from medloop.errors import Unreadable
from medloop.readers._pieces import Assembled, Facts, Scanned, facts_of
from medloop.types import Array, Floats, Image, ImageRef, Json

VERSION = 1
_NEAR = 0.1
"""Grids are the same where no corner lies further off than this, in voxels."""
_OF_ONE_FILE = ("sop_uid", "told_apart")


def claims(head: bytes, path: Path) -> bool:
    """No file is several."""
    del head, path
    return False


def scan(path: Path, head: bytes) -> Json:
    """Never asked for. Raises `Unreadable`."""
    del path, head
    raise Unreadable("channels are read through the readers of their files")


def assemble(scans: Sequence[Scanned]) -> Assembled:
    """Nothing: channels are not found in folders."""
    del scans
    return Assembled()


def reference(name: str, members: Mapping[str, ImageRef], places: Mapping[str, Array | None]) -> ImageRef:
    """The image ``name`` whose channels are ``members`` by name, in their order; ``places``: their LPS affines, None where unknown.

    Raises `Unreadable` for images that cannot be one: in colour or of several channels, of several patients, of other numbers of
    time points, or of other sizes where nothing says where they lie.
    """
    refs = list(members.values())
    first = refs[0]
    off = _checked(members, places)
    item = json.dumps([_said(channel, ref) for channel, ref in members.items()], separators=(",", ":"))
    kind = np.result_type(*(np.dtype(ref.dtype) for ref in refs), *([np.float32] if off else []))
    stamps = "\0".join((item, *(ref.stamp for ref in refs)))
    return ImageRef(
        name=name,
        reader="channels",
        files=tuple(path for ref in refs for path in ref.files),
        item=item,
        shape=(first.shape[0], len(refs), *first.shape[2:]),
        dtype=(kind if kind.itemsize <= 4 else np.dtype(np.float32)).name,
        spacing_mm=first.spacing_mm,
        stamp=hashlib.blake2b(stamps.encode(), digest_size=16).hexdigest(),
        patient=_shared([ref.patient for ref in refs]),
        study=_shared([ref.study for ref in refs]),
        facts=_facts(members, off),
    )


def read(ref: ImageRef) -> Image:
    """The pixels ``(T, C, Z, Y, X)`` on the grid of the first channel. Raises `Unreadable`, with the channel's name."""
    first: Image | None = None
    planes: list[Array] = []
    for name, member in _members(ref):
        try:
            image: Image = registry.load("readers", member.reader).read(member)
            first = first or image
            planes.append(_on_grid(image, first))
        except Unreadable as error:
            raise Unreadable(f"{name}: {error}") from None
    if first is None:
        raise Unreadable("it has no channels")
    kind = np.dtype(ref.dtype)
    values = [np.rint(plane) if kind.kind in "iu" and plane.dtype.kind == "f" else plane for plane in planes]
    pixels = np.concatenate([value.astype(kind, copy=False) for value in values], axis=1)
    return Image(
        pixels=np.ascontiguousarray(pixels), spacing_mm=first.spacing_mm, affine_lps=first.affine_lps, modality=ref.modality
    )


def affine(ref: ImageRef) -> Array | None:
    """LPS affine of the first channel, from its header where its reader can. Raises `Unreadable`."""
    _, member = next(_members(ref))
    reader = registry.load("readers", member.reader)
    found: Array | None = reader.affine(member) if hasattr(reader, "affine") else reader.read(member).affine_lps
    return found


def _said(name: str, ref: ImageRef) -> dict[str, Json]:
    """What is kept of a channel to read it again."""
    return {"name": name, "reader": ref.reader, "item": ref.item, "files": len(ref.files), "shape": ref.shape, "dtype": ref.dtype}


def _members(ref: ImageRef) -> Iterator[tuple[str, ImageRef]]:
    """The images of the channels by name."""
    start = 0
    for said in json.loads(ref.item):
        files = ref.files[start : start + said["files"]]
        start += said["files"]
        of_files = {"reader": said["reader"], "files": files, "item": said["item"]}
        yield said["name"], replace(ref, **of_files, shape=tuple(said["shape"]), dtype=said["dtype"])


def _checked(members: Mapping[str, ImageRef], places: Mapping[str, Array | None]) -> list[str]:
    """The names of the channels that must be resampled. Raises `Unreadable` for what cannot be joined."""
    (one, first), *others = members.items()
    for name, ref in members.items():
        if ref.colour or ref.shape[1] != 1:
            what = "in colour" if ref.colour else f"of {ref.shape[1]} channels"
            raise Unreadable(f"{name} is {what}; each file of --channels gives one channel")
        if ref.shape[0] != first.shape[0]:
            raise Unreadable(f"{name} has {ref.shape[0]} time points, {one} has {first.shape[0]}")
    patients = {ref.patient for ref in members.values()} - {None}
    if len(patients) > 1:
        raise Unreadable(f"its files are of {len(patients)} patients")
    return [name for name, ref in others if not _alike(one, first.shape[2:], places[one], name, ref.shape[2:], places[name])]


def _alike(one: str, size: Sequence[int], here: Array | None, name: str, other: Sequence[int], there: Array | None) -> bool:
    """Whether two channels lie on one grid. Raises `Unreadable` where that cannot be told, or they do not touch."""
    if here is None or there is None:
        if tuple(size) == tuple(other):
            return True
        sizes = [" × ".join(map(str, each)) for each in (other, size)]
        raise Unreadable(f"{name} has {sizes[0]} voxels, {one} has {sizes[1]}, and nothing says where they lie")
    corners = np.array([*product(*((0.0, length - 1.0) for length in reversed(size)))])
    places = np.column_stack([corners, np.ones(8)]) @ (np.linalg.inv(there) @ here).T[:, :3]
    if ((places.max(axis=0) < -0.5) | (places.min(axis=0) > np.array(other[::-1]) - 0.5)).any():
        raise Unreadable(f"{name} shows another part of the body than {one}: they do not overlap")
    return tuple(size) == tuple(other) and bool(np.abs(places - corners).max() <= _NEAR)


def _on_grid(image: Image, first: Image) -> Array:
    """The pixels of ``image`` on the grid of ``first``."""
    if image is first:
        return image.pixels
    size, other = first.pixels.shape[2:], image.pixels.shape[2:]
    if image.pixels.shape[0] != first.pixels.shape[0]:
        raise Unreadable("its time points are not those of the first channel")
    if _alike("the first channel", size, first.affine_lps, "it", other, image.affine_lps):
        return image.pixels
    if first.affine_lps is None or image.affine_lps is None:
        raise Unreadable("nothing says where it lies")
    step = np.linalg.inv(image.affine_lps) @ first.affine_lps
    matrix, start = step[:3, :3][::-1, ::-1], step[:3, 3][::-1]
    return np.stack([[_resampled(volume, matrix, start, size) for volume in frame] for frame in image.pixels])


def _resampled(volume: Array, matrix: Floats, start: Floats, size: Sequence[int]) -> Floats:
    """``(Z, Y, X)`` float32, linear; smoothed before where the new voxels are larger; outside it is the smallest value."""
    values = volume.astype(np.float32)
    wide = np.maximum(0.0, (np.abs(matrix).max(axis=1) - 1) / 2)
    if wide.max() > _NEAR:
        values = ndimage.gaussian_filter(values, wide, mode="nearest")
    outside = float(values.min())
    moved = ndimage.affine_transform(values, matrix, start, tuple(size), order=1, mode="constant", cval=outside)
    return np.asarray(moved, dtype=np.float32)


def _facts(members: Mapping[str, ImageRef], off: Sequence[str]) -> Facts:
    """What all channels have in common, and how they were put together."""
    refs = list(members.values())
    shared = dict(set.intersection(*(set(ref.facts) for ref in refs)))
    bits = [int(ref.fact("bits") or 0) for ref in refs]
    sizes = [int(ref.fact("file_bytes") or 0) for ref in refs]
    own = {
        "rows": refs[0].shape[3],
        "columns": refs[0].shape[4],
        "bits": max(bits),
        "format": " + ".join(dict.fromkeys(ref.fact("format") or ref.reader for ref in refs)),
        "file_bytes": sum(sizes),
        "channels": ", ".join(members),
        "resampled": ", ".join(off) or None,
        "axes": refs[0].fact("axes"),
    }
    return facts_of(({name: text for name, text in shared.items() if name not in _OF_ONE_FILE} | own).items())


def _shared(values: Sequence[str | None]) -> str | None:
    """What all that know it say; None where they differ."""
    known = {value for value in values if value is not None}
    return known.pop() if len(known) == 1 else None
