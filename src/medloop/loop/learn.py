"""Learn a model from labelled images and judge it honestly."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from medloop import labels, registry
from medloop.compute import Compute
from medloop.compute.memory import PeakMemory
from medloop.dataset import Options, build, rows
from medloop.errors import Refused
from medloop.labels import Labelled
from medloop.loop._clock import Clock
from medloop.loop._curve import Curve, learning_curve
from medloop.loop._dry_run import foresee
from medloop.loop._further import with_further
from medloop.loop._intake import Means, Seen, collect, labels_with, look
from medloop.loop._protocols import Lesson, Outcome, held_out, out_of_fold
from medloop.loop._runs import new_folder
from medloop.loop._start import planner, recipe_for, recipe_of, structured
from medloop.loop._telling import Asked, tell_run
from medloop.progress import QUIET, Progress
from medloop.readers import Collection
from medloop.requests import DryRunResult, LearnRequest, LearnResult, seconds_of
from medloop.types import Dataset, Recipe
from medloop.workspace import Workspace, ready_for

_CURVE_SHARE = 0.93
_GRACE_S = 5.0
"""A budget that is missed by so little is tried all the same."""
Source: TypeAlias = Callable[[Means], tuple[Collection, Labelled]]
"""Where images and their labels come from: files, or the store."""


def learn(workspace: Workspace, request: LearnRequest, tell: Progress = QUIET) -> LearnResult | DryRunResult:
    """Split by patient, prepare, search within the budget, judge, save a model, write a report.

    Raises `InputError` for wrong input or flags, and `Refused` for a leak into the test split or too few examples.
    """

    def files(means: Means) -> tuple[Collection, Labelled]:
        collection = collect(request, means)
        return collection, labels.read(collection, request, labels_with(means))

    return learn_from(files, workspace, request, tell)


def learn_from(source: Source, workspace: Workspace, request: LearnRequest, tell: Progress = QUIET) -> LearnResult | DryRunResult:
    """As `learn`, from images and labels that ``source`` gives."""
    clock = Clock(seconds_of(request.budget))
    recipe = recipe_of(workspace, request)
    options = Options.of(request)
    run = new_folder(workspace, request.out, "runs", recipe.name)
    with PeakMemory() as memory, Compute(request.workers) as compute:
        means = Means(workspace=workspace, compute=compute, clock=clock, tell=tell)
        if request.dry_run:
            return foresee(request, recipe, means)
        workspace.ready()
        ready_for(run)
        collection, labelled = source(means)
        recipe = recipe_for(workspace, request, labelled)
        plan = planner(recipe, structured(request, labelled))
        seen = look([case.images[0] for case in labelled.cases], plan, means)
        dataset, findings = build(labelled, seen.survey, seen.pairs, options)
        findings.notes.extend(collection.notes)
        for note in findings.notes:
            tell.say(note)
        lesson = _lesson(dataset, seen, replace(recipe, preparation=seen.steps), means, request.device)
        lesson, lost = with_further(lesson, seen, means)
        findings.notes.extend(lost)
        _refuse_too_short(lesson, clock)
        outcome = out_of_fold(lesson, clock, request.folds) if request.folds else held_out(lesson, clock)
        with clock.stage("curve"):
            curve = _curve(lesson, outcome, clock)
        asked = Asked(request=request, run=run, labelled=labelled, seen=seen, findings=findings, unused=len(collection.rejected))
        return tell_run(asked, lesson, outcome, curve, clock, memory)


def _lesson(dataset: Dataset, seen: Seen, recipe: Recipe, means: Means, device: str) -> Lesson:
    if seen.survey.arrays is None:
        raise ValueError("nothing was prepared")
    return Lesson(
        dataset=dataset,
        arrays=seen.survey.arrays.select(rows(dataset, seen.survey)),
        recipe=recipe,
        cache=means.workspace.cache,
        compute=means.compute,
        tell=means.tell,
        device=device,
    )


def _refuse_too_short(lesson: Lesson, clock: Clock) -> None:
    """Raises `Refused` where not even the quickest model can be there before the budget is spent. A recipe that searches nothing is
    followed, however long it takes."""
    asked = getattr(registry.load("families", lesson.recipe.family), "least_seconds", None)
    if asked is None or clock.budget_s is None:
        return
    with clock.stage("learn"):
        least = float(asked(lesson.job(lesson.dataset.indices("train", "val"), clock.deadline(1.0))))
    if least > 0 and clock.seconds + least > clock.budget_s + _GRACE_S:
        spent = clock.seconds
        raise Refused(
            "budget-too-short",
            got=f"A budget of {clock.budget_s:.0f} s; reading took {spent:.0f} s, and the quickest model takes {least:.0f} s more.",
            allowed=f"At least about {spent + 1.5 * least + 1:.0f} s (less the second time: what was read is kept).",
            fix=f"Write --budget {_written(2 * (spent + 1.5 * least + 1))}.",
        )


def _written(seconds: float) -> str:
    """A budget as it is written."""
    return f"{math.ceil(seconds)}s" if seconds < 100 else f"{math.ceil(seconds / 60)}m"


def _curve(lesson: Lesson, outcome: Outcome, clock: Clock) -> Curve:
    """The learning curve in what is left of the budget; none where only masks, boxes or measures are learnt."""
    if lesson.dataset.target.kind.structured:
        return Curve()
    dataset = lesson.dataset
    train = dataset.indices("train", "val") if outcome.fold is None else np.arange(len(dataset.cases))
    train = train if dataset.class_known is None else train[dataset.class_known[train]]
    return learning_curve(lesson, outcome.fitted, train, clock.deadline(_CURVE_SHARE))
