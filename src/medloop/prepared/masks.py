"""Masks on the grids of prepared images: each read once, its values given their meaning, kept by content, mapped from disk.

A prepared voxel takes the value of the nearest voxel of the mask as read, also where the image shrinks by a large factor: labels
cannot be averaged, and what is thinner than a prepared voxel is drawn as it meets the voxels' centres.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medloop import readers, registry
from medloop.cache.arrays import ArrayCache, Place
from medloop.compute import Compute, Died
from medloop.errors import Unreadable
from medloop.prepared import _places
from medloop.prepared._careful import carefully
from medloop.prepared._jobs import cut
from medloop.prepared._sampling import nearest
from medloop.prepared.arrays import open_shard, positions
from medloop.prepared.geometry import Geometry
from medloop.progress import QUIET, Progress
from medloop.types import UNKNOWN, Array, Floats, ImageRef, Integers, Rejected, Truth
from medloop.workspace.atomic import explained

__all__ = ["PreparedMasks", "prepare_masks"]

VERSION = 1
"""Goes into cache keys: rises whenever the same mask would come out otherwise."""
_NAMELESS = -(2**31)


@dataclass(frozen=True, slots=True, eq=False)
class PreparedMasks:
    """N masks ``(Z, Y, X)`` uint8 as in `Truth`. Cheap to send to another process: it carries places, not voxels.

    ``known``: ``(N,)`` bool, of the others every voxel is `UNKNOWN`. ``paths``: the shards. ``shards``, ``rows``: ``(N,)``, where
    each mask lies. ``digests``: ``(N, 16)`` uint8, the content of the mask and its geometry, zeros where unknown. ``lookup_key``:
    the meaning of the values.
    """

    shape: tuple[int, int, int]
    known: NDArray[np.bool_]
    paths: tuple[Path, ...]
    shards: NDArray[np.int32]
    rows: NDArray[np.int32]
    digests: NDArray[np.uint8]
    lookup_key: str

    def __len__(self) -> int:
        return len(self.known)

    @property
    def key(self) -> str:
        """A name of exactly these masks in this order."""
        state = hashlib.blake2b(f"{self.lookup_key}{self.shape}".encode(), digest_size=16)
        state.update(np.ascontiguousarray(self.digests).data)
        return state.hexdigest()

    def take(self, indices: ArrayLike) -> NDArray[np.uint8]:
        """A copy ``(n, Z, Y, X)`` of these masks, in the order of ``indices``; `UNKNOWN` outside the image and where unknown."""
        wanted = positions(indices)
        out = np.full((len(wanted), *self.shape), UNKNOWN, np.uint8)
        shards = np.where(self.known[wanted], self.shards[wanted], -1)
        for shard in np.unique(shards[shards >= 0]):
            where = np.flatnonzero(shards == shard)
            out[where] = open_shard(self.paths[shard])[self.rows[wanted[where]]]
        return out

    def select(self, indices: ArrayLike) -> PreparedMasks:
        """These masks, in this order."""
        at = positions(indices)
        return replace(self, known=self.known[at], shards=self.shards[at], rows=self.rows[at], digests=self.digests[at])


def prepare_masks(
    truth: Truth,
    geometry: Geometry,
    shape: Sequence[int],
    *,
    cache: Path,
    compute: Compute,
    tell: Progress = QUIET,
) -> tuple[PreparedMasks, tuple[Rejected, ...]]:
    """The masks of ``truth`` on prepared grids of ``shape`` ``(z, y, x)``; row i of ``geometry`` is the place of image i.

    ``cache``: the workspace's cache folder. Masks whose stamp is known are not opened. A mask that cannot be read or has not the
    size of its image is rejected with the reason, and nothing is known of its case. A value that the lookup does not name is
    unknown. Raises `InputError` for a disk that is full or cannot be written.
    """
    if len(truth) != len(geometry):
        raise ValueError(f"{len(truth)} masks need as many places, not {len(geometry)}")
    refs = [None if not known else ref for ref, known in zip(truth.masks, truth.known.tolist(), strict=True)]
    z, y, x = shape
    job = _Job((), (), geometry, truth.lookup, (z, y, x), cache / "arrays", *_keys(truth.lookup, shape))
    reasons: dict[int, str] = {}
    with explained(job.folder), ArrayCache(job.folder) as index:
        found = _look(index, refs, job)
        missing = [at for at, ref in enumerate(refs) if ref is not None and at not in found]
        if missing:
            index.sweep()
            reasons = _work(refs, missing, job, compute, tell)
            found = _look(index, refs, job)
        made = _assembled(index, found, len(refs), job)
    lost = {at: reasons.get(at, Died().reason) for at in missing if at not in found}
    return made, tuple(Rejected(ref.name, lost[at]) for at, ref in enumerate(refs) if ref is not None and at in lost)


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    """Masks to bring to prepared grids, with their ``positions`` and the rows of ``geometry`` that belong to them.

    ``reading``: key under which is kept what a stamp contains; ``making``: key of the prepared rows.
    """

    refs: tuple[ImageRef, ...]
    positions: tuple[int, ...]
    geometry: Geometry
    lookup: tuple[tuple[int, int], ...]
    shape: tuple[int, int, int]
    folder: Path
    reading: str
    making: str


def _keys(lookup: tuple[tuple[int, int], ...], shape: Sequence[int]) -> tuple[str, str]:
    versions = [(name, registry.load("readers", name).VERSION) for name in registry.names("readers")]
    return f"mask-read/{_hash(repr(versions))}", f"mask/{VERSION}/{_hash(repr((sorted(lookup), tuple(shape))))}"


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def _name(content: bytes, place: Floats) -> bytes:
    """Of a prepared row: the mask's content and its place."""
    return hashlib.blake2b(content + np.ascontiguousarray(place).tobytes(), digest_size=16).digest()


def _look(index: ArrayCache, refs: Sequence[ImageRef | None], job: _Job) -> dict[int, tuple[bytes, Place]]:
    """By position what the index knows."""
    content = index.digests(job.reading, [ref.stamp for ref in refs if ref is not None])
    places = _places.rows_of(job.geometry)
    names = {at: _name(content[ref.stamp], places[at]) for at, ref in enumerate(refs) if ref is not None and ref.stamp in content}
    kept = index.places(job.making, list(set(names.values())))
    return {at: (name, kept[name]) for at, name in names.items() if name in kept}


def _work(refs: Sequence[ImageRef | None], missing: Sequence[int], job: _Job, compute: Compute, tell: Progress) -> dict[int, str]:
    """Do what is missing; by position why a mask cannot be used."""
    masks = {at: ref for at in missing if (ref := refs[at]) is not None}

    def part(run: list[int]) -> _Job:
        where = np.array(run, np.int64)
        return replace(job, refs=tuple(masks[at] for at in run), positions=tuple(run), geometry=job.geometry.select(where))

    order = list(masks)
    runs = [[order[at] for at in run] for run in cut([masks[at] for at in order], range(len(order)), compute.workers)]
    reasons: dict[int, str] = {}
    for run, answer in carefully(_run, runs, part, compute, "Preparing masks", tell):
        reasons |= dict.fromkeys(run, answer.reason) if isinstance(answer, Died) else answer
    return reasons


def _run(job: _Job) -> dict[int, str]:
    """Read, give meaning, bring to the prepared grid and keep, in a worker process; by position why a mask cannot be used."""
    reasons: dict[int, str] = {}
    places = _places.rows_of(job.geometry)
    with explained(job.folder), ArrayCache(job.folder) as index, index.writer() as out:
        for row, (at, ref) in enumerate(zip(job.positions, job.refs, strict=True)):
            try:
                image = readers.read(ref)
                content = bytes.fromhex(readers.digest_of(image))
                name = _name(content, places[row])
                if not out.has(job.making, name):
                    out.add(job.making, name, _prepared(image.pixels, job, row))
                out.seen(job.reading, ref.stamp, content)
            except Unreadable as error:
                reasons[at] = str(error)
    return reasons


def _prepared(pixels: Array, job: _Job, row: int) -> NDArray[np.uint8]:
    """``(Z, Y, X)`` on the prepared grid. Raises `Unreadable`."""
    matrix, size = job.geometry.matrix[row], tuple(job.geometry.shape[row].tolist())
    if pixels.shape != (1, 1, *size):
        raise Unreadable(f"it has {_sized(pixels.shape)} voxels, its image {_sized((1, 1, *size))}")
    if not np.isfinite(matrix).all():
        raise Unreadable("the prepared slices of its image are moments in time: a mask has no place in them")
    values = nearest(np.asarray(pixels[0, 0], np.int32), matrix, job.shape, outside=_NAMELESS)
    return _meant(values, job.lookup)


def _meant(values: Integers, lookup: tuple[tuple[int, int], ...]) -> NDArray[np.uint8]:
    """The meaning of each value, `UNKNOWN` where it has none."""
    keys, meanings = np.array(sorted(lookup), np.int64).reshape(-1, 2).T
    if not len(keys):
        return np.full(values.shape, UNKNOWN, np.uint8)
    at = np.minimum(np.searchsorted(keys, values), len(keys) - 1)
    return np.where(keys[at] == values, meanings[at], UNKNOWN).astype(np.uint8)


def _sized(shape: Sequence[int]) -> str:
    times, channels, slices, height, width = shape
    parts = (*((times,) if times > 1 else ()), *((channels,) if channels > 1 else ()), *((slices,) if slices > 1 else ()))
    return " x ".join(map(str, (*parts, height, width)))


def _assembled(index: ArrayCache, found: dict[int, tuple[bytes, Place]], count: int, job: _Job) -> PreparedMasks:
    known = np.zeros(count, np.bool_)
    digests = np.zeros((count, 16), np.uint8)
    table = np.full((count, 2), -1, np.int64)
    for at, (name, (shard, row, _)) in found.items():
        known[at], table[at], digests[at] = True, (shard, row), np.frombuffer(name, np.uint8)
    numbers = np.unique(table[known, 0])
    shards = index.described(set(numbers.tolist()))
    return PreparedMasks(
        shape=job.shape,
        known=known,
        paths=tuple(shards[number].path for number in numbers.tolist()),
        shards=np.where(known, np.searchsorted(numbers, table[:, 0]), -1).astype(np.int32),
        rows=table[:, 1].astype(np.int32),
        digests=digests,
        lookup_key=job.making,
    )
