"""Which rungs become the model, and how much each counts in an average of them.

The simplest rung within one standard error of the best comes first. Others join it while the average wins by more than its error in
what its answers cost case by case: models of different kinds seldom rank much better together, but are less often sure of what is
wrong. A rung that joins counts as much as the first; where the average does not win so, half or a third as much (stacking with
weights that are not negative: Breiman, Machine Learning 24, 1996). Equal weights come first, for those that were estimated do worse
on other data (Smith and Wallis, Oxford Bulletin of Economics and Statistics 71, 2009).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medloop.evaluation import calibration
from medloop.families import _quality
from medloop.families._averaged import averaged_raw
from medloop.families._choice import beats
from medloop.families._job import FitJob
from medloop.families._rungs import Climbed, best_of
from medloop.types import Floats, Target, TargetKind

WEIGHTS = (1.0, 1 / 2, 1 / 3)
"""How much a rung that joins may count beside the first, equal weights first."""
WORTH = 0.02
"""The share of its cost that an average must save, to be worth its time."""


@dataclass(frozen=True, slots=True, eq=False)
class Mix:
    """Rungs whose scores are averaged. ``weights``: how much each counts, the first to come 1. ``costs``: ``(n,)`` what their
    answers cost case by case."""

    climbed: tuple[Climbed, ...]
    weights: tuple[float, ...]
    costs: Floats


def chosen(job: FitJob, known: Sequence[Climbed]) -> tuple[Mix, str]:
    """What is to be the model, its rungs from simple to dear, and why there are several; all of ``known`` were climbed."""
    best = best_of(known)
    first = next(each for each in known if each is best or not beats(best.quality, each.quality))
    mix = alone = _mixed(job, (first,), (1.0,))
    while (further := _further(job, mix, known)) is not None:
        mix = further
    order = sorted(range(len(mix.climbed)), key=lambda place: known.index(mix.climbed[place]))
    mix = Mix(tuple(mix.climbed[each] for each in order), tuple(mix.weights[each] for each in order), mix.costs)
    return mix, "" if mix.costs is alone.costs else _why(job, alone, mix)


def raw_of(target: Target, climbed: Sequence[Climbed], weights: Sequence[float]) -> Floats:
    """``(n, K)`` out-of-fold scores of rungs, averaged where there are several."""
    raws = [np.asarray(each.done.out_of_fold.raw) for each in climbed]
    return averaged_raw(target, raws, weights) if len(raws) > 1 else raws[0]


def _why(job: FitJob, alone: Mix, mix: Mix) -> str:
    saved, error = _quality.gain(alone.costs, mix.costs, job.groups)
    cost = "Squared error" if job.dataset.target.kind is TargetKind.NUMBER else "Log loss"
    parts = [f"{each.rung.name} {weight / sum(mix.weights):.0%}" for each, weight in zip(mix.climbed, mix.weights, strict=True)]
    told = f"{cost} {_mean(alone):.4g} of {alone.climbed[0].rung.name} alone, {_mean(mix):.4g} of the average"
    return f"{told}: {saved:.2g} ± {error:.2g} less. It counts {', '.join(parts)}."


def _further(job: FitJob, mix: Mix, known: Sequence[Climbed]) -> Mix | None:
    """The mix with the rung more that helps most, as much of it as wins by more than its error; None where none does."""
    others = [each for each in known if each not in mix.climbed]
    for weight in WEIGHTS if others else ():
        found = [_mixed(job, (*mix.climbed, each), (*mix.weights, weight)) for each in others]
        best = min(found, key=_mean)
        saved, error = _quality.gain(mix.costs, best.costs, job.groups)
        if saved > max(error, WORTH * _mean(mix)):
            return best
    return None


def _mixed(job: FitJob, climbed: tuple[Climbed, ...], weights: tuple[float, ...]) -> Mix:
    """What the out-of-fold answers of these rungs, averaged and calibrated, cost."""
    target = job.dataset.target
    raw = raw_of(target, climbed, weights)
    calibrator = calibration.fit(target, raw, job.values, job.groups, job.recipe.seed)
    return Mix(climbed, weights, _quality.surprise(target, job.values, calibration.apply(calibrator, raw)))


def _mean(mix: Mix) -> float:
    return float(mix.costs.mean())
