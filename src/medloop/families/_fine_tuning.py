"""A network trained on, wholly or in its last layers (`medloop.families._tuning` has the parameters).

Every fold is trained for as many epochs as the time allows (or the recipe says), then a last network on all training cases, in just
the same way: what the folds say of unseen cases is said of it too. Nothing is chosen by looking at a fold that is held out. What is
finished is kept in the cache until the end, so that a run that was killed goes on where it was.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import safetensors.torch

from medloop.evaluation import calibration, decisions
from medloop.families import _quality, _tuning
from medloop.families._begun import begun
from medloop.families._cross import columns
from medloop.families._job import FitJob, Fitted, OutOfFold
from medloop.families._network_model import NetworkModel, as_input
from medloop.families._on_features import describe
from medloop.families._training import Ground, history
from medloop.families._tuning import Settings, check
from medloop.learning import checkpoints
from medloop.learning.lesson import Trained
from medloop.learning.plan import Plan
from medloop.networks import onnx
from medloop.networks.classifier import Classifier, Viewed
from medloop.types import Floats, Integers, Json
from medloop.version import VERSION
from medloop.workspace import write_json

__all__ = ["check", "fit", "least_seconds"]

FAMILY = "transfer"
_CHECKED = 8
_EXPORT_S, _TRAINING_S = 4.0, 1.5
_USED, _LATE = 0.85, 1.15
_LOOKING = 0.5


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
    net, trained = work.train(np.arange(len(ground.values)), np.empty(0, np.int64), "all")
    rows += history(trained, "all")
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
    work = Work(ground, job.folds(settings.folds), None)
    epochs = 1 if settings.epochs_open else settings.plan.last
    return work.fixed() + epochs * work.epoch()


@dataclass(slots=True)
class Work:
    """The trainings of one job: a fold each, then all. ``fold``: ``(n,)``. ``plan``: how, settled before the first."""

    ground: Ground
    fold: Integers
    folder: Path | None
    plan: Plan = field(init=False)
    _pace: float | None = None

    def __post_init__(self) -> None:
        self.plan = self.ground.settings.plan

    def cross_validated(self) -> tuple[Floats, list[Mapping[str, Json]]]:
        """Raw out-of-fold scores ``(n, K)`` and the history. Too slow for the deadline, it begins again with fewer epochs."""
        self._settle(self._affordable())
        while True:
            raw = np.full((len(self.fold), columns(self.ground.job.dataset.target)), np.nan)
            rows: list[Mapping[str, Json]] = []
            for number in range(self._count):
                start = self.ground.job.clock()
                held = np.flatnonzero(self.fold == number)
                net, trained = self.train(np.flatnonzero(self.fold != number), held, number)
                raw[held] = self.ground.scores(net, held)
                rows += history(trained, number)
                if number == 0 and self._begin_again(self.ground.job.clock() - start):
                    break
            else:
                return raw, rows

    def train(self, seen: Integers, held: Integers, name: int | str) -> tuple[Classifier, Trained]:
        """One training, kept where it stands."""
        label = f"training, fold {name + 1} of {self._count}" if isinstance(name, int) else "training on all"
        net, trained = self.ground.trained(seen, held, self.plan, self.folder, label)
        self.plan = dataclasses.replace(self.plan, at_once=trained.plan.at_once)
        return net, trained

    def fixed(self) -> float:
        """Seconds that pass however many epochs there are."""
        looked = 0.0 if self.ground.settings.still else 3 * len(self.fold) * _LOOKING * self._each * self._views
        return _EXPORT_S + (self._count + 1) * _TRAINING_S + looked

    def epoch(self) -> float:
        """Seconds of one epoch in every fold and in the last training."""
        return len(self.fold) * (self._count + _LOOKING) * self._each

    @property
    def _count(self) -> int:
        return int(self.fold.max()) + 1

    @property
    def _views(self) -> int:
        return self.ground.settings.classifier.views

    @property
    def _each(self) -> float:
        """Seconds of learning from one case."""
        if self._pace is None:
            self._pace = 1e-4 if self.ground.settings.still else self.ground.pace(self.plan)
        return self._pace

    def _affordable(self) -> int:
        """Epochs: as the recipe says, as a run that was killed has settled, or as many as there is time for."""
        settings = self.ground.settings
        if not settings.epochs_open:
            return settings.plan.epochs
        if self.folder is not None and (kept := self.folder / "epochs.json").exists():
            return int(json.loads(kept.read_text(encoding="utf-8")))
        left = self.ground.job.deadline - self.ground.job.clock()
        return max(1, min(settings.plan.epochs, int((_USED * left - self.fixed()) / self.epoch())))

    def _settle(self, epochs: int) -> None:
        self.plan = dataclasses.replace(self.plan, epochs=epochs)
        if self.folder is not None and self.ground.settings.epochs_open:
            write_json(self.folder / "epochs.json", epochs)

    def _begin_again(self, seconds: float) -> bool:
        """Whether the first fold took so long that all would be late; then there are fewer epochs from now on."""
        job, most = self.ground.job, self.plan.epochs
        left = job.deadline - job.clock()
        if not self.ground.settings.epochs_open or most == 1 or seconds * self._count < _LATE * left:
            return False
        share = _USED * left / (seconds * (self._count + 1))
        self._settle(max(1, min(most - 1, int(most * share))))
        job.tell.say(f"A fold took {seconds:.0f} s: {self.plan.epochs} epochs instead of {most}, from the start.")
        return True


def _fitted(ground: Ground, work: Work, raw: Floats, net: Classifier) -> Fitted:
    """The model of the last network, with calibration and thresholds from the scores of the folds."""
    job, settings = ground.job, dataclasses.replace(ground.settings, plan=work.plan, folds=work._count)
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
