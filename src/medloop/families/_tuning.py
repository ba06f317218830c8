"""What a recipe may say about fine-tuning a network, and what is done where it says nothing.

The defaults are for small collections, where training a whole network for long learns the cases by heart: the middle stages of the
network only, the first of them as they came, few epochs, averaged weights, strong weight decay.

``how``           ``last`` (the backbone as it is, only the layers behind it are learnt) or ``whole`` (the backbone too)
``from``          a file of weights or a model's folder to begin with
``backbone``      timm's name; ``stages`` (maps that are used), ``side`` (pixels the network sees), ``level`` (see `BackboneSpec`;
                  grey pictures are levelled, for exposure and contrast differ from machine to machine)
``head``          a table: ``regions``, ``join``, ``slices``, ``planes``, ``dropout``, ``views`` (see `ClassifierSpec`)
``imbalance``     what is done where classes are of unequal size: ``none``, ``weights``, ``sampling``, ``adjust``, ``focal``
``loss``          a table (see `LossSpec`)
``augmentation``  a table (see `Augmentation`); an empty one is none
``skip``          stochastic depth: how often the deepest block is left out while learning, the others in proportion
``training``      a table (see `Plan`)
``folds``         of the cross-validation inside the training cases (three where there are a thousand)
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from medloop.errors import InputError
from medloop.families import _wanted
from medloop.families._cross import columns
from medloop.families._job import FitJob
from medloop.families._wanted import Wanted
from medloop.learning import augment
from medloop.learning.augment import Augmentation
from medloop.learning.plan import Plan
from medloop.networks import necks
from medloop.networks.backbones import DEFAULT, BackboneSpec
from medloop.networks.classifier import TURNS, ClassifierSpec
from medloop.networks.losses import LossSpec
from medloop.prepared.arrays import PreparedArrays
from medloop.types import Json, TargetKind

IMBALANCE: Mapping[str, dict[str, Json]] = {
    "none": {},
    "weights": {"weighting": 1.0},
    "sampling": {},
    "adjust": {"adjust": 1.0},
    "focal": {"name": "focal"},
}
"""What each way asks of the loss; ``sampling`` shows rare classes more often instead."""
SMALL, SMALL_SIDE, LARGE_SIDE = 64, 80, 160
"""Pictures of at most so many pixels a side are small: the network sees them at ``SMALL_SIDE``, others at ``LARGE_SIDE``."""
ALL = 1000
"""More blocks than any backbone has."""
_VIEWED, _MOST_EPOCHS, _LEAST_EPOCHS = 24_000, 30, 3
_SLICES = 8
_MANY, _FOLDS_OF_MANY = 1000, 3
"""So many cases are enough for few folds, and a network needs the time for its epochs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """Everything that decides how a network is fine-tuned. ``epochs_open``: the recipe leaves open how many there are."""

    how: str
    source: str
    backbone: BackboneSpec
    classifier: ClassifierSpec
    imbalance: str
    loss: LossSpec
    augmentation: Augmentation
    skip: float
    plan: Plan
    folds: int | None
    epochs_open: bool

    @property
    def still(self) -> bool:
        """Whether nothing before the last layers changes, nor do the pictures: what the backbone says is computed once."""
        return self.plan.frozen >= ALL and self.augmentation == augment.NOTHING

    @property
    def last(self) -> float:
        """Of the epochs, those of the training on all cases: it begins anew."""
        return 1.0

    @property
    def watched(self) -> bool:
        """The history tells how well the network does on the cases that are held out."""
        return True

    @property
    def looks(self) -> float:
        """How often networks are asked about each case without learning from it."""
        return 0.0 if self.still else 3.0 * self.classifier.views

    def to_parameters(self) -> dict[str, Json]:
        """As the parameters of a recipe, nothing left open."""
        given = self.backbone
        found: dict[str, Json] = {"how": self.how}
        if self.source:
            found["from"] = self.source
        return found | {
            "backbone": given.name,
            "stages": list(given.stages),
            "side": given.side,
            "level": given.level,
            "head": {key: value for key, value in self.classifier.to_json().items() if key != "columns"},
            "imbalance": self.imbalance,
            "loss": self.loss.to_json(),
            "augmentation": self.augmentation.to_json(),
            "skip": self.skip,
            "training": self.plan.to_json(),
            "folds": self.folds,
        }


def check(parameters: Mapping[str, Json]) -> None:
    """Raises `InputError` for a key, a name or a value that cannot be followed."""
    _wanted.check(parameters, WANTED)


def settings(job: FitJob, begun: BackboneSpec | None = None) -> Settings:
    """What the recipe says, and for the rest what suits images and target. ``begun``: the spec of the network in ``from``."""
    said, arrays, target = job.recipe.parameters, job.arrays, job.dataset.target
    how = str(said.get("how", "whole"))
    spec = _backbone(said, arrays, begun)
    changes = _augmentation(said, how, job)
    head = _classifier(said.get("head", {}), arrays, columns(target), changes)
    imbalance = str(said.get("imbalance", "none" if target.kind is TargetKind.NUMBER else "weights"))
    loss = {"smoothing": 0.05, **IMBALANCE[imbalance], **said.get("loss", {})}
    if target.kind is TargetKind.NUMBER:
        loss = {"delta": 1.0, **said.get("loss", {})}
    return Settings(
        how=how,
        source=str(said.get("from", "")),
        backbone=spec,
        classifier=head,
        imbalance=imbalance,
        loss=LossSpec.from_json(loss),
        augmentation=changes,
        skip=float(said.get("skip", 0.0)),
        plan=plan_for(how, len(job.train), said.get("training", {})),
        folds=said.get("folds", _FOLDS_OF_MANY if len(job.train) >= _MANY else None),
        epochs_open="epochs" not in said.get("training", {}),
    )


def plan_for(how: str, cases: int, said: Mapping[str, Json]) -> Plan:
    """How to train on so many cases. ``epochs`` is then the most that is worth while."""
    most = min(max(math.ceil(_VIEWED / max(cases, 1)), _LEAST_EPOCHS), _MOST_EPOCHS)
    usual: dict[str, Json] = {
        "epochs": most,
        "batch": 32,
        "rate": 3e-4,
        "head_rate": 1.0,
        "layer_decay": 0.7,
        "frozen": 2,
        "decay": 0.05,
        "norms": "keep",
        "average": "ema",
        "kept": "best" if said.get("patience") else "last",
    }
    if how == "last":
        usual |= {"epochs": _MOST_EPOCHS, "rate": 1e-3, "frozen": ALL}
    return Plan.from_json(usual | dict(said))


def _backbone(said: Mapping[str, Json], arrays: PreparedArrays, begun: BackboneSpec | None) -> BackboneSpec:
    small, flat = max(arrays.shape[2:]) <= SMALL, arrays.shape[1] == 1
    side, stages = (SMALL_SIDE, (1, 2, 3)) if small else (LARGE_SIDE, (1, 2, 3, 4))
    usual = begun or BackboneSpec(side=side, stages=stages, level=flat and not (arrays.colour or arrays.binary))
    return backbone_said(said, usual)


def backbone_said(said: Mapping[str, Json], usual: BackboneSpec) -> BackboneSpec:
    """The usual backbone, but for what the recipe says; another network brings its own stages."""
    if "backbone" in said and said["backbone"] != usual.name:
        usual = dataclasses.replace(usual, name=str(said["backbone"]), stages=())
    return dataclasses.replace(
        usual,
        side=int(said.get("side", usual.side)),
        stages=tuple(said.get("stages", usual.stages)),
        level=bool(said.get("level", usual.level)),
        weights="pretrained",
    )


def _classifier(said: Mapping[str, Json], arrays: PreparedArrays, count: int, changes: Augmentation) -> ClassifierSpec:
    """Pictures that are mirrored while it learns are judged in these views too."""
    usual: dict[str, Json] = {"dropout": 0.2, "regions": [1]}
    if arrays.shape[1] > 1:
        usual |= {"join": "attention", "slices": min(_SLICES, arrays.shape[1])}
    elif "x" in changes.flips:
        usual["views"] = 4 if "y" in changes.flips else 2
    return ClassifierSpec.from_json({"columns": count} | usual | dict(said))


def _augmentation(said: Mapping[str, Json], how: str, job: FitJob) -> Augmentation:
    if "augmentation" in said:
        return Augmentation.from_json(said["augmentation"])
    if how == "last":
        return augment.NOTHING
    arrays = job.arrays
    return augment.default(
        colour=arrays.colour, volume=arrays.shape[1] > 1, binary=arrays.binary, classes=job.dataset.target.classes
    )


def table(say: Callable[[Mapping[str, Json]], object], example: str) -> Wanted:
    """A table that ``say`` can read (or raises `InputError`)."""

    def good(value: Any) -> bool:
        return isinstance(value, Mapping) and say(value) is not None

    return Wanted(f"a table such as {example}", good)


def head(value: Mapping[str, Json]) -> ClassifierSpec:
    """Raises `InputError` for what a classifier cannot be."""
    rules: dict[str, Callable[[Any], bool]] = {
        "regions": lambda each: _counts(each) and bool(each),
        "join": lambda each: each in necks.JOINS,
        "slices": _wanted.whole(0).good,
        "planes": lambda each: isinstance(each, str) and bool(each) and set(each) <= set("zyx") and len(set(each)) == len(each),
        "dropout": lambda each: isinstance(each, int | float) and 0 <= each < 1,
        "views": lambda each: each in TURNS,
    }
    for key, given in value.items():
        if key not in rules or not rules[key](given):
            raise InputError(
                "bad-recipe",
                got=f"The recipe's head has {key} = {given!r}.",
                allowed=f"regions: whole numbers from 1; join: {', '.join(necks.JOINS)}; slices: from 0; planes: of z, y, x; "
                f"dropout: from 0 to less than 1; views: {', '.join(map(str, TURNS))}.",
                fix=f"Mend {key}, or leave it out.",
            )
    return ClassifierSpec.from_json({"columns": 1, "regions": [1]} | dict(value))


def _counts(value: Any) -> bool:
    """A list of whole numbers from 1."""
    return isinstance(value, list | tuple) and all(_wanted.whole(1).good(each) for each in value)


def _stages(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(_wanted.whole(0).good(each) for each in value)


def _share(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1


WANTED: Mapping[str, Wanted] = {
    "how": _wanted.one_of("last", "whole"),
    "from": _wanted.text("model"),
    "backbone": _wanted.text(DEFAULT),
    "stages": Wanted("a list of whole numbers such as [1, 2, 3]", _stages),
    "side": _wanted.whole(16),
    "level": _wanted.yes_or_no(),
    "head": table(head, "{dropout = 0.2}"),
    "imbalance": _wanted.one_of(*IMBALANCE),
    "loss": table(LossSpec.from_json, "{smoothing = 0.05}"),
    "augmentation": table(Augmentation.from_json, "{turn = 10.0}"),
    "skip": Wanted("a number from 0 to less than 1", _share),
    "training": table(Plan.from_json, "{epochs = 5, rate = 0.0003}"),
    "folds": Wanted("a whole number, 2 or more", lambda value: value is None or _wanted.whole(2).good(value)),
}
