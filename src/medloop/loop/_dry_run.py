"""What `learn` would do and about how long it would take, from headers, labels and a few decoded images."""

from __future__ import annotations

import time

import numpy as np

from medloop import labels, prep, readers, registry
from medloop.dataset import Options, examine, summary
from medloop.errors import Unreadable
from medloop.loop._intake import Means, collect, unused
from medloop.loop._protocols import SEARCH_SHARE
from medloop.loop._start import DEFAULT, planner, recipe_for, structured
from medloop.requests import DryRunResult, LearnRequest, seconds_of
from medloop.types import ImageRef, Json, Recipe, Step
from medloop.wire import to_json

_TASTED = 12


class _Headers:
    """What is known of the images without decoding them."""

    def __init__(self, refs: tuple[ImageRef, ...]) -> None:
        self.refs = refs


def foresee(request: LearnRequest, recipe: Recipe, means: Means) -> DryRunResult:
    """Headers and labels are read, a dozen images decoded; nothing is written."""
    collection = collect(request, means, keep=False)
    labelled = labels.read(collection, request, labels.Using(compute=means.compute, tell=means.tell))
    kind = prep.main_kind([case.images[0] for case in labelled.cases])
    refs = tuple(labelled.cases[at].images[0] for at in kind.kept)
    recipe = recipe_for(means.workspace, request, labelled)
    steps = planner(recipe, structured(request, labelled))(refs)
    dataset, findings = examine(labelled, _Headers(refs), (), Options.of(request))
    reading = _reading_seconds(refs, steps) / max(1, means.compute.workers)
    budget = seconds_of(request.budget)
    scanning = sum(means.clock.timings.values())
    warnings = [*collection.notes, *findings.notes, *(f"{refusal.got} {refusal.fix}" for refusal in findings.refusals)]
    if labelled.problems:
        warnings.append(f"{len(labelled.problems)} rows or images did not match each other; medloop inspect names them.")
    warnings += unused(len(collection.rejected) + len(kind.left_out))
    warnings.append("Copies of pictures are found only when the images are read, and may still change the split.")
    if reading + scanning > budget:
        warnings.append(f"Reading alone takes about {reading:.0f} s, the budget is {budget:.0f} s: medloop learn would refuse it.")
    elif reading > budget / 2:
        warnings.append(f"Reading takes about {reading:.0f} s of the budget of {budget:.0f} s: consider a larger --budget.")
    if dataset is None:
        raise findings.refusals[0]
    stages = [
        {"step": "read headers and labels", "seconds": round(scanning, 1)},
        {"step": "read and prepare images (the first time)", "seconds": round(reading, 1)},
        *_learning(recipe, request, max(0.0, budget - scanning - reading)),
    ]
    return DryRunResult(
        dataset=summary(dataset, findings),
        family=recipe.family,
        recipe=recipe.name,
        preparation=[{"name": step.name, "params": to_json(dict(step.params))} for step in steps],
        steps=stages,
        seconds=round(max(budget, scanning + reading), 1),
        warnings=warnings,
    )


def _learning(recipe: Recipe, request: LearnRequest, left: float) -> list[dict[str, Json]]:
    """What is done in the time left after reading: the rungs with the shares that they get where each of them fits."""
    if recipe.family != DEFAULT or recipe.parameters.get("members"):
        return [{"step": "search, fit, judge and report within the budget", "seconds": round(left, 1)}]
    rungs = registry.load("families", recipe.family).rungs_of(recipe.parameters)
    whole, learning = sum(rung.share for rung in rungs), min(left, SEARCH_SHARE * seconds_of(request.budget))
    each = f", in each of {request.folds} folds and once on all" if request.folds else ""
    steps = [
        {"step": f"rung {number}: {rung.name}{each}", "seconds": round(learning * rung.share / whole, 1)}
        for number, rung in enumerate(rungs, 1)
    ]
    return [*steps, {"step": "choose, judge once, learning curve and report", "seconds": round(left - learning, 1)}]


def _reading_seconds(refs: tuple[ImageRef, ...], steps: tuple[Step, ...]) -> float:
    """Seconds in one process for all images, judged by a few of them spread over the collection."""
    some = [refs[at] for at in np.unique(np.linspace(0, len(refs) - 1, _TASTED).astype(int))]
    begun, read = time.perf_counter(), 0
    for ref in some:
        try:
            prep.apply(readers.read(ref), steps)
            read += 1
        except Unreadable:
            continue
    return (time.perf_counter() - begun) / max(1, read) * len(refs)
