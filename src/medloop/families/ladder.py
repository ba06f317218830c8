"""From cheap to dear models, the simplest that is as good as the best, or an average of different kinds where that is better.

Recipe parameters (all may be left out):

``rungs``     what is tried, in order from simple to dear: list of ``{"family", "parameters", "share"}`` (of the time)
``members``   list of ``{"family", "parameters", "weight"}``: these are averaged, each as its weight says, and nothing is compared.
              The executed recipe of an average has them; of one family chosen the executed recipe is that family's own
``folds``     of the cross-validation inside the training cases, for every rung
``trials``    at most so many trials in each rung
``from``      a file of weights, or a model's folder, whose network is the start of rungs that transfer

All rungs are judged on the same folds of the same training cases. What wins by less than one standard error of the difference wins
by luck: the simpler is kept, unless an average is better by more than its error (`medloop.families._mixing`). A rung that fails is
left out by name with its reason.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from medloop import registry
from medloop.families import _averaged, _mixing, _rows, _wanted
from medloop.families._averaged import AveragedModel, average, from_parts, to_parts
from medloop.families._job import FitJob, Fitted
from medloop.families._rungs import Rung, climb, executed, qualities
from medloop.families._wanted import Wanted, text, whole
from medloop.types import Json

__all__ = ["FAMILY", "AveragedModel", "check", "fit", "from_parts", "least_seconds", "rungs_of", "to_parts"]

FAMILY = _averaged.FAMILY
RUNGS = (
    Rung("classical", {}, 0.25),
    Rung("transfer", {"how": "frozen"}, 0.3, 5.0),
    Rung("transfer", {"how": "whole"}, 0.45, 60.0, 3.0),
)
"""What is tried where the recipe does not say. A network that cannot be trained for some three epochs is not begun; to ask what it
takes costs several seconds, so with little time it is not asked."""
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
    mix, why = _mixing.chosen(job, known)
    scores = qualities(job, _mixing.raw_of(job.dataset.target, mix.climbed, mix.weights), known[0].done.out_of_fold.fold)
    quickest = min(known, key=lambda each: each.seconds)
    rows = _rows.rows(job, found, mix.climbed, scores)
    trials = [{"rung": each.rung.name, **trial} for each in known for trial in each.done.trials]
    members = [each.done for each in mix.climbed]
    kept = members[0] if len(members) == 1 else _as_one(job, members, mix.weights)
    rows = [*rows, *_rows.of_average(job, kept, mix.climbed, why)] if len(members) > 1 else rows
    timings = {key: sum(each.done.timings[key] for each in known) for key in known[0].done.timings}
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


def _refitted(job: FitJob) -> Fitted:
    """The members as their recipes say, each under the same part of the time where it still searches."""
    members: list[Fitted] = []
    named = [_rung(each) for each in job.recipe.parameters["members"]]
    for number, member in enumerate(named):
        now = job.clock()
        fitted: Fitted = member.module.fit(member.job(job, now + max(0.0, job.deadline - now) / (len(named) - number)))
        members.append(fitted)
    return _as_one(job, members, [float(each.get("weight", 1.0)) for each in job.recipe.parameters["members"]])


def _as_one(job: FitJob, members: Sequence[Fitted], weights: Sequence[float]) -> Fitted:
    model, out_of_fold = average(job, members, weights)
    told = [executed(each) | {"weight": weight} for each, weight in zip(members, weights, strict=True)]
    recipe = dataclasses.replace(job.recipe, parameters={"members": told})
    trials = [{"member": each.model.family, **trial} for each in members for trial in each.trials]
    timings = {key: sum(each.timings[key] for each in members) for key in members[0].timings}
    return Fitted(model, out_of_fold, trials, recipe, timings, members=members)


def _rung(said: Mapping[str, Json]) -> Rung:
    return Rung(str(said["family"]), dict(said.get("parameters", {})), float(said.get("share", 1.0)))


def _tables(number: str) -> Callable[[Any], bool]:
    """Whether a value is a list of tables of families, their parameters and such a number above 0."""

    def good(value: Any) -> bool:
        if not isinstance(value, (list, tuple)) or not value or not all(isinstance(each, Mapping) for each in value):
            return False
        for each in value:
            given = each.get(number, 1.0)
            if (
                not isinstance(each.get("family"), str)
                or each["family"] == FAMILY
                or not {*each} <= {"family", "parameters", number}
            ):
                return False
            if not isinstance(each.get("parameters", {}), Mapping) or not isinstance(given, (int, float)) or not given > 0:
                return False
            registry.load("families", each["family"]).check(each.get("parameters", {}))
        return True

    return good


WANTED: Mapping[str, Wanted] = {
    "rungs": Wanted(
        'a list of tables such as {family = "classical", parameters = {}, share = 0.3}, none a ladder', _tables("share")
    ),
    "members": Wanted(
        'a list of tables such as {family = "classical", parameters = {}, weight = 0.5}, none a ladder', _tables("weight")
    ),
    "folds": whole(2),
    "trials": whole(1),
    "from": text("model"),
}
"""What the parameters may be."""
