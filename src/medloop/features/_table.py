"""Feature tables of many images: chunks in worker processes, cached by content, memory bounded.

Each chunk of rows is kept as soon as it is done, so a run that was stopped goes on where it was; the finished table is one
array mapped from disk.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import threadpoolctl
from numpy.lib.format import write_array_header_1_0
from safetensors.numpy import load_file, save

from medloop.compute import Compute
from medloop.errors import InputError
from medloop.features._contract import Part, Rows, State, alive, read
from medloop.features._feature import Feature
from medloop.prepared.arrays import PreparedArrays
from medloop.progress import QUIET, Progress
from medloop.types import Array
from medloop.workspace import write_bytes
from medloop.workspace.atomic import explained

_CHUNK_BYTES = 4 * 2**20
_CHUNK_ROWS = 256
_FEW_ROWS = 8
_CHUNKS = 16
_LARGE = 2**20


@dataclass(frozen=True, slots=True)
class _Job:
    parts: tuple[Part, ...]
    feature: Feature
    state: State | Path
    out: Path | None


def fit(
    arrays: PreparedArrays,
    indices: Array,
    feature: Feature,
    *,
    seed: int,
    compute: Compute,
    cache: Path | None = None,
    tell: Progress = QUIET,
) -> dict[str, Array]:
    """The state of a feature, learnt from the images named by ``indices`` only; cached by their content, parameters and seed."""
    indices = np.asarray(indices, np.int64)
    kept = None
    origin = feature.source(arrays)
    if cache is not None:
        told = "" if origin is not None else _key(arrays.select(indices), seed)
        name = _hash(f"{_identity(feature)}|{origin}", _digest({}), told)
        kept = cache / "features" / f"{feature.name}-{name}.safetensors"
        if kept.exists():
            return dict(load_file(kept))
    if origin is None:
        tell.say(f"Learning the feature '{feature.name}' from {len(indices)} images.")
    with threadpoolctl.threadpool_limits(1):
        state = feature.module.fit(arrays, indices, feature.params, seed, compute)
    if kept is not None:
        write_bytes(kept, save({key: np.ascontiguousarray(value) for key, value in state.items()}))
    return state


def extract(batch: Array, feature: Feature, state: State) -> Rows:
    """Features of images in memory, ``(N, C, Z, Y, X)`` to ``(N, D)``."""
    with threadpoolctl.threadpool_limits(1):
        return feature.module.extract(batch, feature.params, state)


def table(
    arrays: PreparedArrays,
    indices: Array,
    feature: Feature,
    *,
    state: State,
    compute: Compute,
    cache: Path | None = None,
    tell: Progress = QUIET,
) -> Rows:
    """Features ``(N, D)`` float32 of the images named by ``indices``, in their order; finite.

    With a ``cache`` folder the result is mapped from disk, and asked a second time nothing is computed.
    """
    indices = np.asarray(indices, np.int64)
    if len(indices) == 0:
        raise InputError("no-images", got="No images to compute features of.", allowed="At least one.", fix="Add images.")
    chunks = _chunks(arrays, len(indices))
    label = f"feature {feature.name}"
    if cache is None:
        with _handed(state, compute) as handed:
            jobs = (_Job(tuple(arrays.locate(indices[cut])), feature, handed, None) for cut in chunks)
            answers = (alive(rows, feature.name) for rows in compute.map(_rows, jobs, label=label, total=len(chunks), tell=tell))
            return np.concatenate([rows for rows in answers if isinstance(rows, np.ndarray)], dtype=np.float32)
    folder = cache / "features"
    identity, seen = _identity(feature), _digest(state)
    whole = _whole(arrays, indices, feature, state, cache)
    if not whole.exists():
        with explained(folder):
            folder.mkdir(parents=True, exist_ok=True)
        pieces = [folder / f"{feature.name}-part-{_hash(identity, seen, _key(arrays.select(indices[cut])))}.npy" for cut in chunks]
        missing = [(cut, piece) for cut, piece in zip(chunks, pieces, strict=True) if not piece.exists()]
        with _handed(state, compute) as handed:
            work = (_Job(tuple(arrays.locate(indices[cut])), feature, handed, piece) for cut, piece in missing)
            for answer in compute.map(_rows, work, label=label, total=len(missing), tell=tell):
                alive(answer, feature.name)
        _join(pieces, whole, len(indices))
    mapped: Rows = np.load(whole, mmap_mode="r")
    return mapped


def cached(arrays: PreparedArrays, indices: Array, feature: Feature, *, state: State, cache: Path | None) -> bool:
    """Whether `table` has nothing to compute."""
    return cache is not None and _whole(arrays, np.asarray(indices, np.int64), feature, state, cache).exists()


def _whole(arrays: PreparedArrays, indices: Array, feature: Feature, state: State, cache: Path) -> Path:
    """Where the finished table lies."""
    return cache / "features" / f"{feature.name}-{_hash(_identity(feature), _digest(state), _key(arrays.select(indices)))}.npy"


def _chunks(arrays: PreparedArrays, count: int) -> Sequence[slice]:
    """Slices of so few rows that a chunk's pixels stay small, and that there is work for several processes."""
    row = int(np.prod(arrays.shape)) * np.dtype(arrays.dtype).itemsize
    size = int(np.clip(_CHUNK_BYTES // max(row, 1), 1, _CHUNK_ROWS))
    size = min(size, max(_FEW_ROWS, -(-count // _CHUNKS)))
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


@contextmanager
def _handed(state: State, compute: Compute) -> Iterator[State | Path]:
    """A state as jobs carry it: a large one, such as a network, lies in a file, which each process reads once."""
    if compute.workers == 0 or sum(value.nbytes for value in state.values()) < _LARGE:
        yield state
        return
    with TemporaryDirectory(prefix="medloop-") as folder:
        path = Path(folder) / "state.safetensors"
        write_bytes(path, save({key: np.ascontiguousarray(value) for key, value in state.items()}))
        yield path


@lru_cache(maxsize=2)
def _read(path: Path) -> State:
    """A state that nobody changes: what is made of it, such as a network's name, can be kept."""
    state = dict(load_file(path))
    for value in state.values():
        value.flags.writeable = False
    return state


def _rows(job: _Job) -> Rows | Path:
    """In a worker: map the shards, compute, and write the rows or send them back."""
    batch = read(job.parts)
    found = extract(batch, job.feature, _read(job.state) if isinstance(job.state, Path) else job.state)
    if job.out is None:
        return found
    write_bytes(job.out, _npy(found))
    return job.out


def _npy(rows: Rows) -> bytes:
    file = io.BytesIO()
    np.save(file, rows, allow_pickle=False)
    return file.getvalue()


def _join(pieces: Sequence[Path], whole: Path, count: int) -> None:
    """One file from the pieces, piece by piece, whole or not at all; then the pieces go.

    Written, not mapped: a full disk then is an error, and not the end of the process. A piece that has gone was taken by another
    process, which has written the same file.
    """
    beside = whole.with_name(f".{whole.name}.{os.getpid()}")
    with explained(whole):
        try:
            with beside.open("wb") as file:
                for number, piece in enumerate(pieces):
                    rows = np.load(piece)
                    if number == 0:
                        shape = (count, rows.shape[1])
                        write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
                    file.write(np.ascontiguousarray(rows, "<f4").tobytes())
            os.replace(beside, whole)
        except FileNotFoundError:
            if not whole.exists():
                raise
        finally:
            beside.unlink(missing_ok=True)
    for piece in pieces:
        piece.unlink(missing_ok=True)


def _identity(feature: Feature) -> str:
    return json.dumps([feature.to_json(), feature.module.VERSION], sort_keys=True)


def _hash(identity: str, state: str, images: str) -> str:
    return hashlib.blake2b(f"{identity}|{state}|{images}".encode(), digest_size=16).hexdigest()


def _key(arrays: PreparedArrays, seed: int | None = None) -> str:
    """A name of these images, and of the seed where it counts."""
    return f"{arrays.key}|{arrays.colour}|{arrays.spacing_mm}|{seed}"


def _digest(state: State) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for key in sorted(state):
        value = np.ascontiguousarray(state[key])
        digest.update(f"{key}{value.dtype.str}{value.shape}".encode())
        digest.update(value.data)
    return digest.hexdigest()
