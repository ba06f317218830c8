"""What is remembered of a picture once it has been decoded: copies, shortcuts and burnt-in text are found without opening it again.

`Pictures` is one NumPy record array without objects: it can be saved with ``np.save``, loaded without pickle and mapped from disk.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medloop.types import Array, Shape

VERSION = 2
"""Goes into cache keys: rises whenever the same pixels would give another row."""
SIDE = 64
"""Thumbnails of flat pictures are ``SIDE`` by ``SIDE``."""
DEPTH = 16
"""Thumbnails of volumes are ``DEPTH`` by ``DEPTH`` by ``DEPTH``: as many bytes."""

ROW = np.dtype(
    [
        ("digest", "u1", 16),
        ("thumb", "u1", SIDE * SIDE),
        ("shape", "i4", 5),
        ("mean", "f4"),
        ("std", "f4"),
        ("low", "f4"),
        ("high", "f4"),
        ("border", "f4"),
        ("text", "f4"),
        ("uniform", "?"),
    ]
)
"""One picture. See `Picture` for the meaning of the fields."""


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """Facts of one image.

    ``digest``: 16 bytes, equal for equal pixels whatever the file format or number type. ``thumb``: ``(64, 64)`` uint8, squeezed to
    a square, grey, stretched to the full range; for volumes (more than one slice or time point) ``(16, 16, 16)``. ``shape``: the
    pixels' own ``(T, C, Z, Y, X)``. ``mean``, ``std``, ``low``, ``high`` and ``border`` (mean of the outer frame) are in the
    pixels' own units. ``text``: 0 to 1, how likely text is burnt in (likely from 0.5), or None where the picture is too small to
    tell. ``uniform``: all pixels are equal.
    """

    digest: bytes
    thumb: NDArray[np.uint8]
    shape: Shape
    mean: float
    std: float
    low: float
    high: float
    border: float
    text: float | None
    uniform: bool

    def to_row(self) -> Array:
        """A record of dtype `ROW`, shape ``()``."""
        row = np.zeros((), dtype=ROW)
        row["digest"] = np.frombuffer(self.digest, dtype=np.uint8)
        row["thumb"] = self.thumb.reshape(-1)
        for name in ("shape", "mean", "std", "low", "high", "border", "uniform"):
            row[name] = getattr(self, name)
        row["text"] = np.nan if self.text is None else self.text
        return row


@dataclass(frozen=True, slots=True, eq=False)
class Pictures:
    """Facts of N images: ``rows`` is an ``(N,)`` array of dtype `ROW`, in memory or mapped from disk."""

    rows: Array

    @classmethod
    def of(cls, pictures: Iterable[Picture]) -> Pictures:
        """The table of these pictures, in order."""
        rows = [picture.to_row() for picture in pictures]
        return cls(np.stack(rows) if rows else np.zeros(0, dtype=ROW))

    @classmethod
    def join(cls, parts: Iterable[Pictures]) -> Pictures:
        """One table after the other."""
        rows = [part.rows for part in parts]
        return cls(np.concatenate(rows) if rows else np.zeros(0, dtype=ROW))

    def __len__(self) -> int:
        return len(self.rows)

    def select(self, indices: Array) -> Pictures:
        """The rows at these positions."""
        return Pictures(self.rows[np.asarray(indices)])

    @property
    def digests(self) -> NDArray[np.uint8]:
        """``(N, 16)``."""
        return np.asarray(self.rows["digest"])

    @property
    def thumbs(self) -> NDArray[np.uint8]:
        """``(N, 4096)``: reshape to ``(64, 64)``, or ``(16, 16, 16)`` where `volumes`."""
        return np.asarray(self.rows["thumb"])

    @property
    def shapes(self) -> NDArray[np.int32]:
        """``(N, 5)``: T, C, Z, Y, X."""
        return np.asarray(self.rows["shape"])

    @property
    def volumes(self) -> NDArray[np.bool_]:
        """``(N,)``: more than one slice or time point."""
        return np.asarray(self.shapes[:, 0] * self.shapes[:, 2] > 1)

    @property
    def uniform(self) -> NDArray[np.bool_]:
        """``(N,)``: all pixels are equal."""
        return np.asarray(self.rows["uniform"])

    @property
    def text(self) -> NDArray[np.float32]:
        """``(N,)``: 0 to 1, NaN where the picture is too small to tell."""
        return np.asarray(self.rows["text"])

    def fact(self, name: str) -> NDArray[np.float32]:
        """``(N,)``: one of ``mean``, ``std``, ``low``, ``high``, ``border``."""
        return np.asarray(self.rows[name])
