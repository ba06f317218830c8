"""One configuration by grouped cross-validation: folds side by side in threads, ended early where it is hopeless or too slow."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import threadpoolctl

from medloop.families import _heads, _quality
from medloop.families._heads import Spec
from medloop.families._tables import Ready
from medloop.types import Array, Floats, Integers, Target, TargetKind


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """Training cases as heads see them. ``values``: numbers standardised. ``fold`` and ``groups``: ``(n,)``."""

    target: Target
    values: Array
    groups: Integers
    fold: Integers
    seed: int
    threads: int = 1
    clock: Callable[[], float] = time.monotonic

    @property
    def count(self) -> int:
        """Number of folds."""
        return int(self.fold.max()) + 1


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """What became of a configuration. ``state``: ``complete``, ``hopeless``, ``too slow``. ``ranks``: AUC (or R squared) of the
    folds done. ``scores``: the quality of each fold, empty unless complete. ``raw``: ``(n, K)`` out-of-fold scores."""

    spec: Spec
    state: str
    seconds: float
    ranks: tuple[float, ...] = ()
    scores: tuple[float, ...] = ()
    raw: Floats | None = field(default=None, repr=False)

    @property
    def complete(self) -> bool:
        """Whether every fold was done and says something."""
        return self.state == "complete" and bool(np.isfinite(self.score))

    @property
    def score(self) -> float:
        """The mean quality over folds."""
        known = [each for each in self.scores if not np.isnan(each)]
        return float(np.mean(known)) if known else float("-inf")


def columns(target: Target) -> int:
    """Columns of raw scores: one for binary targets and numbers, otherwise one a class."""
    return len(target.classes) if target.kind in (TargetKind.MULTICLASS, TargetKind.MULTILABEL) else 1


def cross_validate(
    problem: Problem,
    spec: Spec,
    tables: Ready,
    *,
    hopeless: Callable[[list[float]], bool] = lambda ranks: False,
    late: Callable[[float], bool] = lambda seconds: False,
) -> Trial:
    """Out-of-fold scores of a configuration. ``hopeless(ranks so far)`` and ``late(seconds the rest will take)`` end it early."""
    ready = {position: tables[position] for position in spec.features}
    start = problem.clock()
    raw = np.full((len(problem.values), columns(problem.target)), np.nan)
    ranks: list[float] = []

    def one(number: int) -> float:
        held = np.flatnonzero(problem.fold == number)
        seen = np.flatnonzero(problem.fold != number)
        head = _heads.learn(spec, ready, seen, problem.values[seen], problem.target, problem.seed)
        raw[held] = head.raw(ready, held)
        return _quality.ranking(problem.target, problem.values[held], raw[held])

    with ThreadPoolExecutor(problem.threads, initializer=_alone) as pool:
        for first in range(0, problem.count, problem.threads):
            wave = range(first, min(first + problem.threads, problem.count))
            ranks.extend(pool.map(one, wave))
            spent, left = problem.clock() - start, problem.count - len(ranks)
            if left and hopeless(ranks):
                return Trial(spec, "hopeless", spent, tuple(ranks))
            if left and late(spent / len(ranks) * left):
                return Trial(spec, "too slow", spent, tuple(ranks))
    scores = _quality.fold_scores(problem.target, problem.values, raw, problem.fold, problem.groups)
    return Trial(spec, "complete", problem.clock() - start, tuple(ranks), tuple(scores.tolist()), raw)


def _alone() -> None:
    """OpenMP counts threads for each thread anew: folds side by side must not each take every core."""
    threadpoolctl.threadpool_limits(1, user_api="openmp")
