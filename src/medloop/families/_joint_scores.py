"""Out-of-fold answers of structured targets: large ones on disk, as bytes, read again one case at a time."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medloop.evaluation.rectangles import Boxes
from medloop.families._job import FitJob, Masks
from medloop.families._joint_answers import candidates
from medloop.families._joint_tuning import Settings
from medloop.targets import masks, reconstruction
from medloop.types import Array, Floats, Integers


@dataclass(slots=True)
class Scores:
    """What networks said of the n training cases that they had not seen; ``there``: ``(n,)`` bool, of which anything was said.

    ``masks``: ``(n, K + 1, Z, Y, X)`` uint8 mapped from disk, None where none are learnt. ``boxes``: candidates of each case.
    ``measures``: ``(n, M)`` as the network says them. ``embedding``: ``(n, E)``. ``errors``: of each case the
    `medloop.targets.reconstruction.levels`.
    """

    settings: Settings
    shape: tuple[int, int, int]
    there: NDArray[np.bool_]
    masks: Array | None = None
    boxes: dict[int, Boxes] = field(default_factory=dict)
    measures: Floats | None = None
    embedding: Floats | None = None
    errors: dict[int, Floats] = field(default_factory=dict)
    _folder: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> Scores:
        return self

    def __exit__(self, *error: object) -> None:
        """What lies in a temporary folder goes."""
        self.masks = None
        if self._folder is not None:
            self._folder.cleanup()

    @staticmethod
    def of(job: FitJob, settings: Settings, folder: Path | None) -> Scores:
        """Room for the training cases; without ``folder`` in a temporary one that goes with it."""
        count, (_, *shape) = len(job.train), job.arrays.shape
        size = (shape[0], shape[1], shape[2])
        kept = None if folder is not None else tempfile.TemporaryDirectory(prefix="medloop-scores-", ignore_cleanup_errors=True)
        made = Scores(settings, size, np.zeros(count, bool), _folder=kept)
        where = Path(kept.name) if kept is not None else folder
        if settings.net.masks and where is not None:
            where.mkdir(parents=True, exist_ok=True)
            room = (count, settings.net.masks + 1, *size)
            made.masks = np.lib.format.open_memmap(where / "masks.npy", mode="w+", dtype=np.uint8, shape=room)
        made.measures = np.full((count, settings.net.measures), np.nan) if settings.net.measures else None
        made.embedding = np.full((count, settings.net.embedding), np.nan) if settings.net.embedding else None
        return made

    def put(self, rows: Integers, said: Mapping[str, Array]) -> None:
        """Keep what is said of these cases."""
        self.there[rows] = True
        if self.masks is not None:
            for row, scores in zip(rows, said["masks"], strict=True):
                self.masks[row] = masks.quantised(scores)
        if "centres" in said:
            for row, centres, sizes in zip(rows, said["centres"], said["sizes"], strict=True):
                self.boxes[int(row)] = candidates(centres, sizes, self.settings.net.stride, self.shape)
        if "errors" in said:
            self.errors |= {int(row): reconstruction.levels(each) for row, each in zip(rows, said["errors"], strict=True)}
        for name, kept in (("measures", self.measures), ("embedding", self.embedding)):
            if kept is not None:
                kept[rows] = said[name]

    def mask_cases(self, truth: Masks, rows: Integers) -> MaskCases:
        """Scores and truth of the cases that were scored and whose mask is known; ``rows``: of the training cases in the truth."""
        if self.masks is None:
            raise ValueError("no masks are learnt")
        return MaskCases(self.masks, truth, np.asarray(rows), np.flatnonzero(truth.known[rows] & self.there))


@dataclass(frozen=True, slots=True, eq=False)
class MaskCases:
    """Pairs of scores ``(K + 1, Z, Y, X)`` uint8 and truth ``(Z, Y, X)``; they may be gone through any number of times."""

    scores: Array
    truth: Masks
    rows: Integers
    known: Integers

    def __iter__(self) -> Iterator[tuple[Array, Array]]:
        for position in self.known:
            yield np.asarray(self.scores[position]), self.truth.take([self.rows[position]])[0]

    def __len__(self) -> int:
        return len(self.known)
