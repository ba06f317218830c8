"""From cheap to dear models, the simplest that is as good as the best, or an average of different kinds where that is better.

Recipe parameters (all may be left out):

``rungs``     what is tried, in order from simple to dear: list of ``{"family", "parameters", "share"}`` (of the time)
``members``   list of ``{"family", "parameters"}``: these are averaged, and nothing is compared. The executed recipe of an average
              has them; of one family chosen the executed recipe is that family's own
``folds``     of the cross-validation inside the training cases, for every rung
``trials``    at most so many trials in each rung
``from``      a file of weights, or a model's folder, whose network is the start of rungs that transfer

All rungs are judged on the same folds of the same training cases. What wins by less than one standard error of the difference wins
by luck: the simpler is kept. An average must win by more than its error too, in what its answers cost case by case (log loss, of
numbers the squared error): it seldom ranks much better, but it is less often sure of what is wrong. A rung that fails is left out
by name with its reason.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from medloop import registry
from medloop.evaluation import calibration
from medloop.families import _averaged, _quality, _rows, _wanted
from medloop.families._averaged import AveragedModel, average, averaged_raw, from_parts, to_parts
from medloop.families._choice import beats
from medloop.families._job import FitJob, Fitted
from medloop.families._rungs import Climbed, Rung, best_of, climb, executed, qualities
from medloop.families._wanted import Wanted, text, whole
from medloop.types import Floats, Json, TargetKind

__all__ = ["FAMILY", "AveragedModel", "check", "fit", "from_parts", "least_seconds", "rungs_of", "to_parts"]

FAMILY = _averaged.FAMILY
RUNGS = (
    Rung("classical", {}, 0.25),
    Rung("transfer", {"how": "frozen"}, 0.3, 5.0),
    Rung("transfer", {"how": "whole"}, 0.45, 20.0),
)
"""What is tried where the recipe does not say."""
_COST = ("Log loss", "Squared error")
_WORTH = 0.02
"""The share of its cost that an average must save, to be worth its time."""
_SEARCHING = ("", "frozen")
"""Ways to learn that search, and so may be told how many trials to make."""


def check(parameters: Mapping[str, Json]) -> None:
    """Raises `InputError` for a key, a name or a value that the family cannot follow."""
    _wanted.check(parameters, WANTED)


def rungs_of(parameters: Mapping[str, Json]) -> tuple[Rung, ...]:
    """The rungs that a recipe asks for, each with the parameters that all of them share."""
    named = parameters.get("rungs")
    rungs = RUNGS if named is None else tuple(map(_rung, named))
    return tuple(dataclasses.replace(rung, parameters=_shared(rung, parameters) | dict(rung.parameters)) for rung in rungs)


def fit(job: FitJob) -> Fitted:
    """Climb within the deadline, choose, learn on all training cases. With ``members`` nothing is compared.

    Raises `Refused` where there are too few cases, `InputError` for a recipe that cannot be followed.
    """
    check(job.recipe.parameters)
    if job.recipe.parameters.get("members"):
        return _refitted(job)
    found = climb(job, rungs_of(job.recipe.parameters))
    known = [each for each in found if each.fitted is not None]
    fold = _fitted(known[0]).out_of_fold.fold
    first, chosen, why = _chosen(job, known)
    scores = qualities(job, averaged_raw(job.dataset.target, _raws(chosen)), fold) if len(chosen) > 1 else _known(first)
    quickest = min(known, key=lambda each: each.seconds)
    rows = _rows.rows(job, found, first, chosen, scores)
    trials = [{"rung": each.rung.name, **trial} for each in known for trial in _fitted(each).trials]
    members = list(map(_fitted, chosen))
    kept = members[0] if len(members) == 1 else _as_one(job, members)
    rows = [*rows, *_rows.of_average(job, kept, chosen, why)] if len(chosen) > 1 else rows
    timings = {key: sum(_fitted(each).timings[key] for each in known) for key in _fitted(known[0]).timings}
    return dataclasses.replace(kept, trials=trials, timings=timings, ladder=rows, cheapest=quickest.fitted, members=members)


def least_seconds(job: FitJob) -> float:
    """About how many seconds the first rung takes at the very least."""
    if job.recipe.parameters.get("members"):
        return 0.0
    return rungs_of(job.recipe.parameters)[0].least_seconds(job)


def _shared(rung: Rung, parameters: Mapping[str, Json]) -> dict[str, Json]:
    """What of the ladder's own parameters is said to a rung."""
    said = ["folds"]
    said += ["trials"] if rung.how in _SEARCHING else []
    said += ["from"] if rung.family == "transfer" else []
    return {key: parameters[key] for key in said if key in parameters}


def _chosen(job: FitJob, known: Sequence[Climbed]) -> tuple[Climbed, list[Climbed], str]:
    """The simplest within one standard error of the best; then others are added while the average wins by more than its error.

    The first, all of them, and why there are several.
    """
    best = best_of(known)
    first = next(each for each in known if each is best or not beats(_known(best), _known(each)))
    chosen, alone = [first], _costs(job, [first])
    costs, why = alone, ""
    while len(chosen) < len(known):
        found = [(each, _costs(job, [*chosen, each])) for each in known if each not in chosen]
        together, less = min(found, key=lambda pair: float(pair[1].mean()))
        saved, error = _quality.gain(costs, less, job.groups)
        if saved <= max(error, _WORTH * float(costs.mean())):
            break
        chosen, costs = [*chosen, together], less
        saved, error = _quality.gain(alone, costs, job.groups)
        why = f"{_COST[job.dataset.target.kind is TargetKind.NUMBER]} {alone.mean():.4g} of {first.rung.name} alone, "
        why += f"{costs.mean():.4g} of the average: {saved:.2g} ± {error:.2g} less."
    return first, sorted(chosen, key=known.index), why


def _costs(job: FitJob, members: Sequence[Climbed]) -> Floats:
    """What the out-of-fold answers of these rungs, averaged and calibrated, cost case by case."""
    target, raws = job.dataset.target, _raws(members)
    raw = averaged_raw(target, raws) if len(raws) > 1 else raws[0]
    calibrator = calibration.fit(target, raw, job.values, job.groups, job.recipe.seed)
    return _quality.surprise(target, job.values, calibration.apply(calibrator, raw))


def _refitted(job: FitJob) -> Fitted:
    """The members as their recipes say, each under the same part of the time where it still searches."""
    members: list[Fitted] = []
    named = [_rung(each) for each in job.recipe.parameters["members"]]
    for number, member in enumerate(named):
        now = job.clock()
        fitted: Fitted = member.module.fit(member.job(job, now + max(0.0, job.deadline - now) / (len(named) - number)))
        members.append(fitted)
    return _as_one(job, members)


def _as_one(job: FitJob, members: Sequence[Fitted]) -> Fitted:
    model, out_of_fold = average(job, members)
    recipe = dataclasses.replace(job.recipe, parameters={"members": [executed(each) for each in members]})
    trials = [{"member": each.model.family, **trial} for each in members for trial in each.trials]
    timings = {key: sum(each.timings[key] for each in members) for key in members[0].timings}
    return Fitted(model, out_of_fold, trials, recipe, timings, members=members)


def _rung(said: Mapping[str, Json]) -> Rung:
    return Rung(str(said["family"]), dict(said.get("parameters", {})), float(said.get("share", 1.0)))


def _fitted(climbed: Climbed) -> Fitted:
    if climbed.fitted is None:
        raise ValueError("a rung that was left out has no model")
    return climbed.fitted


def _known(climbed: Climbed) -> Floats:
    if climbed.scores is None:
        raise ValueError("a rung that was left out has no scores")
    return climbed.scores


def _raws(climbed: Sequence[Climbed]) -> list[Floats]:
    return [np.asarray(_fitted(each).out_of_fold.raw) for each in climbed]


def _tables(value: Any) -> bool:
    if not isinstance(value, (list, tuple)) or not value or not all(isinstance(each, Mapping) for each in value):
        return False
    for each in value:
        share = each.get("share", 1.0)
        if not isinstance(each.get("family"), str) or each["family"] == FAMILY or not {*each} <= {"family", "parameters", "share"}:
            return False
        if not isinstance(each.get("parameters", {}), Mapping) or not isinstance(share, (int, float)) or not share > 0:
            return False
        registry.load("families", each["family"]).check(each.get("parameters", {}))
    return True


WANTED: Mapping[str, Wanted] = {
    "rungs": Wanted('a list of tables such as {family = "classical", parameters = {}, share = 0.3}, none a ladder', _tables),
    "members": Wanted('a list of tables such as {family = "classical", parameters = {}}, none a ladder', _tables),
    "folds": whole(2),
    "trials": whole(1),
    "from": text("model"),
}
"""What the parameters may be."""
