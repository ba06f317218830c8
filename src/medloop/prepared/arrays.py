"""Prepared images of one shape, mapped from disk: nothing is held in memory but where each row lies."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medloop.types import Array, SpacingMm

_MAPS = 64


@lru_cache(maxsize=_MAPS)
def open_shard(path: Path) -> Array:
    """A shard ``(rows, ...)`` mapped read-only. A few dozen stay open in each process. Raises `OSError` when it has gone."""
    mapped: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    return mapped


@dataclass(frozen=True, slots=True)
class RowKind:
    """What rows have in common: ``low`` and ``high`` are given only where there are no values between them."""

    spacing_mm: SpacingMm | None
    modality: str | None
    colour: bool
    low: float | None
    high: float | None

    def to_text(self) -> str:
        """JSON, short."""
        return json.dumps([self.spacing_mm, self.modality, self.colour, self.low, self.high], separators=(",", ":"))

    @classmethod
    def from_text(cls, text: str) -> RowKind:
        """The inverse of `to_text`."""
        spacing, modality, colour, low, high = json.loads(text)
        return cls(None if spacing is None else (spacing[0], spacing[1], spacing[2]), modality, colour, low, high)


@dataclass(frozen=True, slots=True, eq=False)
class PreparedArrays:
    """N images ``(C, Z, Y, X)`` of one type. Cheap to send to another process: it carries places, not pixels.

    ``paths``: the shards. ``shards``, ``rows``, ``kinds``: ``(N,)``, where each image lies and which of ``kind_list`` it is.
    ``digests``: ``(N, 16)`` uint8, content of the image before preparation. ``steps_key``: the preparation (`medloop.prep.key`).
    """

    shape: tuple[int, int, int, int]
    dtype: np.dtype[Any]
    paths: tuple[Path, ...]
    shards: NDArray[np.int32]
    rows: NDArray[np.int32]
    kinds: NDArray[np.int32]
    kind_list: tuple[RowKind, ...]
    digests: NDArray[np.uint8]
    steps_key: str

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, indices: ArrayLike) -> Array:
        """A copy ``(n, C, Z, Y, X)`` of these images, in the order of ``indices``."""
        wanted = positions(indices)
        out = np.empty((len(wanted), *self.shape), self.dtype)
        shards = self.shards[wanted]
        for shard in np.unique(shards):
            where = np.flatnonzero(shards == shard)
            out[where] = open_shard(self.paths[shard])[self.rows[wanted[where]]]
        return out

    def batches(self, indices: ArrayLike, size: int, *, stored: bool = False) -> Iterator[tuple[NDArray[np.int64], Array]]:
        """``(indices, pixels)`` of at most ``size`` images at a time; with ``stored`` in the order of the disk (quicker)."""
        wanted = self.stored_order(indices) if stored else positions(indices)
        for start in range(0, len(wanted), size):
            part = wanted[start : start + size]
            yield part, self.take(part)

    def stored_order(self, indices: ArrayLike) -> NDArray[np.int64]:
        """The same indices, sorted by shard and row."""
        wanted = positions(indices)
        return wanted[np.lexsort((self.rows[wanted], self.shards[wanted]))]

    def select(self, indices: ArrayLike) -> PreparedArrays:
        """These images as arrays of their own, in this order."""
        wanted = positions(indices)
        return replace(
            self, shards=self.shards[wanted], rows=self.rows[wanted], kinds=self.kinds[wanted], digests=self.digests[wanted]
        )

    def locate(self, indices: ArrayLike) -> list[tuple[Path, NDArray[np.int64]]]:
        """Runs of ``(shard, rows)`` that give the images in the order of ``indices``, for workers that map shards themselves.

        Map a shard with `open_shard`. Sort by `stored_order` first where the order does not matter: fewer, longer runs.
        """
        wanted = positions(indices)
        shards = self.shards[wanted]
        cuts = np.flatnonzero(np.diff(shards)) + 1
        runs = np.split(wanted, cuts) if len(wanted) else []
        return [(self.paths[self.shards[run[0]]], self.rows[run].astype(np.int64)) for run in runs]

    @property
    def key(self) -> str:
        """A name of exactly these pixels in this order: contents and preparation."""
        state = hashlib.blake2b(f"{self.steps_key}{self.shape}{self.dtype.str}".encode(), digest_size=16)
        state.update(np.ascontiguousarray(self.digests).data)
        return state.hexdigest()

    @property
    def colour(self) -> bool:
        """Whether the channels are R, G, B in every image."""
        return all(kind.colour for kind in self._used())

    @property
    def modality(self) -> str | None:
        """The modality that all images share, or None."""
        return _shared([kind.modality for kind in self._used()])

    @property
    def binary(self) -> bool:
        """Whether the same two values (such as 0 and 255) are all there is, as in masks and shapes."""
        pairs = {(kind.low, kind.high) for kind in self._used()}
        return len(pairs) == 1 and None not in next(iter(pairs))

    @property
    def spacing_mm(self) -> SpacingMm | None:
        """``(z, y, x)``: the median, where all know it and lie within 2 % of it; otherwise None."""
        known = [kind.spacing_mm for kind in self._used() if kind.spacing_mm is not None]
        if not known or len(known) < len(self._used()):
            return None
        table = np.array(known, np.float64)
        z, y, x = (round(float(value), 6) for value in np.median(table, axis=0))
        return (z, y, x) if bool((np.abs(table - (z, y, x)) <= 0.02 * np.array((z, y, x))).all()) else None

    def _used(self) -> list[RowKind]:
        return [self.kind_list[number] for number in np.unique(self.kinds)]


def positions(indices: ArrayLike) -> NDArray[np.int64]:
    """Indices, or a mask, as positions."""
    array = np.asarray(indices)
    return np.flatnonzero(array) if array.dtype == np.bool_ else array.astype(np.int64, copy=False).reshape(-1)


def _shared(values: Sequence[str | None]) -> str | None:
    return values[0] if values and len(set(values)) == 1 else None
