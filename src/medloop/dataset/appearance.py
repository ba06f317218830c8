"""What a picture looks like in a few numbers, from what is remembered of it: enough to compare collections.

Named facts are those a person can check (brightness, contrast, sharpness, size). The rest are the coarsest waves of the thumbnail
(cosine transform), about as much as a picture of four by four dots shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import fft

from medloop.cache.pictures import DEPTH, SIDE, Pictures
from medloop.types import Array, Floats, Integers

_WAVES = 4
_BLOCK = 2048
NAMES = (
    "brightness",
    "contrast",
    "brightness of the border",
    "darkest value",
    "brightest value",
    "height",
    "width",
    "slices",
    "share of dark parts",
    "share of bright parts",
    "sharpness",
    "difference of the left and right half",
    "difference of the upper and lower half",
)
"""The facts by name, the first columns of `Appearance.values`."""
_WIDTH = len(NAMES) + _WAVES**2 - 1


@dataclass(frozen=True, slots=True, eq=False)
class Appearance:
    """``values``: ``(n, D)`` float32, a row for each image or patient; its first columns are `NAMES`."""

    values: Floats

    def __len__(self) -> int:
        return len(self.values)

    def by_patient(self, patients: Integers) -> Appearance:
        """The mean of each patient, ``(patients, D)``."""
        _, member = np.unique(patients, return_inverse=True)
        counts = np.bincount(member)
        sums = np.zeros((len(counts), self.values.shape[1]))
        np.add.at(sums, member, self.values)
        return Appearance((sums / counts[:, None]).astype(np.float32))


def as_text(found: Appearance, most: int, seed: int = 0) -> list[str]:
    """At most ``most`` rows, drawn at random, as lines of numbers of four digits."""
    rows = found.values
    if len(rows) > most:
        rows = rows[np.random.default_rng(seed).permutation(len(rows))[:most]]
    return [" ".join(f"{value:.4g}" for value in row) for row in rows.tolist()]


def from_text(lines: Sequence[str]) -> Appearance | None:
    """What `as_text` wrote; None where there is nothing, or it was written by a medloop that looked at other things."""
    rows = [[float(value) for value in line.split()] for line in lines]
    if not rows or {len(row) for row in rows} != {_WIDTH}:
        return None
    return Appearance(np.array(rows, np.float32))


def appearance(pictures: Pictures, rows: Integers) -> Appearance:
    """The appearance of these pictures, read in blocks."""
    parts = [_block(pictures.select(rows[start : start + _BLOCK])) for start in range(0, len(rows), _BLOCK)]
    return Appearance(np.concatenate(parts) if parts else np.empty((0, _WIDTH), np.float32))


def _block(pictures: Pictures) -> Floats:
    thumbs = np.where(pictures.volumes[:, None, None], _projected(pictures.thumbs), _flat(pictures.thumbs))
    shapes = pictures.shapes.astype(np.float64)
    half = thumbs.shape[1] // 2
    named = [
        pictures.fact("mean"),
        pictures.fact("std"),
        pictures.fact("border"),
        pictures.fact("low"),
        pictures.fact("high"),
        shapes[:, 3],
        shapes[:, 4],
        shapes[:, 0] * shapes[:, 2],
        (thumbs < 51).mean(axis=(1, 2)),
        (thumbs > 204).mean(axis=(1, 2)),
        (np.abs(np.diff(thumbs, axis=1)).mean(axis=(1, 2)) + np.abs(np.diff(thumbs, axis=2)).mean(axis=(1, 2))) / 2,
        thumbs[:, :, :half].mean(axis=(1, 2)) - thumbs[:, :, half:].mean(axis=(1, 2)),
        thumbs[:, :half].mean(axis=(1, 2)) - thumbs[:, half:].mean(axis=(1, 2)),
    ]
    waves = fft.dctn(thumbs, axes=(1, 2), norm="ortho")[:, :_WAVES, :_WAVES].reshape(len(thumbs), -1)[:, 1:]
    return np.column_stack([*named, waves]).astype(np.float32)


def _flat(thumbs: Array) -> Floats:
    """``(n, 4096)`` to ``(n, 16, 16)``: means of four by four."""
    return np.asarray(thumbs.reshape(-1, DEPTH, SIDE // DEPTH, DEPTH, SIDE // DEPTH).mean(axis=(2, 4), dtype=np.float32))


def _projected(thumbs: Array) -> Floats:
    """``(n, 4096)`` of volumes ``(16, 16, 16)`` to their mean along the slices, ``(n, 16, 16)``."""
    return np.asarray(thumbs.reshape(-1, DEPTH, DEPTH, DEPTH).mean(axis=1, dtype=np.float32))
