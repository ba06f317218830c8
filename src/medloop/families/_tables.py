"""Feature tables of a job's cases: computed once, kept on disk, with what they will cost known beforehand.

With a cache, a table is computed for every image of the job's arrays, with a state learnt from the training cases only: the
held-out cases, whose features are needed afterwards anyway, then cost nothing, and folds of one dataset share the tables of
features that learn nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medloop import features
from medloop.compute import Compute
from medloop.families._job import FitJob
from medloop.features import Feature, State
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
    """Features ``(N, D)``, most often mapped from disk, of which the rows ``index`` are meant."""

    values: Floats
    index: Integers

    def __len__(self) -> int:
        return len(self.index)

    @property
    def width(self) -> int:
        """Numbers an image."""
        return int(self.values.shape[1])

    def take(self, rows: Integers) -> Floats:
        """A copy ``(n, D)`` of rows of this table."""
        return self.values[self.index[rows]]


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
    return Table(values, indices if wanted is not indices else np.arange(len(indices)))


def computed(arrays: PreparedArrays, indices: Integers, cache: Path | None) -> Integers:
    """The images whose features are computed when those of ``indices`` are wanted."""
    whole = cache is not None and len(indices) >= _SHARE * len(arrays)
    return np.arange(len(arrays)) if whole else indices


def take(tables: Ready, positions: tuple[int, ...], rows: Integers) -> Floats:
    """Rows of several tables side by side, ``(n, D)``."""
    parts = [tables[each].take(rows) for each in positions]
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
        self._probes: dict[int, tuple[float, int]] = {}

    def __getitem__(self, position: int) -> Table:
        if position not in self._ready:
            job, feature, start = self.job, self.features[position], self.job.clock()
            state = features.fit(
                job.arrays, job.train, feature, seed=job.recipe.seed, compute=job.compute, cache=job.cache, tell=job.tell
            )
            self._ready[position] = table(job.arrays, np.asarray(job.train), feature, state, job.compute, job.cache, job.tell)
            self.states[position] = state
            self.seconds += job.clock() - start
        return self._ready[position]

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.features)))

    def __len__(self) -> int:
        return len(self.features)

    def expected(self, position: int) -> float:
        """About how many seconds the table still takes: 0 where it is there, else from a few images."""
        return 0.0 if position in self._ready else self._probe(position)[0]

    def width(self, position: int) -> int:
        """Numbers an image, known without computing the table."""
        return self._ready[position].width if position in self._ready else self._probe(position)[1]

    def _probe(self, position: int) -> tuple[float, int]:
        if position not in self._probes:
            job, feature = self.job, self.features[position]
            count = min(sum(_PROBE), len(job.train))
            few = np.asarray(job.train)[np.linspace(0, len(job.train) - 1, count).astype(int)]
            start = job.clock()
            state = feature.module.fit(job.arrays, few, feature.params, job.recipe.seed, job.compute)
            learnt = job.clock()
            each, width = self._each(feature, state, few)
            wanted = computed(job.arrays, np.asarray(job.train), job.cache)
            seconds = 3 * (learnt - start) + 1.2 * each * len(wanted) / max(1, job.compute.workers)
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
