"""One network that learns several targets of a job together (`medloop.families._joint_tuning` has the parameters).

Folds first, then all training cases in just the same way (`medloop.families._trainings`). Thresholds, calibration and the cleaning
of masks and boxes are learnt on what the folds' networks say of cases that they have not seen.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch

from medloop.evaluation import calibration, decisions
from medloop.evaluation.calibration import Calibrator
from medloop.evaluation.decisions import Decision
from medloop.families import _joint_solid, _joint_tuning, _quality, _trainings
from medloop.families._begun import begun
from medloop.families._finding import Finder
from medloop.families._folds import folds
from medloop.families._job import FitJob, Fitted, Masks, OutOfFold
from medloop.families._joint_model import MultitaskModel
from medloop.families._joint_scores import Scores
from medloop.families._joint_training import Ground
from medloop.families._joint_truth import Views
from medloop.families._joint_tuning import Settings, check
from medloop.families._on_features import describe
from medloop.families._trainings import Work
from medloop.learning import checkpoints
from medloop.networks import onnx
from medloop.networks.multitask import Multitask
from medloop.networks.seen import Seen
from medloop.targets import boxes, masks, rules
from medloop.targets.reconstruction import Typical, learn_typical, levels
from medloop.types import UNKNOWN, Floats, Integers, Json, Target, TargetKind
from medloop.version import VERSION

__all__ = ["check", "fit", "least_seconds", "ready"]

_CHECKED = 4
_PARTS = 5
"""Where one part is held out, once, it is one of so many."""
_TOLERANCE = 1e-3
_SHOWN = 64
"""Cases by which usual errors are told, where none were held out."""


def fit(job: FitJob) -> Fitted:
    """Train on all training cases within the deadline; learn calibration, thresholds and cleaning out of fold.

    Raises `Refused` where there are too few cases, `InputError` for a recipe or rules that cannot be followed.
    """
    check(job.recipe.parameters)
    start = job.clock()
    found = begun(str(job.recipe.parameters.get("from", "")))
    settings = _joint_tuning.settings(job, found.spec if found else None)
    told = _rules(settings, job)
    folder = _folder(job, settings)
    with Scores.of(job, settings, None if folder is None else folder / "out-of-fold") as oof:
        ground = Ground(job, settings, found, oof, rules.penalties(told) if told else ())
        work = Work(ground, _folds(job, settings), folder)
        ground.keep()
        ready = job.clock()
        raw, rows = work.cross_validated()
        searched = job.clock()
        ground.oof = None
        net, further = work.finished()
        rows += further
        plain = Finder(settings.further, settings.net.stride, rules=told)
        finder, qualities, answers = _finder(job, settings, oof, plain) if work.count else (_uncleaned(plain), {}, {})
        finder = dataclasses.replace(finder, typical=_typical(ground, oof, net))
    fitted = _fitted(ground, work, raw, net, finder)
    if work.folder is not None:
        checkpoints.clear(work.folder)
    timings = {"features": ready - start, "search": searched - ready, "fit": job.clock() - searched}
    told_of = {"seconds": round(job.clock() - start, 3), **fitted.recipe.parameters, "further": qualities, "history": rows}
    trial = _judged(ground, raw, work.fold, qualities) | told_of
    return dataclasses.replace(fitted, trials=[json.loads(json.dumps(trial))], timings=timings, answers=answers)


def ready(job: FitJob) -> None:
    """Compute the maps that trainings on any part of these cases share; they depend on pictures alone, on no label."""
    check(job.recipe.parameters)
    found = begun(str(job.recipe.parameters.get("from", "")))
    settings = _joint_tuning.settings(job, found.spec if found else None)
    if settings.kept:
        Ground(job, settings, found).keep()


def _judged(ground: Ground, raw: Floats, fold: Integers, qualities: Mapping[str, Json]) -> dict[str, Json]:
    """How good the folds' answers are: of the classes, or else of the masks."""
    scores = _fold_scores(ground.job, ground.settings, ground, raw, fold)
    known = scores[~np.isnan(scores)]
    return {
        "trial": 0,
        "state": "complete",
        "score": float(known.mean()) if len(known) else qualities.get("masks", {}).get("dice"),
        "fold_scores": [None if math.isnan(each) else float(each) for each in scores],
    }


def least_seconds(job: FitJob) -> float:
    """About how many seconds `fit` takes at the very least, whatever the deadline: one epoch a fold, measured on a few steps."""
    check(job.recipe.parameters)
    found = begun(str(job.recipe.parameters.get("from", "")))
    settings = _joint_tuning.settings(job, found.spec if found else None)
    _rules(settings, job)
    return _trainings.least_seconds(Work(Ground(job, settings, found), _folds(job, settings), None))


def _rules(settings: Settings, job: FitJob) -> rules.Rules | None:
    """The rules of the recipe, a file's or in its own words. Raises `InputError` for all that is wrong with them."""
    if not settings.rules:
        return None
    return rules.read(settings.rules, settings.further, job.arrays.shape[1] == 1, _spaced(job))


def _spaced(job: FitJob) -> bool | None:
    """Whether the training images say how large their voxels are; None where some do."""
    if job.geometry is None:
        return None
    known = np.isfinite(job.geometry.spacing_mm[job.train]).all(axis=1)
    return bool(known.all()) if known.all() == known.any() else None


def _folds(job: FitJob, settings: Settings) -> Integers:
    """``(n,)``, -1 for cases that are never held out. Cases whose class is unknown are spread like a class of their own.

    Where no classes are learnt one patient will do: nothing is held out then.
    """
    target, known = job.dataset.target, job.class_known
    if not settings.classes and len(np.unique(job.groups)) == 1:
        job.tell.say("All that is learnt from is of one patient: thresholds and cleaning are the plain ones.")
        return np.full(len(job.train), -1)
    if not settings.classes:
        alone = settings.folds == _joint_tuning.HELD_OUT
        found = folds(
            _places(job), np.zeros(len(job.train), np.int64), job.groups, job.recipe.seed, _PARTS if alone else settings.folds
        )
        return np.where(found == 0, 0, -1) if alone else found
    if known.all():
        return job.folds(settings.folds)
    folds(target, job.values[known], job.groups[known], job.recipe.seed, settings.folds)
    if target.kind not in (TargetKind.BINARY, TargetKind.MULTICLASS):
        return folds(_places(job), known.astype(np.int64), job.groups, job.recipe.seed, settings.folds)
    return folds(_places(job), np.where(known, job.values, len(target.classes)), job.groups, job.recipe.seed, settings.folds)


def _places(job: FitJob) -> Target:
    """A target by which cases may be spread, but none need be of every kind."""
    return job.dataset.further[0].target


def _finder(job: FitJob, settings: Settings, oof: Scores, finder: Finder) -> tuple[Finder, dict[str, Json], Mapping[str, Path]]:
    """How answers become findings, learnt out of fold; how good they are by target; and files of the answers."""
    qualities: dict[str, Json] = {}
    answers: dict[str, Path] = {}
    rows = np.asarray(job.train)
    for target in settings.further:
        known = job.further[target.name]
        if target.kind is TargetKind.MASKS and oof.masks is not None:
            cases = oof.mask_cases(known, rows)  # type: ignore[arg-type]
            spacings = _joint_solid.spacings(job)
            cleaning = masks.learn_cleaning(cases, [spacings[at] for at in cases.known])
            finder = dataclasses.replace(finder, masks=cleaning)
            qualities["masks"] = {"dice": cleaning.after, "before": cleaning.before, "cleaning": cleaning.to_json()}
            if job.cache is not None:
                answers[target.name] = _cleaned(job, target, known, oof, cleaning)  # type: ignore[arg-type]
        elif target.kind is TargetKind.BOXES:
            kept = [at for at, row in enumerate(rows) if known.known[row] and oof.there[at]]
            truth = [boxes.Boxes.of(known.boxes[rows[at]], known.box_classes[rows[at]]) for at in kept]  # type: ignore[union-attr]
            chosen = boxes.learn_cleaning(target, [oof.boxes[at] for at in kept], truth)
            finder = dataclasses.replace(finder, boxes=chosen)
            qualities["boxes"] = {"cleaning": chosen.to_json()}
    return finder, qualities, answers


def _typical(ground: Ground, oof: Scores, net: Multitask) -> Typical | None:
    """How large errors of what is made up usually are, out of fold; where nothing was held out, on the cases learnt from."""
    if not ground.settings.net.image:
        return None
    shown = np.unique(np.linspace(0, len(ground.job.train) - 1, _SHOWN).astype(int))
    return learn_typical(
        oof.errors.values() or (levels(ground.answers(net, shown[at : at + 1])["errors"]) for at in range(len(shown)))
    )


def _uncleaned(finder: Finder) -> Finder:
    """Where nothing could be held out to learn thresholds and cleaning on."""
    classes = {each.kind: len(each.classes) for each in finder.further}
    return dataclasses.replace(
        finder,
        masks=masks.Cleaning.plain(classes[TargetKind.MASKS]) if TargetKind.MASKS in classes else None,
        boxes=boxes.Cleaning() if TargetKind.BOXES in classes else None,
    )


def _cleaned(job: FitJob, target: Target, known: Masks, oof: Scores, cleaning: masks.Cleaning) -> Path:
    """Out-of-fold masks ``(n, Z, Y, X)`` in the cache; of cases that were not held out nothing is known."""
    if job.cache is None or oof.masks is None:
        raise ValueError("there is no place for answers")
    name = hashlib.blake2b(json.dumps([known.key, cleaning.to_json(), job.train.tolist()]).encode(), digest_size=12).hexdigest()
    path = job.cache / "answers" / f"{target.name}-{name}.npy"
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".part")
    count, _, *shape = oof.masks.shape
    room = np.lib.format.open_memmap(draft, mode="w+", dtype=np.uint8, shape=(count, *shape))
    spacings = _joint_solid.spacings(job)
    for at in range(count):
        room[at] = masks.clean(np.asarray(oof.masks[at]), cleaning, spacings[at]) if oof.there[at] else UNKNOWN
    room.flush()
    del room
    return draft.replace(path)


def _fold_scores(job: FitJob, settings: Settings, ground: Ground, raw: Floats, fold: Integers) -> Floats:
    """The quality of the classes in each fold; NaN where there are none."""
    known = job.class_known
    if not settings.classes:
        return np.full(int(fold.max()) + 1, np.nan)
    values = (job.values - ground.mean) / ground.deviation if job.dataset.target.kind is TargetKind.NUMBER else job.values
    missing = np.setdiff1d(fold, fold[known])
    if len(missing):
        return np.full(int(fold.max()) + 1, np.nan)
    return _quality.fold_scores(job.dataset.target, values[known], raw[known], fold[known], job.groups[known])


def _fitted(ground: Ground, work: Work[Any], raw: Floats, net: Multitask, finder: Finder) -> Fitted:
    """The model of the last network, with what was learnt from the answers of the folds."""
    job, settings = ground.job, dataclasses.replace(ground.settings, plan=work.plan, folds=work.count)
    raw = raw * ground.deviation + ground.mean
    calibrator, decision, probabilities = _decided(job, settings, raw)
    seen = Seen(net, settings.views)
    content = _written(job, settings, seen)
    spec = settings.solid.to_json() if settings.solid else settings.backbone.to_json()
    told = {"spec": json.dumps(spec)}  # safetensors writes several in no fixed order
    own = {f"backbone.{name}" for name in net.backbone.state_dict()}
    scaling = ground.known.scaling
    model = MultitaskModel(
        target=job.dataset.target,
        classes=settings.classes,
        further=settings.answered,
        preparation=job.recipe.preparation,
        input=describe(job.arrays),
        network={"backbone": spec, "net": settings.net.to_json(), "views": settings.views},
        onnx=content,
        backbone=safetensors.torch.save(dict(net.backbone.state_dict()), told),
        arrays={name: each.numpy().copy() for name, each in net.state_dict().items() if name not in own},
        names=seen.names,
        patch=settings.patch,
        finder=dataclasses.replace(finder, scaling=scaling),
        calibrator=calibrator,
        decision=decision,
        mean=ground.mean,
        deviation=ground.deviation,
    )
    recipe = dataclasses.replace(job.recipe, parameters=settings.to_parameters())
    return Fitted(model, OutOfFold(np.asarray(job.train), work.fold, raw, probabilities), [], recipe, {})


def _decided(job: FitJob, settings: Settings, raw: Floats) -> tuple[Calibrator, Decision, Floats]:
    """Calibration and decision from the cases whose class is known; probabilities of all."""
    target, seed, known = job.dataset.target, job.recipe.seed, job.class_known
    if not settings.classes:
        return Calibrator(str(target.kind), ("identity",)), Decision(str(target.kind)), raw
    calibrator = calibration.fit(target, raw[known], job.values[known], job.groups[known], seed)
    probabilities = calibration.apply(calibrator, raw)
    patients = np.asarray(job.dataset.patients[job.train])
    return calibrator, decisions.choose(target, probabilities[known], job.values[known], patients[known], seed), probabilities


def _written(job: FitJob, settings: Settings, seen: Seen) -> bytes:
    """ONNX that says what torch says, checked on real images."""
    views = Views.of(job.arrays, np.asarray(job.train)[:_CHECKED], settings.patch)
    some = views.take(np.arange(min(_CHECKED, len(views.rows) * len(views.places))))
    content = onnx.write(seen, some.shape[1:], list(seen.names))
    onnx.check(content, seen, some, _TOLERANCE)
    return content


def _folder(job: FitJob, settings: Settings) -> Path | None:
    """Where unfinished work is kept: named after everything that decides the result, but for epochs that the deadline decides."""
    if job.cache is None:
        return None
    said = settings.to_parameters()
    if settings.epochs_open:
        said["training"] = {key: value for key, value in settings.plan.to_json().items() if key != "epochs"}
    names = [each.name for each in settings.further]
    state = hashlib.blake2b(json.dumps([VERSION, said, job.recipe.seed, str(job.dataset.target), names]).encode(), digest_size=12)
    for array in (job.train, job.values, job.groups, job.class_known):
        state.update(np.ascontiguousarray(array).tobytes())
    for name in names:
        known = job.further[name]
        state.update(np.ascontiguousarray(known.known).tobytes() + str(getattr(known, "key", "")).encode())
    state.update(job.arrays.key.encode())
    return job.cache / "training" / state.hexdigest()
