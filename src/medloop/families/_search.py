"""The search: known-good configurations first, then a tree-structured Parzen estimator (Optuna), until the time is used well.

A trial starts only if it is expected to end, with the final fit after it, before the deadline. What a trial costs is learnt from
the trials before it. Nothing but the job's training cases is looked at.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import optuna
from optuna.trial import TrialState

from medloop import features, registry
from medloop.errors import InputError
from medloop.families._cross import Problem, Trial, cross_validate
from medloop.families._estimators import ESTIMATORS
from medloop.families._heads import Spec
from medloop.families._job import FitJob
from medloop.families._space import Space, first_guesses
from medloop.families._tables import Tables
from medloop.features import Feature

PATIENCE = 40
"""The search ends after so many trials without a better one."""
HEADS = 4
"""At most so many heads are averaged."""
_RESERVE, _LEAST = 0.06, 1.0
_HOPELESS = 0.03
_START = {"extra-trees": 2e-7, "random-forest": 4e-7, "rbf-svm": 1e-6, "boosting": 2e-8, "linear-svm": 8e-8, "logistic": 4e-8}


def features_of(job: FitJob) -> tuple[Feature, ...]:
    """The features that the recipe names, or every choice of every registered feature that suits the images."""
    if job.recipe.parameters.get("features"):
        return tuple(features.feature(each["name"], each.get("params")) for each in job.recipe.parameters["features"])
    found = [
        Feature(name, params)
        for name in registry.names("features")
        if (module := registry.load("features", name)).suits(job.arrays)
        for params in module.CHOICES
    ]
    if not found:
        raise InputError(
            "no-feature",
            got=f"No feature suits images of {job.arrays.shape}.",
            allowed="Images of at least a few pixels a side.",
            fix="Prepare the images at a larger size.",
        )
    return tuple(found)


def estimators_of(job: FitJob) -> tuple[str, ...]:
    """The estimators that the search may use."""
    number = job.dataset.target.kind.value == "number"
    fitting = tuple(name for name in ESTIMATORS if name != ("logistic" if number else "ridge"))
    wanted = job.recipe.parameters.get("estimators")
    if not wanted:
        return fitting
    if wrong := [name for name in wanted if name not in fitting]:
        raise InputError(
            "bad-recipe", got=f"The estimator '{wrong[0]}'.", allowed=", ".join(fitting) + ".", fix="Mend the recipe's estimators."
        )
    return tuple(wanted)


@dataclass(slots=True)
class Costs:
    """Seconds of a trial, from its size and from what trials of that estimator took before."""

    rates: dict[str, list[float]] = field(default_factory=dict)

    def expected(self, spec: Spec, rows: int, columns: int, classes: int) -> float:
        """Expected seconds of one fit."""
        seen = self.rates.get(spec.estimator)
        rate = float(np.median(seen[-5:])) * 1.3 if seen else _START.get(spec.estimator, 1e-6)
        return rate * _units(spec, rows, columns, classes)

    def learn(self, spec: Spec, rows: int, columns: int, classes: int, seconds: float) -> None:
        """One fit took so long."""
        self.rates.setdefault(spec.estimator, []).append(seconds / _units(spec, rows, columns, classes))


def _units(spec: Spec, rows: int, columns: int, classes: int) -> float:
    wide = min(columns, spec.components) if spec.components else columns
    step = rows * float(columns) ** 2 / 2e4 if spec.components else 0.0
    if spec.estimator == "rbf-svm":
        return step + classes * float(rows) ** 2 * (0.2 + wide / 5000)
    if spec.estimator in ("extra-trees", "random-forest"):
        return step + rows * math.log2(rows + 2) * math.sqrt(wide) * float(spec.params.get("trees", 300)) * 0.05
    if spec.estimator == "boosting":
        return step + rows * wide * float(spec.params.get("steps", 100)) * classes * 0.1
    return step + rows * wide * 30.0 * (classes if spec.estimator == "linear-svm" else 1)


class Search:
    """One search; `run` gives the trials."""

    def __init__(self, job: FitJob, problem: Problem, tables: Tables) -> None:
        self.job, self.problem, self.tables = job, problem, tables
        self.space = Space(tables.features, estimators_of(job))
        self.costs, self.trials = Costs(), list[Trial]()
        self.start = job.clock()
        self.classes = max(1, len(problem.target.classes) if len(problem.target.classes) > 2 else 1)

    def run(self) -> list[Trial]:
        """Trials in order, at least one of them complete."""
        study = self._study()
        seen: dict[str, Trial] = {}
        most = int(self.job.recipe.parameters.get("trials", 10_000))
        with self.job.tell.task("search", None) as tick:
            for _ in range(4 * most):
                if len(self.trials) >= most or self._stale():
                    break
                asked = study.ask()
                spec = self.space.spec(asked)
                if spec is None:
                    study.tell(asked, state=TrialState.PRUNED)
                    continue
                key = repr(spec)
                if key not in seen:
                    if self._unaffordable(spec) and self._best() is not None:
                        study.tell(asked, state=TrialState.PRUNED)
                        if self._over():
                            break
                        continue
                    seen[key] = self._try(spec)
                    tick(1, f"best {self._best_score():.3f}")
                trial = seen[key]
                if trial.state == "complete" and np.isfinite(trial.score):
                    study.tell(asked, trial.score)
                else:
                    study.tell(asked, state=TrialState.PRUNED)
        return self.trials

    def _study(self) -> optuna.Study:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sampler = optuna.samplers.TPESampler(seed=self.job.recipe.seed, n_startup_trials=12)
        study = optuna.create_study(direction="maximize", sampler=sampler)
        for guess in first_guesses(self.space, self.job, self.problem):
            study.enqueue_trial(guess)
        return study

    def _try(self, spec: Spec) -> Trial:
        for position in spec.features:
            _ = self.tables[position]
        trial = cross_validate(self.problem, spec, self.tables, hopeless=self._hopeless, late=self._late)
        folds = max(1, len(trial.ranks))
        share = trial.seconds / folds * min(self.problem.threads, folds)
        self.costs.learn(spec, *self._size(spec), share)
        self.trials.append(trial)
        return trial

    def _size(self, spec: Spec) -> tuple[int, int, int]:
        columns = sum(self.tables[each].shape[1] for each in spec.features)
        return len(self.problem.values) * (self.problem.count - 1) // self.problem.count, columns, self.classes

    def _unaffordable(self, spec: Spec) -> bool:
        """Whether features, folds and the final fit would pass the deadline."""
        left = self._left()
        computing = sum(self.tables.expected(each) for each in spec.features)
        if computing > 0.5 * left:
            return True
        if computing > 0:
            return computing > left - self._reserve()
        once = self.costs.expected(spec, *self._size(spec))
        waves = math.ceil(self.problem.count / self.problem.threads)
        return waves * once > left - self._reserve(2 * once)

    def _reserve(self, more: float = 0.0) -> float:
        """Seconds kept for the final fit of several heads."""
        best = sorted((t for t in self.trials if t.state == "complete"), key=lambda t: -t.score)[:HEADS]
        each = [t.seconds / self.problem.count * min(self.problem.threads, self.problem.count) for t in best]
        total = self.job.deadline - self.start
        return _LEAST + _RESERVE * max(0.0, total) + 2 * sum(each) + more

    def _left(self) -> float:
        return self.job.deadline - self.job.clock()

    def _over(self) -> bool:
        return self._left() < 1.5 * self._reserve()

    def _late(self, seconds: float) -> bool:
        return self._best() is not None and seconds > self._left() - self._reserve()

    def _best(self) -> Trial | None:
        done = [trial for trial in self.trials if trial.state == "complete"]
        return max(done, key=lambda trial: trial.score, default=None)

    def _best_score(self) -> float:
        best = self._best()
        return best.score if best else float("nan")

    def _hopeless(self, ranks: list[float]) -> bool:
        best = self._best()
        if best is None:
            return False
        gap = np.asarray(best.ranks[: len(ranks)]) - np.asarray(ranks)
        return bool(np.nanmean(gap) > _HOPELESS) if np.isfinite(gap).any() else False

    def _stale(self) -> bool:
        best = self._best()
        return best is not None and (self._over() or len(self.trials) - self.trials.index(best) > PATIENCE)


def search(job: FitJob, problem: Problem, tables: Tables) -> list[Trial]:
    """Trials in order; at least one is complete, whatever the deadline."""
    return Search(job, problem, tables).run()


def choose(problem: Problem, trials: Sequence[Trial]) -> list[Trial]:
    """The best trial."""
    done = [trial for trial in trials if trial.state == "complete"]
    return [max(done, key=lambda trial: trial.score)]
