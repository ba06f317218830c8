"""A network trained on, wholly or in its last layers (`medloop.families._tuning` has the parameters).

The last network learns on all training cases in just the way of the folds before it (`medloop.families._trainings`).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from pathlib import Path

import numpy as np
import safetensors.torch

from medloop.evaluation import calibration, decisions
from medloop.families import _quality, _trainings, _tuning
from medloop.families._begun import begun
from medloop.families._job import FitJob, Fitted, OutOfFold
from medloop.families._network_model import NetworkModel, as_input
from medloop.families._on_features import describe
from medloop.families._training import Ground
from medloop.families._trainings import Work
from medloop.families._tuning import Settings, check
from medloop.learning import checkpoints
from medloop.networks import onnx
from medloop.networks.classifier import Classifier, Viewed
from medloop.types import Floats
from medloop.version import VERSION

__all__ = ["check", "fit", "least_seconds"]

FAMILY = "transfer"
_CHECKED = 8


def fit(job: FitJob) -> Fitted:
    """Train on all training cases within the deadline, calibrate, set thresholds.

    Raises `Refused` where there are too few cases, `InputError` for a recipe that cannot be followed.
    """
    check(job.recipe.parameters)
    start = job.clock()
    found = begun(str(job.recipe.parameters.get("from", "")))
    settings = _tuning.settings(job, found.spec if found else None)
    ground = Ground(job, settings, found)
    work = Work(ground, job.folds(settings.folds), _folder(job, settings))
    ready = job.clock()
    raw, rows = work.cross_validated()
    searched = job.clock()
    net, further = work.finished()
    rows += further
    fitted = _fitted(ground, work, raw, net)
    if work.folder is not None:
        checkpoints.clear(work.folder)
    timings = {"features": ready - start, "search": searched - ready, "fit": job.clock() - searched}
    scores = _quality.fold_scores(job.dataset.target, ground.values, raw, work.fold, job.groups)
    known = scores[~np.isnan(scores)]
    trial = {
        "trial": 0,
        "state": "complete",
        "score": float(known.mean()) if len(known) else None,
        "fold_scores": [None if math.isnan(each) else float(each) for each in scores],
        "seconds": round(job.clock() - start, 3),
        **fitted.recipe.parameters,
        "history": rows,
    }
    return dataclasses.replace(fitted, trials=[json.loads(json.dumps(trial))], timings=timings)


def least_seconds(job: FitJob) -> float:
    """About how many seconds `fit` takes at the very least, whatever the deadline: one epoch a fold, measured on a few steps."""
    check(job.recipe.parameters)
    found = begun(str(job.recipe.parameters.get("from", "")))
    settings = _tuning.settings(job, found.spec if found else None)
    ground = Ground(job, settings, found)
    return _trainings.least_seconds(Work(ground, job.folds(settings.folds), None))


def _fitted(ground: Ground, work: Work[Classifier], raw: Floats, net: Classifier) -> Fitted:
    """The model of the last network, with calibration and thresholds from the scores of the folds."""
    job, settings = ground.job, dataclasses.replace(ground.settings, plan=work.plan, folds=work.count)
    target, seed = job.dataset.target, job.recipe.seed
    raw = raw * ground.deviation + ground.mean
    calibrator = calibration.fit(target, raw, job.values, job.groups, seed)
    probabilities = calibration.apply(calibrator, raw)
    decision = decisions.choose(target, probabilities, job.values, np.asarray(job.dataset.patients[job.train]), seed)
    some = as_input(job.arrays.take(np.asarray(job.train)[:_CHECKED]))
    viewed = Viewed(net)
    content = onnx.write(viewed, some.shape[1:], ["scores"])
    onnx.check(content, viewed, some)
    spec = settings.backbone.to_json()
    told = {"spec": json.dumps(spec)}  # safetensors writes several in no fixed order
    model = NetworkModel(
        target,
        job.recipe.preparation,
        describe(job.arrays),
        {"backbone": spec, "classifier": settings.classifier.to_json()},
        content,
        safetensors.torch.save(dict(net.backbone.state_dict()), told),
        {name: each.numpy().copy() for name, each in net.answer.state_dict().items()},
        calibrator,
        decision,
        ground.mean,
        ground.deviation,
    )
    recipe = dataclasses.replace(job.recipe, parameters=settings.to_parameters())
    return Fitted(model, OutOfFold(np.asarray(job.train), work.fold, raw, probabilities), [], recipe, {})


def _folder(job: FitJob, settings: Settings) -> Path | None:
    """Where unfinished work is kept: named after everything that decides the result, but for epochs that the deadline decides."""
    if job.cache is None:
        return None
    said = settings.to_parameters()
    if settings.epochs_open:
        said["training"] = {key: value for key, value in settings.plan.to_json().items() if key != "epochs"}
    state = hashlib.blake2b(json.dumps([VERSION, said, job.recipe.seed, str(job.dataset.target)]).encode(), digest_size=12)
    for array in (job.train, job.values, job.groups):
        state.update(np.ascontiguousarray(array).tobytes())
    state.update(job.arrays.key.encode())
    return job.cache / "training" / state.hexdigest()
