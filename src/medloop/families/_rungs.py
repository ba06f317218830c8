"""Rungs of the ladder: families from cheap to dear, each climbed under its share of the time or left out for a reason."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType

import numpy as np

from medloop import registry
from medloop.errors import MedloopError
from medloop.families import _quality
from medloop.families._choice import beats
from medloop.families._folds import refuse_few
from medloop.families._heads import standardised
from medloop.families._job import FitJob, Fitted
from medloop.types import Array, Floats, Integers, Json, Recipe, Target

_ENDLESS = 86_400.0
_HOPELESS, _ERRORS = 0.02, 2.0


@dataclass(frozen=True, slots=True, eq=False)
class Rung:
    """A family with its recipe's parameters, and its share of the time. Given less than ``least_s`` it is not even asked, and less
    than ``times`` what it takes at the very least is not worth its while."""

    family: str
    parameters: Mapping[str, Json]
    share: float = 1.0
    least_s: float = 0.0
    times: float = 1.0

    @property
    def how(self) -> str:
        """In which way the family learns, where it has several."""
        return str(self.parameters.get("how", ""))

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.family} ({self.how})" if self.how else self.family

    @property
    def module(self) -> ModuleType:
        """The family."""
        return registry.load("families", self.family)

    def job(self, job: FitJob, deadline: float) -> FitJob:
        """The same job for this rung."""
        recipe = dataclasses.replace(job.recipe, family=self.family, parameters=self.parameters)
        return dataclasses.replace(job, recipe=recipe, deadline=deadline)

    def least_seconds(self, job: FitJob) -> float:
        """About how long it takes to be of use; 0 for a family that does not say. Raises what the family raises."""
        asked = getattr(self.module, "least_seconds", None)
        return 0.0 if asked is None else self.times * float(asked(self.job(job, job.deadline)))


@dataclass(frozen=True, slots=True, eq=False)
class Climbed:
    """What became of a rung. ``fitted`` None: left out, for ``reason``. ``scores``: the quality of each fold."""

    rung: Rung
    seconds: float
    reason: str = ""
    fitted: Fitted | None = None
    scores: Floats | None = None

    @property
    def done(self) -> Fitted:
        """What it gave. Raises `ValueError` where it was left out."""
        if self.fitted is None:
            raise ValueError("a rung that was left out has no model")
        return self.fitted

    @property
    def quality(self) -> Floats:
        """`scores`. Raises `ValueError` where it was left out."""
        if self.scores is None:
            raise ValueError("a rung that was left out has no scores")
        return self.scores


def climb(job: FitJob, rungs: Sequence[Rung]) -> list[Climbed]:
    """Every rung in order, the first whatever the time. Raises what the first raised where none could be climbed, `Refused` where
    there are too few cases for any."""
    refuse_few(job.dataset.target, job.values, job.groups)
    plan = _Plan(job, rungs)
    found: list[Climbed] = []
    errors: list[MedloopError] = []
    for number, rung in enumerate(rungs):
        known = [each for each in found if each.fitted is not None]
        reason = _not_worth_it(known) or (plan.against(number) if known else "")
        if reason:
            found.append(Climbed(rung, 0.0, reason))
            continue
        share = plan.share(number)
        job.tell.say(f"Rung {number + 1} of {len(rungs)}: {rung.name}")
        begun = job.clock()
        try:
            fitted: Fitted = rung.module.fit(rung.job(job, begun + plan.left * share))
        except MedloopError as error:
            errors.append(error)
            found.append(Climbed(rung, job.clock() - begun, f"{error.got} {error.fix}".strip()))
            continue
        found.append(Climbed(rung, job.clock() - begun, "", fitted, qualities(job, fitted.out_of_fold.raw, _fold(found, fitted))))
    if len(errors) == len(found):
        raise errors[0]
    return found


class _Plan:
    """What each rung needs, asked once and not for less time than it would look at (asking costs time), and what it is given."""

    def __init__(self, job: FitJob, rungs: Sequence[Rung]) -> None:
        self.job, self.rungs = job, rungs
        self._asked: dict[int, float | str] = {}
        self._errors: dict[int, MedloopError] = {}
        self._check_start()

    @property
    def left(self) -> float:
        """Seconds until all should be there."""
        return min(max(0.0, self.job.deadline - self.job.clock()), _ENDLESS)

    def needs(self, number: int, given: float) -> float | str:
        """Seconds at the very least, or why the rung cannot be climbed. Given less than its ``least_s`` it is not asked."""
        rung = self.rungs[number]
        if number not in self._asked:
            if self.left == 0:
                return np.inf
            if given < rung.least_s:
                return rung.least_s
            try:
                self._asked[number] = max(rung.least_s, rung.least_seconds(self.job))
            except MedloopError as error:
                self._errors[number] = error
                self._asked[number] = f"{error.got} {error.fix}".strip()
        return self._asked[number]

    def share(self, number: int) -> float:
        """The part of the time left that this rung may take: the rest is for those after it that may fit."""
        own, later = self.rungs[number].share, list(range(number + 1, len(self.rungs)))
        whole = own + sum(self.rungs[each].share for each in later)
        later = [each for each in later if self._may_fit(each, whole)]
        return own / (own + sum(self.rungs[each].share for each in later))

    def against(self, number: int) -> str:
        """Why the rung is not climbed with the time left; empty where it is."""
        given = self.left * self.share(number)
        needed = self.needs(number, given)
        if isinstance(needed, str):
            return needed
        if np.isinf(needed):
            return "No time was left for it."
        return f"Too little time: it takes at least {needed:.0f} s, and {given:.0f} s were left for it." if needed > given else ""

    def _check_start(self) -> None:
        """Raises before any work what those say that were to start from another network, where none of them can."""
        starting = [number for number, rung in enumerate(self.rungs) if number and "from" in rung.parameters]
        for number in starting:
            self.needs(number, self.left)
        if starting and all(number in self._errors for number in starting):
            raise self._errors[starting[0]]

    def _may_fit(self, number: int, whole: float) -> bool:
        given = self.left * self.rungs[number].share / whole
        needed = self.needs(number, given)
        return not isinstance(needed, str) and needed <= given


def qualities(job: FitJob, raw: Floats, fold: Integers) -> Floats:
    """The quality of each fold, ``(folds,)``, of out-of-fold scores ``(n, K)`` for the job's training cases."""
    target: Target = job.dataset.target
    values, mean, deviation = standardised(target, job.values)
    return _quality.fold_scores(target, values, (raw - mean) / deviation, fold, job.groups)


def margin(better: Floats, worse: Floats) -> tuple[float, float]:
    """The mean difference over folds, and its standard error."""
    gain = (better - worse)[np.isfinite(better - worse)]
    return float(np.mean(gain)), float(np.std(gain, ddof=1) / np.sqrt(len(gain)))


def mean(scores: Array) -> float:
    """The quality over folds."""
    return float(np.nanmean(scores))


def best_of(climbed: Sequence[Climbed]) -> Climbed:
    """The one of the highest quality."""
    return max(climbed, key=lambda each: mean(_scores(each)))


def _scores(climbed: Climbed) -> Floats:
    return climbed.scores if climbed.scores is not None else np.array([-np.inf])


def _fold(found: Sequence[Climbed], fitted: Fitted) -> Integers:
    """All are compared on the folds of the first that was climbed."""
    return next((each.fitted.out_of_fold.fold for each in found if each.fitted is not None), fitted.out_of_fold.fold)


def _not_worth_it(known: Sequence[Climbed]) -> str:
    """Why to climb no further; empty where it may be worth it."""
    if not known:
        return ""
    best = _scores(best_of(known))
    error = float(np.nanstd(best, ddof=1) / np.sqrt(len(best)))
    if 1 - mean(best) <= error:
        return f"Not worth it: what could still be gained ({1 - mean(best):.3f}) is within one standard error ({error:.3f})."
    last = known[-1]
    if last.rung.how and beats(best, _scores(last)):
        gap, error = margin(best, _scores(last))
        if gap > max(_HOPELESS, _ERRORS * error):
            return f"Not worth it: {last.rung.name}, from which it starts, is {gap:.3f} ± {error:.3f} behind the best."
    return ""


def executed(fitted: Fitted) -> dict[str, Json]:
    """A member of an average, as the recipe names it."""
    recipe: Recipe = fitted.recipe
    return {"family": recipe.family, "parameters": dict(recipe.parameters)}
