"""Feature tables of the training cases: computed once, cached, with what they will cost known beforehand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from medloop import features
from medloop.families._job import FitJob
from medloop.features import Feature
from medloop.types import Array, Floats

_PROBE = 12


class Tables(Mapping[int, Floats]):
    """Tables ``(n, D)`` of the job's training cases by position in ``features``; states are learnt from training cases only."""

    def __init__(self, job: FitJob, chosen: tuple[Feature, ...]) -> None:
        self.job, self.features = job, chosen
        self.states: dict[int, dict[str, Array]] = {}
        self.seconds = 0.0
        self._rows: dict[int, Floats] = {}
        self._expected: dict[int, float] = {}

    def __getitem__(self, position: int) -> Floats:
        if position not in self._rows:
            start = self.job.clock()
            self._rows[position] = self._computed(position)
            self.seconds += self.job.clock() - start
        return self._rows[position]

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.features)))

    def __len__(self) -> int:
        return len(self.features)

    def expected(self, position: int) -> float:
        """About how many seconds the table still takes: 0 where it is there, else from a few images."""
        if position in self._rows:
            return 0.0
        if position not in self._expected:
            self._expected[position] = self._probed(position)
        return self._expected[position]

    def _computed(self, position: int) -> Floats:
        job, feature = self.job, self.features[position]
        seed, compute, cache, tell = job.recipe.seed, job.compute, job.cache, job.tell
        state = features.fit(job.arrays, job.train, feature, seed=seed, compute=compute, cache=cache, tell=tell)
        self.states[position] = state
        return features.table(job.arrays, job.train, feature, state=state, compute=compute, cache=cache, tell=tell)

    def _probed(self, position: int) -> float:
        job, feature = self.job, self.features[position]
        few = np.asarray(job.train)[np.linspace(0, len(job.train) - 1, min(_PROBE, len(job.train))).astype(int)]
        start = job.clock()
        state = feature.module.fit(job.arrays, few, feature.params, job.recipe.seed, job.compute)
        learnt = job.clock()
        features.extract(job.arrays.take(few), feature, state)
        once = job.clock() - learnt
        return 3 * (learnt - start) + 1.2 * once * len(job.train) / len(few) / max(1, job.compute.workers)
