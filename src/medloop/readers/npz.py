"""``.npz`` files in MedMNIST layout: ``train_images``, ``val_images``, ``test_images`` with labels beside them.

``(N, Y, X)`` grey, ``(N, Y, X, 3)`` colour, ``(N, Z, Y, X)`` volumes, ``(N, Z, Y, X, 3)`` colour volumes. An item is
named ``file.npz#train/12``. Arrays are never unpickled. A small array is held whole, a large one is streamed, so memory
does not grow with the file.
"""

from __future__ import annotations

import threading
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from medloop.errors import Unreadable
from medloop.readers._pieces import Assembled, Scanned, facts_of, stamp_of
from medloop.types import Array, Image, ImageRef, Json

VERSION = 1
SPLITS = ("train", "val", "test")
HELD_BYTES = 96 * 2**20
"""Arrays up to this size are held whole; larger ones are streamed in the order asked for."""


def claims(head: bytes, path: Path) -> bool:
    """Whether the name ends in .npz."""
    del head
    return path.suffix.lower() == ".npz"


def scan(path: Path, head: bytes) -> Json:
    """Shape and type of each split's images, from the arrays' headers. Raises `Unreadable`."""
    del head
    with _explained(path), zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
        found = {split: _array_header(archive, f"{split}_images.npy") for split in SPLITS if f"{split}_images.npy" in names}
    if not found:
        seen = ", ".join(sorted(name.removesuffix(".npy") for name in names)[:6]) or "nothing"
        raise Unreadable(f"not in MedMNIST layout: it holds {seen}; train_images, val_images or test_images is needed")
    return {split: {"shape": header.shape, "dtype": header.dtype.name} for split, header in found.items()}


def assemble(scans: Sequence[Scanned]) -> Assembled:
    """One image for each item of each split."""
    done = Assembled()
    for file in scans:
        for split, found in file.found.items():
            try:
                done.refs.extend(_items(file, split, tuple(found["shape"]), found["dtype"]))
            except Unreadable as error:
                done.warnings.append(f"{file.name}: {split}_images is left out: {error}.")
    return done


def read(ref: ImageRef) -> Image:
    """One item ``(1, C, Z, Y, X)``. Raises `Unreadable`."""
    path = Path(ref.files[0])
    split, _, index = ref.item.partition("/")
    with _explained(path):
        stat = path.stat()
        row = _rows(str(path), stat.st_mtime_ns, stat.st_size, split).row(int(index))
    _, channels, slices, rows, columns = ref.shape
    if row.size != channels * slices * rows * columns:
        raise Unreadable("the file has changed since it was scanned")
    pixels = row.reshape(slices, rows, columns, channels).transpose(3, 0, 1, 2)[None]
    return Image(pixels=np.ascontiguousarray(pixels), colour=ref.colour)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        reason = "the file is empty (0 bytes)" if path.is_file() and not path.stat().st_size else f"broken or cut off: {error}"
        raise Unreadable(reason) from None
    except (OSError, ValueError, KeyError, NotImplementedError, RuntimeError, SyntaxError) as error:
        raise Unreadable(f"not a readable .npz file: {error}") from None
    except MemoryError:
        raise Unreadable("too large for the memory of this machine") from None


@dataclass(frozen=True, slots=True)
class _Header:
    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]
    offset: int


def _read_header(member: IO[bytes]) -> _Header:
    version = npy.read_magic(member)
    reader = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran, dtype = reader(member)
    if dtype.hasobject:
        raise Unreadable("it holds Python objects, which are never loaded; save plain numbers")
    if dtype.kind not in "buif":
        raise Unreadable(f"its images are of type {dtype}, not numbers")
    return _Header(tuple(int(length) for length in shape), bool(fortran), dtype, member.tell())


def _array_header(archive: zipfile.ZipFile, name: str) -> _Header:
    with archive.open(name) as member:
        return _read_header(member)


def item_shape(shape: tuple[int, ...]) -> tuple[tuple[int, int, int, int, int], bool]:
    """Shape ``(1, C, Z, Y, X)`` of one item of an array ``(N, …)``, and whether it is colour. Raises `Unreadable`.

    A last axis of 3 is colour when two or three longer axes stand before it (28 × 28 × 3, not a 28 × 28 × 28 volume).
    """
    inner = shape[1:]
    colour = len(inner) in (3, 4) and inner[-1] == 3 and min(inner[-3:-1], default=0) > 3
    space = inner[:-1] if colour or (len(inner) in (3, 4) and inner[-1] == 1) else inner
    if len(space) not in (2, 3) or 0 in space:
        raise Unreadable(f"an array of shape {shape} is no list of pictures or volumes")
    z, y, x = (1, *space)[-3:]
    return (1, 3 if colour else 1, z, y, x), colour


def _items(file: Scanned, split: str, shape: tuple[int, ...], dtype: str) -> Iterator[ImageRef]:
    one, colour = item_shape(shape)
    facts = facts_of((("rows", one[3]), ("columns", one[4]), ("bits", np.dtype(dtype).itemsize * 8), ("format", "npz")))
    stamp = stamp_of([file], split)
    for index in range(shape[0]):
        yield ImageRef(
            name=f"{file.name}#{split}/{index}",
            reader="npz",
            files=(file.path,),
            item=f"{split}/{index}",
            shape=one,
            dtype=_kept(np.dtype(dtype)).name,
            colour=colour,
            stamp=f"{stamp}{index:x}",
            facts=facts,
        )


def _kept(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The type of the pixels read: truth values as 0 and 1, floats as float32, else as stored in native order."""
    if dtype.kind == "b":
        return np.dtype(np.uint8)
    return np.dtype(np.float32) if dtype.kind == "f" else np.dtype(dtype.newbyteorder("="))


class _Rows:
    """The images of one split: held whole when small, streamed when large (forward reads go on, others start again)."""

    def __init__(self, path: str, split: str) -> None:
        self._lock = threading.Lock()
        self._archive = zipfile.ZipFile(path)
        self._member: IO[bytes] = self._archive.open(f"{split}_images.npy")
        self._header = _read_header(self._member)
        self._row_bytes = int(np.prod(self._header.shape[1:], dtype=np.int64)) * self._header.dtype.itemsize
        whole = self._header.fortran or self._row_bytes * self._header.shape[0] <= HELD_BYTES
        self._held: Array | None = self._whole() if whole else None

    def _whole(self) -> Array:
        self._member.seek(0)
        held: Array = npy.read_array(self._member, allow_pickle=False)
        self._member.close()
        self._archive.close()
        return held

    def row(self, index: int) -> Array:
        """Image ``index`` in its stored axes."""
        if not 0 <= index < self._header.shape[0]:
            raise Unreadable("the file has changed since it was scanned")
        kept = _kept(self._header.dtype)
        if self._held is not None:
            held: Array = self._held[index].astype(kept)
            return held
        with self._lock:
            self._member.seek(self._header.offset + index * self._row_bytes)
            content = self._member.read(self._row_bytes)
        if len(content) != self._row_bytes:
            raise EOFError(f"item {index} is missing")
        return np.frombuffer(content, self._header.dtype).reshape(self._header.shape[1:]).astype(kept)


@lru_cache(maxsize=4)
def _rows(path: str, mtime_ns: int, size: int, split: str) -> _Rows:
    """The opened split; time and size are part of the key, so a changed file is opened anew."""
    del mtime_ns, size
    return _Rows(path, split)
