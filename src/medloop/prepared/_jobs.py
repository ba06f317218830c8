"""The survey's work on one run of images, done in a worker process: decode, describe, prepare, keep."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from medloop import prep, readers, registry
from medloop.cache.arrays import ArrayCache, Writer
from medloop.errors import Unreadable
from medloop.prepared import _places
from medloop.prepared.arrays import RowKind
from medloop.prepared.pictures import VERSION, picture_of
from medloop.types import Array, Image, ImageRef, Step
from medloop.version import VERSION as MEDLOOP
from medloop.workspace.atomic import explained

_MOST = 512
_MOST_BYTES = 256 * 2**20
_LEAST_JOBS = 8
_DECODERS = ("pydicom", "pylibjpeg", "pylibjpeg-openjpeg", "pylibjpeg-rle", "python-gdcm", "Pillow", "tifffile", "nibabel")


@dataclass(frozen=True, slots=True)
class Keys:
    """Names under which results are kept; they change with whatever would change the results.

    ``reading`` and ``refusing``: by reader, what a stamp contains and why it cannot be used (an upgraded decoder tries again).
    ``picture``: facts of pictures, ``array``: prepared arrays, ``place``: where their voxels lie in the image as read; None where
    none are wanted.
    """

    reading: Mapping[str, str]
    refusing: Mapping[str, str]
    picture: str | None
    array: str | None
    place: str | None


@dataclass(frozen=True, slots=True)
class Job:
    """Images to work on, where to keep the results, and how to prepare them."""

    refs: tuple[ImageRef, ...]
    folder: Path
    steps: tuple[Step, ...] | None
    keys: Keys

    def on(self, refs: Iterable[ImageRef]) -> Job:
        """The same work on these images."""
        return replace(self, refs=tuple(refs))


def keys_of(names: Iterable[str], steps: Sequence[Step] | None, *, pictures: bool) -> Keys:
    """The keys for these readers and this preparation; facts of pictures are kept with ``pictures``."""
    reading = {name: f"read/{name}/{registry.load('readers', name).VERSION}" for name in sorted(set(names))}
    environment = hashlib.blake2b(repr((MEDLOOP, *map(_installed, _DECODERS))).encode(), digest_size=6).hexdigest()
    plan = None if steps is None else prep.key(steps)
    return Keys(
        reading=reading,
        refusing={name: f"{key}/{environment}" for name, key in reading.items()},
        picture=f"picture/{VERSION}" if pictures else None,
        array=None if plan is None else f"array/{plan}",
        place=None if plan is None else f"place/{_places.VERSION}/{plan}",
    )


def cut(refs: Sequence[ImageRef], positions: Sequence[int], workers: int) -> Iterator[list[int]]:
    """Runs of ``positions``, each small enough in number and decoded bytes, and more of them than there are workers."""
    share = -(-len(positions) // max(_LEAST_JOBS, 4 * workers))
    run: list[int] = []
    held = 0
    for position in positions:
        size = _decoded_bytes(refs[position])
        if run and (len(run) >= min(share, _MOST) or held + size > _MOST_BYTES):
            yield run
            run, held = [], 0
        run.append(position)
        held += size
    if run:
        yield run


def run(job: Job) -> int:
    """Read, describe, prepare and keep the job's images; says how many. What cannot be used is kept with its reason."""
    prepare = None if job.steps is None else prep.chain(job.steps)
    with explained(job.folder), ArrayCache(job.folder) as index, index.writer() as out:
        for ref, image in zip(job.refs, readers.read_many(job.refs), strict=True):
            if isinstance(image, Unreadable):
                out.refuse(job.keys.refusing[ref.reader], ref.stamp, str(image))
            else:
                _one(out, ref, image, job.keys, prepare)
    return len(job.refs)


def _one(out: Writer, ref: ImageRef, image: Image, keys: Keys, prepare: Callable[[Image], Image] | None) -> None:
    try:
        if image.pixels.size == 0:
            raise Unreadable("the image has no pixels")
        if bool((image.pixels == image.pixels.flat[0]).all()):
            raise Unreadable("every pixel has the same value")
        digest = bytes.fromhex(readers.digest_of(image))
        if keys.picture is not None and not out.has(keys.picture, digest):
            out.add(keys.picture, digest, picture_of(image).to_row())
    except Unreadable as error:
        out.refuse(keys.refusing[ref.reader], ref.stamp, str(error))
        return
    out.seen(keys.reading[ref.reader], ref.stamp, digest)
    if prepare is None or keys.array is None or keys.place is None:
        return
    array_wanted, place_wanted = not out.has(keys.array, digest), not out.has(keys.place, digest)
    if not array_wanted and not place_wanted:
        return
    try:
        made = prepare(image)
        row, kind = _row(made)
    except Unreadable as error:
        out.refuse(keys.array, digest, f"it cannot be prepared: {error}")
        return
    if array_wanted:
        out.add(keys.array, digest, row, kind.to_text())
    if place_wanted:
        out.add(keys.place, digest, _places.row_of(image, made))


def _row(image: Image) -> tuple[Array, RowKind]:
    """``(C, Z, Y, X)``, time points after each other as channels, and what is to be known of it."""
    times, channels, slices, height, width = image.pixels.shape
    pixels = image.pixels.astype(np.uint8) if image.pixels.dtype == np.bool_ else image.pixels
    low, high = pixels.min(), pixels.max()
    two = bool(((pixels == low) | (pixels == high)).all())
    kind = RowKind(
        spacing_mm=image.spacing_mm,
        modality=image.modality,
        colour=image.colour and times == 1,
        low=float(low) if two else None,
        high=float(high) if two else None,
    )
    return pixels.reshape(times * channels, slices, height, width), kind


def _decoded_bytes(ref: ImageRef) -> int:
    return int(np.prod(ref.shape, dtype=np.int64)) * np.dtype(ref.dtype).itemsize


def _installed(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""
