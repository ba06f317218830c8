"""NIfTI volumes (.nii, .nii.gz), through nibabel.

NIfTI keeps (X, Y, Z, T, V) and RAS millimetres; inside it is ``(T, C, Z, Y, X)`` and LPS. Voxel order is kept, so the
affine of index (x, y, z) only changes the signs of its first two rows. A sixth and later axis is not supported.
"""

from __future__ import annotations

import gzip
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError

from medloop.errors import Unreadable
from medloop.readers._pieces import Assembled, Scanned, axes_of, facts_of, stamp_of
from medloop.types import Array, Image, ImageRef, Json

VERSION = 2
MAX_VOXELS = 2_000_000_000
_TO_MM = {"meter": 1000.0, "mm": 1.0, "micron": 0.001, "unknown": 1.0}
_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_RGB = {("R", "G", "B"), ("R", "G", "B", "A")}


def claims(head: bytes, path: Path) -> bool:
    """Whether the name ends as NIfTI does, or the header says so."""
    name = path.name.lower()
    return name.endswith((".nii", ".nii.gz")) or head[344:348] in (b"n+1\0", b"n+2\0")


def scan(path: Path, head: bytes) -> Json:
    """Shape, spacing and type from the header alone. Raises `Unreadable`."""
    del head
    with _explained(path):
        volume = _opened(path)
        shape, colour = _shape(volume)
        affine, spacing = _geometry(volume)
        kind = {"dtype": _dtype(volume).name, "bits": _bits(volume)}
        return {"shape": shape, "colour": colour, "spacing": spacing, "axes": axes_of(affine) if shape[2] > 1 else None, **kind}


def assemble(scans: Sequence[Scanned]) -> Assembled:
    """One image for each file."""
    done = Assembled()
    for file in scans:
        found = file.found
        shape = tuple(found["shape"])
        facts = {"rows": shape[3], "columns": shape[4], "bits": found["bits"], "format": "NIfTI", "file_bytes": file.size}
        facts["axes"] = found["axes"]
        done.refs.append(
            ImageRef(
                name=file.name,
                reader="nifti",
                files=(file.path,),
                shape=shape,
                dtype=found["dtype"],
                spacing_mm=None if found["spacing"] is None else tuple(found["spacing"]),
                colour=found["colour"],
                stamp=stamp_of([file]),
                facts=facts_of(facts.items()),
            )
        )
    return done


def read(ref: ImageRef) -> Image:
    """The volume ``(T, C, Z, Y, X)`` with LPS affine. Raises `Unreadable`."""
    path = Path(ref.files[0])
    with _explained(path):
        volume = _opened(path)
        shape, colour = _shape(volume)
        affine, spacing = _geometry(volume)
        stored: Array = np.asarray(volume.dataobj)
        if colour:
            stored = np.stack([stored[name] for name in "RGB"], axis=-1)
        axes = stored.reshape(shape[4], shape[3], shape[2], shape[0], shape[1], order="A" if colour else "F")
        pixels = np.ascontiguousarray(axes.transpose(3, 4, 2, 1, 0).astype(_dtype(volume), copy=False))
    return Image(pixels=pixels, spacing_mm=spacing, affine_lps=affine, colour=colour)


def affine(ref: ImageRef) -> Array | None:
    """LPS affine from the header alone; None where it does not say it. Raises `Unreadable`."""
    path = Path(ref.files[0])
    with _explained(path):
        return _geometry(_opened(path))[0]


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise Unreadable(f"broken or cut off: {error}") from None
    except (ImageFileError, HeaderDataError, OSError, ValueError, TypeError, OverflowError) as error:
        if path.is_file() and path.stat().st_size == 0:
            raise Unreadable("the file is empty (0 bytes)") from None
        said = str(error).replace(str(path), path.name).splitlines()
        raise Unreadable(f"not a readable NIfTI file: {said[0] if said else type(error).__name__}") from None
    except MemoryError:
        raise Unreadable("too large for the memory of this machine") from None


def _opened(path: Path) -> Any:
    volume: Any = nibabel.load(path)
    if not isinstance(volume, (nibabel.Nifti1Image, nibabel.Nifti2Image)):
        raise Unreadable("not a NIfTI file")
    return volume


def _shape(volume: Any) -> tuple[tuple[int, int, int, int, int], bool]:
    """``(T, C, Z, Y, X)`` and whether voxels are RGB."""
    size = tuple(int(length) for length in volume.shape)
    if not size or min(size) == 0:
        raise Unreadable("it has no voxels")
    if any(length > 1 for length in size[5:]):
        raise Unreadable(f"it has {len(size)} axes; up to five (x, y, z, time, channel) are read")
    x, y, z, t, v = (*size[:5], 1, 1, 1, 1)[:5]
    if x * y * z * t * v > MAX_VOXELS:
        raise Unreadable(f"too large: {x * y * z * t * v:,} voxels; the limit is {MAX_VOXELS:,}")
    names = volume.get_data_dtype().names
    if names is not None and tuple(names) not in _RGB:
        raise Unreadable("its voxels are neither numbers nor RGB colours")
    if volume.get_data_dtype().kind == "c":
        raise Unreadable("its voxels are complex numbers; save magnitude or phase")
    if names is not None and v > 1:
        raise Unreadable("it has both colours and channels")
    return (t, 3 if names is not None else v, z, y, x), names is not None


def _dtype(volume: Any) -> np.dtype[Any]:
    """The type of the pixels read: as stored, float32 where scaled, never 64 bits."""
    stored: np.dtype[Any] = np.dtype(volume.get_data_dtype()).newbyteorder("=")
    if stored.names is not None:
        return np.dtype(np.uint8)
    narrow = {"int64": np.int32, "uint64": np.uint32}
    slope, inter = volume.dataobj.slope, volume.dataobj.inter
    if stored.kind == "f" or slope != 1.0 or inter != 0.0:
        return np.dtype(np.float32)
    return np.dtype(narrow.get(stored.name, stored))


def _bits(volume: Any) -> int:
    stored = volume.get_data_dtype()
    return 8 if stored.names is not None else int(np.dtype(stored).itemsize * 8)


def _geometry(volume: Any) -> tuple[Array | None, tuple[float, float, float] | None]:
    """LPS affine (None where the file has no sform and no qform) and spacing ``(z, y, x)`` in millimetres."""
    header = volume.header
    unit = _TO_MM.get(header.get_xyzt_units()[0], 1.0)
    placed = int(header["sform_code"]) > 0 or int(header["qform_code"]) > 0
    scale = np.diag([unit, unit, unit, 1.0])
    affine = _RAS_TO_LPS @ scale @ np.asarray(volume.affine, dtype=np.float64)
    if placed and np.isfinite(affine).all() and abs(np.linalg.det(affine[:3, :3])) > 0:
        x, y, z = (float(length) for length in np.linalg.norm(affine[:3, :3], axis=0))
        return affine, (z, y, x)
    zooms = [abs(float(zoom)) * unit for zoom in header.get_zooms()[:3]] + [1.0, 1.0]
    known = all(np.isfinite(zooms)) and min(zooms) > 0
    return None, ((zooms[2], zooms[1], zooms[0]) if known else None)
