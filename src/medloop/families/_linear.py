"""The classic recipe: a new linear layer on a frozen network, by stochastic gradient descent over randomly flipped pictures.

The network sees each picture once in every view that a flip can give; an epoch then draws one view of each from what was kept. That
is what a training loop does that flips at random and sends every picture through the network in every epoch, without the network.

Recipe parameters (all may be left out):

``backbone``      timm's name of the network
``from``          a file of its weights, or a model's folder, whose network is taken
``side``          pixels of the longer side of what the network sees
``flips``         ``["horizontal"]``, ``["vertical"]``, both or none, each with a chance of one half
``rate``          of the steps; ``momentum``, ``batch`` and ``epochs`` with it
``validation``    share of the groups held out; the epoch with the lowest loss on them is kept
``folds``         of the cross-validation for calibration: each fold is learnt in the same way without it
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from medloop import features
from medloop.evaluation import calibration, decisions
from medloop.families import _frozen, _heads, _on_features, _quality, _sgd, _wanted
from medloop.families._cross import columns
from medloop.families._eyes import FEATURE
from medloop.families._folds import strata
from medloop.families._heads import Head, Scale, Spec
from medloop.families._job import FitJob, Fitted, OutOfFold
from medloop.families._on_features import FeaturedModel
from medloop.families._scorers import Linear
from medloop.families._sgd import Layer, Plan, Views
from medloop.families._wanted import Wanted
from medloop.features import Feature, State
from medloop.progress import Progress
from medloop.types import Array, Floats, Integers, Json, Target, TargetKind

FAMILY = "transfer"
_FLIPS: Mapping[tuple[str, ...], tuple[int, ...]] = {
    (): (0,),
    ("horizontal",): (0, 1),
    ("vertical",): (0, 2),
    ("horizontal", "vertical"): (0, 1, 2, 3),
}
"""Which of the network's views each flip needs; all are equally likely."""
_FAR = 2.0**-20
"""A power of two by which a head's limit is put out of reach: nothing is cut off here, and nothing is rounded."""


def _real(low: float, high: float) -> Wanted:
    def good(value: Any) -> bool:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value < high

    return Wanted(f"a number from {low:g}, below {high:g}", good)


WANTED: Mapping[str, Wanted] = {
    "how": _wanted.one_of("linear"),
    "backbone": _wanted.text("resnet50"),
    "from": _wanted.text("model"),
    "from_digest": _wanted.text("the hash of what from names"),
    "side": _wanted.whole(32),
    "flips": Wanted(
        'a list of "horizontal" and "vertical"',
        lambda value: (
            isinstance(value, (list, tuple)) and len(set(value)) == len(value) and set(value) <= {"horizontal", "vertical"}
        ),
    ),
    "rate": _real(0, 1e3),
    "momentum": _real(0, 1),
    "batch": _wanted.whole(1),
    "epochs": _wanted.whole(1),
    "validation": _real(0, 1),
    "folds": _wanted.whole(2),
}
_DEFAULTS: Mapping[str, Json] = {
    "how": "linear",
    "backbone": "tf_efficientnet_lite0",
    "side": 224,
    "flips": ["horizontal"],
    "rate": 0.001,
    "momentum": 0.9,
    "batch": 16,
    "epochs": 100,
    "validation": 0.1,
}


def check(parameters: Mapping[str, Json]) -> None:
    """Raises `InputError` for a key, a name or a value that cannot be followed."""
    _wanted.check(parameters, WANTED)


def least_seconds(job: FitJob) -> float:
    """About how many seconds `fit` takes at the very least, whatever the deadline."""
    said = {**_DEFAULTS, **job.recipe.parameters}
    views = len(_FLIPS[_flips(said)])
    return 5.0 + len(job.train) * (0.01 * views + 5e-5 * float(said["epochs"]))


def fit(job: FitJob) -> Fitted:
    """Learn the layer on all training cases but those held out to choose the epoch; calibrate by folds learnt in the same way.

    Raises `Refused` where there are too few cases, `InputError` for a recipe that cannot be followed.
    """
    said = {**_DEFAULTS, **job.recipe.parameters}
    check(said)
    target, seed, start = job.dataset.target, job.recipe.seed, job.clock()
    fold = job.folds(said.get("folds"))
    said["folds"] = int(fold.max()) + 1
    eye, state = _eye(job, said)
    values, mean, deviation = _heads.standardised(target, job.values)
    views = Views(_table(job, eye, state, said), values)
    pupil = _Pupil(views, strata(target, job.values), job.groups, target, _plan(said), said["validation"], seed)
    ready = job.clock()
    raw = pupil.out_of_fold(fold, job.tell)
    scores = _quality.fold_scores(target, values, raw, fold, job.groups)
    searched = job.clock()
    layer = pupil.learn(np.arange(len(job.train)), _teller(job.tell, pupil.plan))
    _tell_end(job.tell, layer)
    model, out_of_fold = _finished(job, eye, state, layer, raw * deviation + mean, fold, (mean, deviation))
    timings = {"features": ready - start, "search": searched - ready, "fit": job.clock() - searched}
    recipe = dataclasses.replace(job.recipe, parameters=said)
    return Fitted(model, out_of_fold, [_row(layer, scores, job.clock() - ready)], recipe, timings)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class _Pupil:
    """Everything that a lesson needs but the cases it may see. ``stratum`` and ``groups``: ``(n,)``."""

    views: Views
    stratum: Integers
    groups: Integers
    target: Target
    plan: Plan
    validation: float
    seed: int

    def learn(self, seen: Integers, told: _sgd.Told = lambda row: None) -> Layer:
        """A layer from these images and no others, some of which are held out to choose the epoch."""
        held = held_out(self.stratum[seen], self.groups[seen], self.validation, self.seed)
        return _sgd.learn(self.views, seen[~held], seen[held], self.target, self.plan, self.seed, told)

    def out_of_fold(self, fold: Integers, tell: Progress) -> Floats:
        """``(n, K)`` raw scores of each image by a layer that saw no image of its fold."""
        raw = np.empty((len(fold), columns(self.target)))
        count = int(fold.max()) + 1
        with tell.task("Folds of the linear layer", count) as tick:
            for number in range(count):
                layer, rest = self.learn(np.flatnonzero(fold != number)), np.flatnonzero(fold == number)
                raw[rest] = _raw(self.target, layer.scores(self.views.plain(rest)))
                tick(1)
        return raw


def held_out(stratum: Integers, groups: Integers, share: float, seed: int) -> Array:
    """``(n,)`` bool: about ``share`` of the groups of every stratum, and at least one group, but never the last one of a stratum.

    None is held out where ``share`` is 0 or every stratum has one group only.
    """
    names, first, member = np.unique(groups, return_index=True, return_inverse=True)
    of_group = stratum[first]
    draw = np.random.default_rng(seed)
    taken = np.zeros(len(names), np.bool_)
    kinds, sizes = np.unique(of_group, return_counts=True)
    for each in kinds[np.argsort(-sizes, kind="stable")]:
        own = draw.permutation(np.flatnonzero(of_group == each))
        wanted = round(share * len(own)) or int(share > 0 and not taken.any())
        taken[own[: min(wanted, len(own) - 1)]] = True
    return np.asarray(taken[member])


def _eye(job: FitJob, said: Mapping[str, Json]) -> tuple[Feature, State]:
    """The network's deepest map, every view by itself, as a feature with its state (the network as ONNX)."""
    network = _frozen.begin(said)
    views = 1 << max(_FLIPS[_flips(said)]).bit_length()
    eye = Feature(
        FEATURE,
        dataclasses.replace(network, side=int(said["side"]), stages=network.stages[-1:] or (-1,), views=views, join="each"),
    )
    return eye, features.fit(job.arrays, job.train, eye, seed=job.recipe.seed, compute=job.compute, cache=job.cache, tell=job.tell)


def _table(job: FitJob, eye: Feature, state: State, said: Mapping[str, Json]) -> Array:
    """``(n, V, D)`` float32: the means of the deepest map in every view, computed once, most often mapped from disk."""
    rows = features.table(job.arrays, np.asarray(job.train), eye, state=state, compute=job.compute, cache=job.cache, tell=job.tell)
    parted = rows.reshape(len(rows), -1, eye.params.views, _width(state))[..., : _width(state) // 2]
    chosen = list(_FLIPS[_flips(said)])
    if parted.shape[1] == 1 and len(chosen) == eye.params.views:
        return np.asarray(parted[:, 0])
    several = parted[:, :, chosen].transpose(0, 2, 1, 3)
    return np.ascontiguousarray(several.reshape(len(rows), len(chosen), -1))


def _width(state: State) -> int:
    """Means and deviations of the map's channels."""
    return int(np.asarray(state["blocks"])[0, 2])


def _flips(said: Mapping[str, Json]) -> tuple[str, ...]:
    return tuple(sorted(said["flips"]))


def _plan(said: Mapping[str, Json]) -> Plan:
    return Plan(float(said["rate"]), float(said["momentum"]), int(said["batch"]), int(said["epochs"]))


def _raw(target: Target, scores: Floats) -> Floats:
    """Scores of the layer as raw scores: of two classes the second one's less the first one's."""
    scores = scores.astype(np.float64)
    return scores[:, 1:] - scores[:, :1] if target.kind is TargetKind.BINARY else scores


def _finished(
    job: FitJob, eye: Feature, state: State, layer: Layer, raw: Floats, fold: Integers, scale: tuple[float, float]
) -> tuple[FeaturedModel, OutOfFold]:
    """The layer as a head on the network's features of the picture as it is, with calibration and decision."""
    target, seed = job.dataset.target, job.recipe.seed
    calibrator = calibration.fit(target, raw, job.values, job.groups, seed)
    probabilities = calibration.apply(calibrator, raw)
    decision = decisions.choose(target, probabilities, job.values, np.asarray(job.dataset.patients[job.train]), seed)
    plain = Feature(eye.name, dataclasses.replace(eye.params, views=1, join="mean"))
    model = FeaturedModel(
        FAMILY,
        target,
        job.recipe.preparation,
        _on_features.describe(job.arrays),
        (plain,),
        (state,),
        (_head(target, layer, _width(state)),),
        calibrator,
        decision,
        *scale,
    )
    return model, OutOfFold(np.asarray(job.train), fold, raw, probabilities)


def _head(target: Target, layer: Layer, width: int) -> Head:
    """The layer on all columns of the feature: deviations weigh nothing."""
    parts = layer.weights.reshape(-1, width // 2, layer.weights.shape[1])
    whole = np.concatenate([parts, np.zeros_like(parts)], axis=1).reshape(-1, parts.shape[2])
    ones = np.ones(len(whole), np.float32)
    scale = Scale(np.zeros_like(ones), ones * np.float32(_FAR), ones / np.float32(_FAR))
    weights, bias = _raw(target, whole), _raw(target, layer.bias[None])[0]
    return Head(Spec((0,), "sgd", {"epoch": layer.epoch}), scale, Linear(weights, bias))


def _teller(tell: Progress, plan: Plan) -> _sgd.Told:
    """Says loss and accuracy of every epoch."""

    def told(row: Mapping[str, Json]) -> None:
        parts = [
            f"{name.replace('_', ' ')} {row[name]:.4f}"
            for name in ("loss", "accuracy", "validation_loss", "validation_accuracy")
            if row[name] is not None
        ]
        tell.say(f"Epoch {row['epoch']} of {plan.epochs}: {', '.join(parts)}.")

    return told


def _tell_end(tell: Progress, layer: Layer) -> None:
    if layer.stopped == "nan":
        tell.say(f"The loss of epoch {len(layer.history)} is no number: the weights of epoch {layer.epoch} are kept.")
    else:
        tell.say(f"The weights of epoch {layer.epoch} are kept.")


def _row(layer: Layer, scores: Floats, seconds: float) -> dict[str, Json]:
    """The one trial: the epoch kept with its figures, and the history of all."""
    known = [float(each) for each in scores if not np.isnan(each)]
    best = layer.history[layer.epoch - 1] if layer.epoch else {}
    return {
        "trial": 0,
        "state": "complete" if layer.stopped == "done" else layer.stopped,
        "score": float(np.mean(known)) if known else None,
        "fold_scores": [None if np.isnan(each) else float(each) for each in scores],
        "seconds": round(seconds, 3),
        "how": "linear",
        **best,
        "history": [dict(each) for each in layer.history],
    }
