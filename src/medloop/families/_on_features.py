"""Heads on features: what generation 1 and frozen networks share. Features once, then a search for heads on top of them."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import threadpoolctl
from sklearn.exceptions import ConvergenceWarning

from medloop import features
from medloop.compute import Compute
from medloop.errors import InputError
from medloop.evaluation import calibration, decisions
from medloop.evaluation.calibration import Calibrator
from medloop.evaluation.decisions import Decision
from medloop.families import _heads, _search
from medloop.families._choice import averaged, choose, unit_of
from medloop.families._cross import Problem, Trial, columns, cross_validate
from medloop.families._heads import Head, Spec
from medloop.families._job import FitJob, Fitted, OutOfFold, Parts
from medloop.families._predicted import predicted
from medloop.families._search import Guide, Registered
from medloop.families._tables import Tables, table
from medloop.features import Feature
from medloop.prepared.arrays import PreparedArrays
from medloop.progress import QUIET, Progress
from medloop.types import Array, Floats, Json, Prediction, Recipe, Step, Target, TargetKind


@dataclass(frozen=True, slots=True, eq=False)
class FeaturedModel:
    """Features with their states, heads whose scores are averaged, calibration, decision. All data.

    ``family``: the name of the module that made it.
    ``input``: what prepared images it was learnt from (``shape`` ``(C, Z, Y, X)``, ``dtype``, ``colour``, ``binary``).
    ``mean`` and ``deviation``: what turns averaged scores back into numbers (0 and 1 for classes).
    """

    family: str
    target: Target
    preparation: tuple[Step, ...]
    input: Mapping[str, Json]
    features: tuple[Feature, ...]
    states: tuple[Mapping[str, Array], ...]
    heads: tuple[Head, ...]
    calibrator: Calibrator
    decision: Decision
    mean: float = 0.0
    deviation: float = 1.0

    def raw(
        self,
        arrays: PreparedArrays,
        indices: Array | None = None,
        *,
        compute: Compute | None = None,
        cache: Path | None = None,
        tell: Progress = QUIET,
    ) -> Floats:
        """``(n, K)`` scores before calibration (numbers: the predicted numbers)."""
        self._check(arrays)
        rows = np.arange(len(arrays)) if indices is None else np.asarray(indices, np.int64)
        if len(rows) == 0:
            return np.empty((0, columns(self.target)))
        work = compute or Compute(0)
        tables = {
            place: table(arrays, rows, feature, state, work, cache, tell)
            for place, (feature, state) in enumerate(zip(self.features, self.states, strict=True))
        }
        every = np.arange(len(rows))
        return averaged([head.raw(tables, every) / head.unit for head in self.heads]) * self.deviation + self.mean

    def predict(
        self,
        arrays: PreparedArrays,
        indices: Array | None = None,
        *,
        cases: Sequence[str] = (),
        compute: Compute | None = None,
        cache: Path | None = None,
        tell: Progress = QUIET,
    ) -> Prediction:
        """Calibrated answers for prepared images. Without ``cases`` they are named by their number."""
        raw = self.raw(arrays, indices, compute=compute, cache=cache, tell=tell)
        return predicted(self.target, raw, self.calibrator, self.decision, cases)

    def _check(self, arrays: PreparedArrays) -> None:
        got = describe(arrays)
        for name in ("shape", "colour"):
            if got[name] != self.input[name]:
                raise InputError(
                    "other-preparation",
                    got=f"Prepared images of {name} {got[name]}.",
                    allowed=f"{name} {self.input[name]}, as the model was learnt from.",
                    fix="Prepare the images with the model's own preparation.",
                )


def fit(
    job: FitJob,
    family: str,
    chosen: tuple[Feature, ...],
    *,
    guide: Callable[[FitJob, Tables], Guide] | None = None,
    said: Mapping[str, Json] | None = None,
) -> Fitted:
    """Search heads on ``chosen`` features within the deadline (unless the recipe says what to do), learn on all training cases,
    calibrate, set thresholds. ``guide``: what the search tries, for others than generation 1. ``said``: goes into the recipe too.

    Raises `Refused` where there are too few cases, `InputError` for a recipe that cannot be followed.
    """
    clock = job.clock
    start = clock()
    target, wanted = job.dataset.target, job.recipe.parameters
    values, mean, deviation = _heads.standardised(target, job.values)
    seed = job.recipe.seed
    fold = job.folds(wanted.get("folds"))
    problem = Problem(target, values, job.groups, fold, seed, max(1, job.compute.workers), clock)
    tables = Tables(job, chosen)
    with warnings.catch_warnings(), threadpoolctl.threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)
        if wanted.get("heads"):
            specs = [Spec.from_json(each) for each in wanted["heads"]]
            trials = [cross_validate(problem, spec, tables) for spec in specs]
            best = trials
        else:
            leader = guide(job, tables) if guide else Registered(job, tables)
            trials = _search.search(job, problem, tables, leader)
            best = choose(problem, trials, _search.HEADS, leader.dear)
        searched = clock()
        model, out_of_fold, recipe = _finish(job, family, problem, tables, best, mean, deviation)
    recipe = dataclasses.replace(recipe, parameters={**(said or {}), **recipe.parameters})
    timings = {"features": tables.seconds, "search": max(0.0, searched - start - tables.seconds), "fit": clock() - searched}
    return Fitted(model, out_of_fold, [row(number, trial) for number, trial in enumerate(trials)], recipe, timings)


def _finish(
    job: FitJob, family: str, problem: Problem, tables: Tables, chosen: Sequence[Trial], mean: float, deviation: float
) -> tuple[FeaturedModel, OutOfFold, Recipe]:
    """Learn the chosen heads on all training cases; calibration and thresholds from their out-of-fold scores."""
    target, seed = problem.target, problem.seed
    used = sorted({each for trial in chosen for each in trial.spec.features})
    place = {position: number for number, position in enumerate(used)}
    rows = {place[position]: tables[position] for position in used}
    every = np.arange(len(job.train))
    heads, raws = [], []
    for trial in chosen:
        spec = dataclasses.replace(trial.spec, features=tuple(place[each] for each in trial.spec.features))
        scores = np.asarray(trial.raw)
        unit = unit_of(target, scores)
        head = _heads.learn(spec, rows, every, problem.values, target, seed, problem.threads)
        heads.append(head.finished(rows, every, unit))
        raws.append(scores / unit)
    raw = averaged(raws) * deviation + mean
    calibrator = calibration.fit(target, raw, job.values, job.groups, seed)
    probabilities = calibration.apply(calibrator, raw)
    decision = decisions.choose(target, probabilities, job.values, np.asarray(job.dataset.patients[job.train]), seed)
    model = FeaturedModel(
        family,
        target,
        job.recipe.preparation,
        describe(job.arrays),
        tuple(tables.features[position] for position in used),
        tuple(tables.states[position] for position in used),
        tuple(heads),
        calibrator,
        decision,
        mean,
        deviation,
    )
    parameters = {
        "features": [each.to_json() for each in model.features],
        "heads": [head.spec.to_json() for head in heads],
        "folds": problem.count,
    }
    recipe = dataclasses.replace(job.recipe, parameters=parameters)
    return model, OutOfFold(np.asarray(job.train), problem.fold, raw, probabilities), recipe


def describe(arrays: PreparedArrays) -> dict[str, Json]:
    """What prepared images are like, as JSON."""
    return {"shape": list(arrays.shape), "dtype": str(arrays.dtype), "colour": bool(arrays.colour), "binary": bool(arrays.binary)}


def row(number: int, trial: Trial) -> dict[str, Json]:
    """One trial as the search records it."""
    score = trial.score if np.isfinite(trial.score) else None
    return {
        "trial": number,
        "state": trial.state,
        "score": score,
        "fold_scores": [float(each) for each in trial.scores],
        "seconds": round(trial.seconds, 3),
        **trial.spec.to_json(),
    }


def to_parts(model: FeaturedModel) -> Parts:
    """The model as it lies on disk."""
    arrays: dict[str, Any] = {}
    files: dict[str, bytes] = {}
    about = []
    for number, head in enumerate(model.heads):
        said, own, onnx = _heads.head_parts(head, f"head-{number}")
        about.append(said)
        arrays |= own
        files |= onnx
    for number, state in enumerate(model.states):
        arrays |= {f"feature-{number}.{key}": value for key, value in state.items()}
    content = {
        "target": {
            "kind": str(model.target.kind),
            "classes": list(model.target.classes),
            "name": model.target.name,
            "unit": model.target.unit,
        },
        "preparation": [{"name": step.name, "params": dict(step.params)} for step in model.preparation],
        "input": dict(model.input),
        "features": [
            each.to_json() | {"version": each.module.VERSION, "state": sorted(state)}
            for each, state in zip(model.features, model.states, strict=True)
        ],
        "heads": about,
        "calibration": model.calibrator.to_json(),
        "decision": model.decision.to_json(),
        "mean": model.mean,
        "deviation": model.deviation,
    }
    return Parts(content, arrays, files)


def from_parts(parts: Parts, family: str) -> FeaturedModel:
    """The model of a family that `to_parts` took apart. Raises `InputError` where a feature has changed since."""
    said = parts.json
    target = said["target"]
    chosen, states = [], []
    for number, each in enumerate(said["features"]):
        found = features.feature(each["name"], each["params"])
        if each["version"] != found.module.VERSION:
            raise InputError(
                "feature-changed",
                got=f"The model uses version {each['version']} of the feature '{each['name']}'.",
                allowed=f"Version {found.module.VERSION}, which this medloop has.",
                fix="Learn the model again, or use the medloop that wrote it.",
            )
        chosen.append(found)
        states.append({key: parts.arrays[f"feature-{number}.{key}"] for key in each["state"]})
    return FeaturedModel(
        family,
        Target(TargetKind(target["kind"]), tuple(target["classes"]), target["name"], target["unit"]),
        tuple(Step(step["name"], step["params"]) for step in said["preparation"]),
        said["input"],
        tuple(chosen),
        tuple(states),
        tuple(_heads.head_from(each, f"head-{number}", parts.arrays, parts.files) for number, each in enumerate(said["heads"])),
        Calibrator.from_json(said["calibration"]),
        Decision.from_json(said["decision"]),
        float(said["mean"]),
        float(said["deviation"]),
    )
