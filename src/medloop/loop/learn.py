"""Learn a model from labelled images and judge it honestly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from medloop import labels, prep, recipes, registry
from medloop.compute import Compute
from medloop.compute.memory import PeakMemory
from medloop.dataset import Options, build, rows
from medloop.errors import InputError
from medloop.evaluation.evidence import CurvePoint
from medloop.loop._clock import Clock
from medloop.loop._curve import learning_curve
from medloop.loop._dry_run import foresee
from medloop.loop._intake import Means, Seen, collect, look
from medloop.loop._protocols import Lesson, Outcome, again, held_out, out_of_fold
from medloop.loop._runs import new_folder
from medloop.loop._telling import Asked, tell_run
from medloop.progress import QUIET, Progress
from medloop.requests import DryRunResult, LearnRequest, LearnResult, listed, seconds_of
from medloop.types import Dataset, Recipe
from medloop.workspace import Workspace, ready_for

_CURVE_SHARE = 0.93
_TARGETS = ("classes",)


def learn(workspace: Workspace, request: LearnRequest, tell: Progress = QUIET) -> LearnResult | DryRunResult:
    """Split by patient, prepare, search within the budget, judge, save a model, write a report.

    Raises `InputError` for wrong input or flags, and `Refused` for a leak into the test split or too few examples.
    """
    clock = Clock(seconds_of(request.budget))
    recipe = _recipe(request)
    options = Options.of(request)
    run = new_folder(workspace, request.out, "runs", recipe.name)
    with PeakMemory() as memory, Compute(request.workers) as compute:
        means = Means(workspace=workspace, compute=compute, clock=clock, tell=tell)
        if request.dry_run:
            return foresee(request, recipe, means)
        workspace.ready()
        ready_for(run)
        collection = collect(request.src, request.images, means)
        labelled = labels.read(collection, request)
        seen = look([case.images[0] for case in labelled.cases], lambda refs: recipe.preparation or prep.plan(refs), means)
        dataset, findings = build(labelled, seen.survey, seen.pairs, options)
        for note in findings.notes:
            tell.say(note)
        lesson = _lesson(dataset, seen, replace(recipe, preparation=seen.steps), means)
        outcome = out_of_fold(lesson, clock, request.folds) if request.folds else held_out(lesson, clock)
        with clock.stage("curve"):
            curve = _curve(lesson, outcome, clock)
        asked = Asked(request=request, run=run, labelled=labelled, seen=seen, findings=findings, unused=len(collection.rejected))
        return tell_run(asked, lesson, outcome, curve, clock, memory)


def _recipe(request: LearnRequest) -> Recipe:
    """The recipe asked for, with the request's seed. Raises `InputError` for a name or target that is not there."""
    for target in listed(request.targets):
        if target not in _TARGETS:
            raise InputError(
                "unknown-target",
                got=f"'{target}' cannot be learnt.",
                allowed=", ".join(_TARGETS) + " (also numbers, where the label column holds numbers).",
                fix="Write --targets classes.",
            )
    recipe = recipes.load(request.recipe or "classical")
    registry.load("families", recipe.family).check(recipe.parameters)
    return recipe if request.seed == 0 else replace(recipe, seed=request.seed)


def _lesson(dataset: Dataset, seen: Seen, recipe: Recipe, means: Means) -> Lesson:
    if seen.survey.arrays is None:
        raise ValueError("nothing was prepared")
    return Lesson(
        dataset=dataset,
        arrays=seen.survey.arrays.select(rows(dataset, seen.survey)),
        recipe=recipe,
        cache=means.workspace.cache,
        compute=means.compute,
        tell=means.tell,
    )


def _curve(lesson: Lesson, outcome: Outcome, clock: Clock) -> tuple[CurvePoint, ...]:
    """The learning curve in what is left of the budget."""
    dataset = lesson.dataset
    train = dataset.indices("train", "val") if outcome.fold is None else np.arange(len(dataset.cases))
    return learning_curve(again(lesson, outcome.fitted.recipe), train, clock.deadline(_CURVE_SHARE))
