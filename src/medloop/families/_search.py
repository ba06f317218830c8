"""The search: known-good configurations first, then a tree-structured Parzen estimator (Optuna), until the time is used well.

A trial starts only if it is expected to end, with the final fit after it, before the deadline. What a trial costs is learnt from
the trials before it. Nothing but the job's training cases is looked at.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import optuna
from optuna.trial import TrialState

from medloop import features, registry
from medloop.errors import InputError, unknown_name
from medloop.families._cross import Problem, Trial, cross_validate
from medloop.families._estimators import suiting
from medloop.families._folds import FOLDS
from medloop.families._heads import Spec
from medloop.families._job import FitJob
from medloop.families._space import Guess, Space, first_guesses, telling_first
from medloop.families._tables import Tables
from medloop.features import Block, Feature
from medloop.progress import Tick

PATIENCE = 30
"""The search ends after so many trials without a better one."""
HEADS = 3
"""At most so many heads are averaged."""
WIDEST = 24_000
"""Features of more numbers an image than this are left out."""
_FEATURES_SHARE, _ASKING_SHARE = 0.4, 0.1
_RESERVE, _LEAST = 0.08, 1.0
_HOPELESS = 0.04
_RATES = {"logistic": 5e-10, "ridge": 2e-10, "linear-svm": 5e-10, "rbf-svm": 5e-10, "boosting": 3e-9}
_RATE = 8e-9
_MOST_TRIALS, _ENDLESS = 300, 86_400.0


def features_of(job: FitJob) -> tuple[Feature, ...]:
    """The features that the recipe names, or every choice of every registered feature that suits the images."""
    if job.recipe.parameters.get("features"):
        return tuple(features.feature(each["name"], each.get("params")) for each in job.recipe.parameters["features"])
    found = tuple(
        Feature(name, params)
        for name in registry.names("features")
        if (module := registry.load("features", name)).suits(job.arrays)
        for params in module.CHOICES
    )
    if not found:
        raise InputError(
            "no-feature",
            got=f"No feature suits images of {job.arrays.shape}.",
            allowed="Images of at least a few pixels a side.",
            fix="Prepare the images at a larger size.",
        )
    return found


def estimators_of(job: FitJob) -> tuple[str, ...]:
    """The estimators that the search may use."""
    fitting = suiting(job.dataset.target.kind)
    wanted = tuple(job.recipe.parameters.get("estimators") or fitting)
    if wrong := [name for name in wanted if name not in fitting]:
        raise unknown_name("estimator", wrong[0], fitting)
    return wanted


@dataclass(slots=True)
class Costs:
    """Seconds of one fit, from its size and from what fits of that estimator took before."""

    rates: dict[str, list[float]] = field(default_factory=dict)

    def expected(self, spec: Spec, rows: int, width: int, classes: int) -> float:
        """Expected seconds of one fit."""
        seen = self.rates.get(spec.estimator)
        rate = 1.3 * float(np.median(seen[-5:])) if seen else _RATES.get(spec.estimator, _RATE)
        return rate * work(spec, rows, width, classes)

    def learn(self, spec: Spec, rows: int, width: int, classes: int, seconds: float) -> None:
        """One fit took so long."""
        self.rates.setdefault(spec.estimator, []).append(seconds / work(spec, rows, width, classes))


def work(spec: Spec, rows: int, width: int, classes: int) -> float:
    """About how many operations one fit is, in units that differ from estimator to estimator by a small factor."""
    inside = min(width, spec.components) if spec.components else width
    reading = 20.0 * rows * width * (20 if spec.components else 1)
    if spec.estimator == "rbf-svm":
        return reading + classes * float(rows) ** 2 * (50 + inside)
    if spec.estimator in ("extra-trees", "random-forest"):
        return reading + float(spec.params.get("trees", 200)) * rows * math.log2(rows + 2) * math.sqrt(inside) * 2
    if spec.estimator == "boosting":
        return reading + float(spec.params.get("steps", 100)) * classes * (2e5 + 4.0 * rows * inside)
    return reading + rows * inside * 300.0 * (classes if spec.estimator == "linear-svm" else 1)


class Guide(Protocol):
    """What a search tries: first what the answers so far suggest, then guesses, then what the sampler draws from a space."""

    def opening(self) -> Generator[Spec, Trial | None, None]:
        """Configurations one by one; each is answered by its trial, or by None where there is no time for it."""
        ...

    def guesses(self, search: Search) -> list[Guess]:
        """What the sampler begins with."""
        ...

    def spec(self, asked: Any) -> Spec | None:
        """The configuration of an Optuna trial, or None where it means nothing."""
        ...

    def dear(self, spec: Spec) -> tuple[float, ...]:
        """What makes its features worth avoiding where others are as good, as `medloop.families._choice.choose` compares it."""
        ...


class Registered:
    """The guide of generation 1: any of several features, each in one of its choices."""

    def __init__(self, job: FitJob, tables: Tables) -> None:
        self.job = job
        self.space = Space(tables.features, estimators_of(job), len(job.train))

    def opening(self) -> Generator[Spec, Trial | None, None]:
        """Nothing: the guesses are known beforehand."""
        yield from ()

    def guesses(self, search: Search) -> list[Guess]:
        """Configurations known to do well on such images."""
        return first_guesses(self.space, self.job.arrays, search.affordable_features(self.space).__contains__)

    def spec(self, asked: Any) -> Spec | None:
        """The configuration of an Optuna trial, or None where it has no feature."""
        return self.space.spec(asked)

    def dear(self, spec: Spec) -> tuple[float, ...]:
        """No more than how many there are."""
        del spec
        return ()


class Search:
    """One search; `run` gives the trials."""

    def __init__(self, job: FitJob, problem: Problem, tables: Tables, guide: Guide) -> None:
        self.job, self.problem, self.tables, self.guide = job, problem, tables, guide
        self.costs, self.trials = Costs(), list[Trial]()
        self.most = int(job.recipe.parameters.get("trials", _MOST_TRIALS))
        self.start = job.clock()
        self.total = min(max(0.0, job.deadline - self.start), _ENDLESS)

    def run(self) -> list[Trial]:
        """Trials in order, at least one of them complete."""
        seen: dict[str, Trial] = {}
        with self.job.tell.task("search", None) as tick:
            self._open(seen, tick)
            study = self._study()
            for _ in range(4 * self.most):
                if self._ended():
                    break
                asked = study.ask()
                spec = self.guide.spec(asked)
                trial = None if spec is None else self._answer(spec, seen, tick)
                if trial is not None and trial.complete:
                    study.tell(asked, trial.score)
                else:
                    study.tell(asked, state=TrialState.PRUNED)
        return self.trials

    def _open(self, seen: dict[str, Trial], tick: Tick) -> None:
        """What the guide wants to know first, while there is time."""
        asking = self.guide.opening()
        spec = next(asking, None)
        while spec is not None and not self._ended():
            try:
                spec = asking.send(self._answer(spec, seen, tick))
            except StopIteration:
                return

    def _answer(self, spec: Spec, seen: dict[str, Trial], tick: Tick) -> Trial | None:
        """The trial of a configuration, or None where there is no time for it."""
        if repr(spec) not in seen:
            if self.best is not None and self._unaffordable(spec):
                return None
            seen[repr(spec)] = self._try(spec)
            tick(1, f"best {self.best.score:.3f}" if self.best else "")
        return seen[repr(spec)]

    def _ended(self) -> bool:
        return self.best is not None and (len(self.trials) >= self.most or self._used_up())

    @property
    def best(self) -> Trial | None:
        """The best complete trial so far."""
        return max((trial for trial in self.trials if trial.complete), key=lambda trial: trial.score, default=None)

    def _study(self) -> optuna.Study:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sampler = optuna.samplers.TPESampler(seed=self.job.recipe.seed, n_startup_trials=12)
        study = optuna.create_study(direction="maximize", sampler=sampler)
        for guess in self.guide.guesses(self):
            study.enqueue_trial(guess)
        return study

    def affordable_features(self, space: Space) -> set[str]:
        """Features whose first choice fits into the time, the most telling first; where none does, the quickest.

        Once a tenth of the time has gone into finding out, those not asked yet are left to later trials.
        """
        firsts = {name: space.choices[name][0] for name in sorted(space.choices, key=telling_first)}
        costs, kept, spent = dict[str, float](), set[str](), 0.0
        for name, place in firsts.items():
            if kept and self.job.clock() - self.start > _ASKING_SHARE * self.total:
                break
            if not self._narrow(place):
                continue
            costs[name] = self.tables.expected(place)
            if spent + costs[name] < _FEATURES_SHARE * self.total:
                kept.add(name)
                spent += costs[name]
        return kept or {min(costs or firsts, key=lambda name: costs.get(name, 0.0))}

    def _narrow(self, position: int) -> bool:
        return self.tables.width(position) <= WIDEST

    def _try(self, spec: Spec) -> Trial:
        trial = cross_validate(self.problem, spec, self.tables, hopeless=self._hopeless, late=self._late)
        self.costs.learn(spec, *self._size(spec), self._once(trial))
        self.trials.append(trial)
        return trial

    def _size(self, spec: Spec) -> tuple[int, int, int]:
        width = sum(self.tables.width(each, spec.blocks) for each in spec.features)
        count = self.problem.count
        return len(self.problem.values) * (count - 1) // count, width, max(1, len(self.problem.target.classes) - 1)

    def _once(self, trial: Trial) -> float:
        """Seconds of one fit, alone."""
        folds = max(1, len(trial.ranks))
        return trial.seconds / math.ceil(folds / self.problem.threads)

    def _unaffordable(self, spec: Spec) -> bool:
        """Whether features, folds and the final fit would pass the deadline, or a feature is too wide."""
        computing = sum(self.tables.expected(each) for each in spec.features)
        if computing > 0 and (computing > _FEATURES_SHARE * self.left or not all(map(self._narrow, spec.features))):
            return True
        once = self.costs.expected(spec, *self._size(spec))
        waves = math.ceil(self.problem.count / self.problem.threads)
        return computing + (waves + 1.5) * once > self.left - self._reserve()

    def _reserve(self) -> float:
        """Seconds kept for the final fit of several heads, their ONNX, calibration and thresholds."""
        best = sorted((trial for trial in self.trials if trial.complete), key=lambda trial: -trial.score)[:HEADS]
        return _LEAST + _RESERVE * self.total + 1.5 * sum(self._once(trial) for trial in best)

    @property
    def left(self) -> float:
        """Seconds to the deadline."""
        return self.job.deadline - self.job.clock()

    def _late(self, seconds: float) -> bool:
        return self.best is not None and seconds > self.left - self._reserve()

    def _hopeless(self, ranks: list[float]) -> bool:
        best = self.best
        if best is None:
            return False
        gap = np.asarray(best.ranks[: len(ranks)]) - np.asarray(ranks)
        return bool(np.nanmean(gap) > _HOPELESS) if np.isfinite(gap).any() else False

    def _used_up(self) -> bool:
        best = self.best
        return self.left < self._reserve() or (best is not None and len(self.trials) - self.trials.index(best) > PATIENCE)


def least_seconds(
    job: FitJob, chosen: Sequence[Feature], read: Callable[[Sequence[Block]], tuple[str, ...]] = lambda blocks: ()
) -> float:
    """About how many seconds the first of the features and one linear model on it take, folds and final fit included.

    ``read``: of a feature whose columns have names, those that the model reads (empty: all).
    """
    tables = Tables(job, tuple(sorted(chosen, key=lambda each: telling_first(each.name))[:1]))
    rows, classes = len(job.train), max(1, len(job.dataset.target.classes) - 1)
    count = int(job.recipe.parameters.get("folds", FOLDS))
    spec = Spec((0,), "logistic", blocks=read(tables.blocks(0)))
    return tables.expected(0) + (count + 1) * Costs().expected(spec, rows, tables.width(0, spec.blocks), classes)


def search(job: FitJob, problem: Problem, tables: Tables, guide: Guide | None = None) -> list[Trial]:
    """Trials in order; at least one is complete, whatever the deadline. Without a ``guide``: as in generation 1."""
    return Search(job, problem, tables, guide or Registered(job, tables)).run()
