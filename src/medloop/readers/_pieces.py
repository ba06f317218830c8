"""What every reader shares: a scanned file, what readers make of scans, and stamps."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import permutations

import numpy as np

from medloop.types import Array, Image, ImageRef, Json, Rejected

_LETTERS = ("LR", "PA", "SI")
Facts = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Scanned:
    """One file whose header has been read. ``name``: path relative to the source. ``found``: what ``scan`` returned."""

    path: str
    name: str
    size: int
    mtime_ns: int
    found: Json


@dataclass(frozen=True, slots=True)
class SeriesFound:
    """One group of DICOM files that belong together, as the intake report shows it. No patient identity.

    ``frames`` counts the 2-D pictures used; ``says`` tells gaps, time points and what was told apart.
    """

    name: str
    modality: str | None
    description: str | None
    files: int
    frames: int
    shape: tuple[int, int, int, int, int]
    spacing_mm: tuple[float, float, float] | None
    says: str = ""


@dataclass(slots=True)
class Assembled:
    """What a reader makes of the files it has scanned."""

    refs: list[ImageRef] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    series: list[SeriesFound] = field(default_factory=list)


def facts_of(pairs: Iterable[tuple[str, object]]) -> Facts:
    """Sorted ``(name, text)`` pairs without the unknown; equal texts share memory."""
    texts = ((name, str(value).strip()) for name, value in pairs if value is not None)
    return tuple(sorted((sys.intern(name), sys.intern(text)) for name, text in texts if text))


def axes_of(affine_lps: Array | None) -> str | None:
    """Where x, y and z of the file run in the patient, as three letters of L, R, P, A, S, I; None where that is unknown.

    Each axis as nearly as can be, no two alike, as `medloop.prep.orient` takes them.
    """
    if affine_lps is None:
        return None
    cosines = affine_lps[:3, :3] / np.maximum(np.linalg.norm(affine_lps[:3, :3], axis=0), 1e-12)
    order = max(permutations(range(3)), key=lambda worlds: sum(abs(cosines[world, axis]) for axis, world in enumerate(worlds)))
    return "".join(_LETTERS[world][int(cosines[world, axis] < 0)] for axis, world in enumerate(order))


def stamp_of(files: Sequence[Scanned], item: str = "") -> str:
    """Hash of the files' paths, sizes and times and of ``item``: 32 hexadecimal digits."""
    digest = hashlib.blake2b(item.encode(), digest_size=16)
    for file in files:
        digest.update(f"\0{file.path}\0{file.size}\0{file.mtime_ns}".encode())
    return digest.hexdigest()


def digest_of(image: Image) -> str:
    """Hash of an image's content: pixels with shape and type, spacing, affine, modality. 32 hexadecimal digits.

    Two files with the same picture and geometry have the same digest, whatever they are called and however compressed.
    """
    digest = hashlib.blake2b(digest_size=16)
    pixels = np.ascontiguousarray(image.pixels)
    affine = None if image.affine_lps is None else np.round(image.affine_lps, 6).tolist()
    digest.update(repr((pixels.shape, pixels.dtype.str, image.spacing_mm, affine, image.modality, image.colour)).encode())
    digest.update(pixels.data if pixels.size else b"")
    return digest.hexdigest()
