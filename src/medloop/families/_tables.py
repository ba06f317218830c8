"""Feature tables of a job's cases: computed once, kept on disk, with what they will cost known beforehand.

With a cache, a table is computed for every image of the job's arrays, with a state learnt from the training cases only: the
held-out cases, whose features are needed afterwards anyway, then cost nothing, and folds of one dataset share the tables of
features that learn nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medloop import features
from medloop.compute import Compute
from medloop.errors import unknown_name
from medloop.families._job import FitJob
from medloop.features import Block, Feature, State
from medloop.prepared.arrays import PreparedArrays
from medloop.progress import QUIET, Progress
from medloop.types import Array, Floats, Integers

BLOCK = 4096
"""Rows read at a time."""
_PROBE = (1, 3, 8)
_PROBE_S = 0.5
_SHARE = 0.125


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Features ``(N, D)``, most often mapped from disk, of which the rows ``index`` are meant. ``blocks``: its columns by name
    (empty where they have none)."""

    values: Floats
    index: Integers
    blocks: tuple[Block, ...] = ()

    def __len__(self) -> int:
        return len(self.index)

    @property
    def width(self) -> int:
        """Numbers an image."""
        return int(self.values.shape[1])

    def take(self, rows: Integers, wanted: Sequence[str] = ()) -> Floats:
        """A copy ``(n, D)`` of rows of this table: of all columns, or of the blocks that are wanted.

        Raises `InputError` for a block that is not there.
        """
        found = self.values[self.index[rows]]
        return np.concatenate([found[:, place] for place in self._places(wanted)], axis=1) if wanted and self.blocks else found

    def widths(self, wanted: Sequence[str] = ()) -> list[int]:
        """Columns of each block that is wanted; of all together where they have no names."""
        return [place.stop - place.start for place in self._places(wanted)] if self.blocks else [self.width]

    def _places(self, wanted: Sequence[str]) -> list[slice]:
        names = [block.name for block in self.blocks]
        if unknown := [name for name in wanted if name not in names]:
            raise unknown_name("block of columns", unknown[0], names)
        ends = np.cumsum([block.width for block in self.blocks], dtype=int).tolist()
        places = [slice(end - block.width, end) for block, end in zip(self.blocks, ends, strict=True)]
        return [place for name, place in zip(names, places, strict=True) if not wanted or name in wanted]


Ready = Mapping[int, Table]
"""Tables by their feature's position."""


def table(
    arrays: PreparedArrays,
    indices: Integers,
    feature: Feature,
    state: State,
    compute: Compute,
    cache: Path | None,
    tell: Progress = QUIET,
) -> Table:
    """The features of ``indices``; with a cache those of all images are computed, unless few of them are wanted."""
    wanted = computed(arrays, indices, cache)
    values = features.table(arrays, wanted, feature, state=state, compute=compute, cache=cache, tell=tell)
    return Table(values, indices if wanted is not indices else np.arange(len(indices)), feature.blocks(state))


def computed(arrays: PreparedArrays, indices: Integers, cache: Path | None) -> Integers:
    """The images whose features are computed when those of ``indices`` are wanted."""
    whole = cache is not None and len(indices) >= _SHARE * len(arrays)
    return np.arange(len(arrays)) if whole else indices


def take(tables: Ready, positions: tuple[int, ...], rows: Integers, wanted: Sequence[str] = ()) -> Floats:
    """Rows of several tables side by side, ``(n, D)``: of all columns, or of the blocks that are wanted."""
    parts = [tables[each].take(rows, wanted) for each in positions]
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


def blocks(rows: Integers) -> Iterator[Integers]:
    """Rows a few thousand at a time."""
    for start in range(0, len(rows), BLOCK):
        yield rows[start : start + BLOCK]


class Tables(Mapping[int, Table]):
    """Tables of the job's training cases by position in ``features``, computed when first asked for."""

    def __init__(self, job: FitJob, chosen: tuple[Feature, ...]) -> None:
        self.job, self.features = job, chosen
        self.states: dict[int, dict[str, Array]] = {}
        self.seconds = 0.0
        self._ready: dict[int, Table] = {}
        self._took: dict[int, float] = {}
        self._probes: dict[int, tuple[float, int]] = {}

    def __getitem__(self, position: int) -> Table:
        if position not in self._ready:
            job, feature, start = self.job, self.features[position], self.job.clock()
            state = self._state(position)
            self._ready[position] = table(job.arrays, np.asarray(job.train), feature, state, job.compute, job.cache, job.tell)
            self._took[position] = job.clock() - start
            self.seconds += self._took[position]
        return self._ready[position]

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.features)))

    def __len__(self) -> int:
        return len(self.features)

    def expected(self, position: int) -> float:
        """About how many seconds the table still takes: 0 where it is there, else from a few images."""
        return 0.0 if position in self._ready else self._probe(position)[0]

    def width(self, position: int, wanted: Sequence[str] = ()) -> int:
        """Numbers an image, of the blocks that are wanted, known without computing the table."""
        if wanted and (named := self.blocks(position)):
            return sum(block.width for block in named if block.name in wanted)
        return self._ready[position].width if position in self._ready else self._probe(position)[1]

    def add(self, feature: Feature) -> int:
        """The position of a feature, new or there already."""
        if feature not in self.features:
            self.features = (*self.features, feature)
        return self.features.index(feature)

    def took(self, position: int) -> float:
        """Seconds that computing the table took; 0 where it was there or has not been computed."""
        return self._took.get(position, 0.0)

    def blocks(self, position: int) -> tuple[Block, ...]:
        """The columns by name of a feature that is not learnt from the images; empty where they have no names."""
        feature = self.features[position]
        return () if feature.source(self.job.arrays) is None else feature.blocks(self._state(position))

    def _state(self, position: int) -> dict[str, Array]:
        if position not in self.states:
            job = self.job
            self.states[position] = features.fit(
                job.arrays,
                job.train,
                self.features[position],
                seed=job.recipe.seed,
                compute=job.compute,
                cache=job.cache,
                tell=job.tell,
            )
        return self.states[position]

    def _probe(self, position: int) -> tuple[float, int]:
        if position not in self._probes:
            job, feature = self.job, self.features[position]
            count = min(sum(_PROBE), len(job.train))
            few = np.asarray(job.train)[np.linspace(0, len(job.train) - 1, count).astype(int)]
            start = job.clock()
            if feature.source(job.arrays) is None:
                state = feature.module.fit(job.arrays, few, feature.params, job.recipe.seed, job.compute)
                learning = 3 * (job.clock() - start)
            else:
                state, learning = self._state(position), 0.0
                features.extract(job.arrays.take(few[:1]), feature, state)
            each, width = self._each(feature, state, few)
            wanted = computed(job.arrays, np.asarray(job.train), job.cache)
            seconds = learning + 1.2 * each * len(wanted) / max(1, job.compute.workers)
            if features.cached(job.arrays, wanted, feature, state=state, cache=job.cache):
                seconds = 0.0
            self._probes[position] = (seconds, width)
        return self._probes[position]

    def _each(self, feature: Feature, state: State, few: Integers) -> tuple[float, int]:
        """Seconds and numbers an image: from one, from some more while that is quick."""
        first, seconds, width = 0, 0.0, 0
        for size in _PROBE:
            some = few[first : first + size]
            if len(some) == 0 or seconds * size > _PROBE_S:
                break
            start = self.job.clock()
            width = features.extract(self.job.arrays.take(some), feature, state).shape[1]
            first, seconds = first + size, (self.job.clock() - start) / len(some)
        return seconds, width
