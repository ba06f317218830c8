"""What a recipe may say about a network of several targets, and what is done where it says nothing.

``targets``       names of what is learnt; left out: all that is labelled
``from``          a file of weights or a model's folder to begin with; ``from_digest``: the hash of it, read and left alone
``network``       ``slices`` (volumes go slice by slice through a pretrained network) or ``solid`` (it sees volumes as volumes)
``filters``       of the solid one: channels of its first maps; ``levels``: how many maps there are; ``reduce``: voxels
                  ``[z, y, x]`` of which the mean is one that it sees; ``blocks``: of convolutions at each level; ``norm``
                  (see `SolidSpec`)
``backbone``      timm's name; ``stages`` (maps that are used), ``side`` (pixels the network sees), ``level`` (see `BackboneSpec`)
``head``          a table: ``regions``, ``join``, ``dropout`` (of what is said of the case, see `ClassifierSpec`)
``width``         of the pyramid
``context``       neighbours of a slice, each side, that it is seen with (volumes)
``fine``          whether masks are also made from the pixels themselves, not from maps of half their size alone (usual for volumes)
``patch``         largest ``[z, y, x]`` that goes through the network at once, 0 for the whole side; the rest is seen in windows
``kept``          changed views of each picture whose maps are kept on disk, for heads to learn from while the backbone stands
                  still, and for the classes afterwards; 0: the whole network learns
``views``         flipped and turned views that answers are averaged over: 1, 2, 4, 8
``joint``         how losses are joined: ``fixed``, ``uncertainty``, ``gradients`` (see `medloop.networks.joint`)
``weights``       a table: how much each target counts
``staged``        whether it learns in stages: global, local, decision (see `medloop.learning.stages`)
``reconstruct``   whether it also learns to make up hidden parts of the image, a helper that needs no labels
``similarity``    numbers of an embedding in which cases of one class lie together; 0: none
``rules``         a file of rules, or their text (see `medloop.targets.rules`)
``loss``          of the classes, a table (see `LossSpec`)
``augmentation``  a table (see `Augmentation`); an empty one is none
``training``      a table (see `Plan`)
``folds``         of the cross-validation inside the training cases; 1 (without classes): one part is held out, once
``trials``        read and left alone: nothing is searched
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from medloop.errors import InputError, unknown_name
from medloop.families import _joint_solid, _tuning, _wanted
from medloop.families._cross import columns
from medloop.families._job import FitJob
from medloop.families._wanted import Wanted
from medloop.learning import augment
from medloop.learning.augment import Augmentation
from medloop.learning.plan import Plan
from medloop.networks.backbones import DEFAULT, BackboneSpec
from medloop.networks.classifier import TURNS
from medloop.networks.joint import HOW, JointSpec
from medloop.networks.losses import LossSpec
from medloop.networks.multitask import MultitaskSpec
from medloop.networks.solid_spec import NORMS, SolidSpec
from medloop.targets import reconstruction
from medloop.types import Json, Target, TargetKind

Patch = tuple[int, int, int]
FOLDS, HELD_OUT = 3, 1
"""Parts held out in turn where classes are learnt; else one is enough to learn thresholds on, and more time is left to train."""
_FURTHER = 0.25
_VIEWS_KEPT, _PICTURES_KEPT, _BYTES_KEPT, _FINE_BYTES, _COARSE_BYTES = 8, 12_000, 2**31, 16, 4
"""Views of a picture whose maps are kept, at most, and of all pictures; bytes on disk, of which a pixel that the network sees takes
about so many, with the finest maps and without."""
_PASSES = 4
"""In which an image is made up, a quarter of it hidden in each."""
_SHIFT, _BRIGHTNESS, _CONTRAST = 0.03, 12.0, 0.15
"""At most, and no blur or noise: borders that are hard to see are learnt late, and there are few epochs."""
_OF_THE_CASE, _OF_NEIGHBOURS = 0.2, 0.1
_WEIGHED = ("classes", "masks", "boxes", "measures", "image", "embedding", "rules", "neighbours")
_CLASSES = "classes"
_LOOK = 0.6
_LOOK_AT_PICTURES = 3.0
"""What an answer costs of what learning from a case does, in halves; where learning is from kept maps and answers from pictures."""
_VIEWED, _VIEWED_AT_RANDOM, _MOST_EPOCHS, _LEAST_EPOCHS = 40_000, 72_000, 200, 3
"""Views that are worth while for a network that has seen pictures before, and for one that begins at random."""
_TIMES_SEEN, _LEAST_VIEWED = 4, 4_000
"""How often a kept view is seen where boxes alone are learnt, or views in all where there are few: more did not help
(docs/decisions/0003)."""
_WINDOWS, _FEW_WINDOWS = 8, 96
"""Windows of one image in an epoch, at most; more of them where that makes fewer in an epoch than this."""
_LARGEST_SIDE = 512
_SLAB = 2
"""What is so many times as wide as deep is a slab."""
_STAGES, _FOR_BOXES = (0, 1, 2, 3), (2, 3, 4)
"""Without the deepest blocks, which cost half of the time on small pictures and learn them by heart. Boxes alone need no fine maps,
but sight that reaches far."""
_DEEP, _DEEP_SIDE = 16, 128
"""Slices, and pixels a side, of a volume's patch."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """Everything that decides how a network of several targets is trained. ``classes``: whether the dataset's own target is learnt;
    ``further``: the structured targets that are. ``solid``: the network that sees volumes as volumes, instead of ``backbone``.
    ``told``: the share of the training cases whose class is known. ``epochs_open``: the recipe leaves open how many epochs there
    are."""

    classes: bool
    further: tuple[Target, ...]
    source: str
    backbone: BackboneSpec
    solid: SolidSpec | None
    net: MultitaskSpec
    patch: Patch
    kept: int
    views: int
    joint: JointSpec
    staged: bool
    rules: str
    loss: LossSpec
    augmentation: Augmentation
    plan: Plan
    folds: int
    told: float
    epochs_open: bool

    @property
    def last(self) -> float:
        """Of the epochs, those of the training on all cases. Where one part was held out it goes on from what the others taught."""
        return _FURTHER if self.folds == HELD_OUT else 1.0

    @property
    def watched(self) -> bool:
        """Networks are asked about the cases that are held out only once they have learnt."""
        return False

    @property
    def looks(self) -> float:
        """How often networks are asked about each case without learning from it."""
        if self.kept:
            return _LOOK_AT_PICTURES * self.views + (_LOOK * self.kept * self.folds * self.told if self.classes else 0)
        return _LOOK * (self.views + 1 + (_PASSES if self.net.image else 0))

    @property
    def answered(self) -> tuple[Target, ...]:
        """The structured targets that the model answers: those learnt from labels, and the reconstruction, which has none."""
        return (*self.further, reconstruction.TARGET) if self.net.image else self.further

    def of(self, kind: TargetKind) -> Target | None:
        """The structured target of that kind."""
        return next((each for each in self.further if each.kind is kind), None)

    def to_parameters(self) -> dict[str, Json]:
        """As the parameters of a recipe, nothing left open."""
        net = self.net
        found: dict[str, Json] = {"targets": [*([_CLASSES] if self.classes else []), *(each.name for each in self.further)]}
        found |= {key: text for key, text in (("from", self.source), ("rules", self.rules)) if text}
        return (
            found
            | self._network()
            | {
                "head": {"regions": list(net.regions), "join": net.join, "dropout": net.dropout},
                "patch": list(self.patch),
                "kept": self.kept,
                "views": self.views,
                "joint": self.joint.how,
                "weights": dict(self.joint.weights),
                "staged": self.staged,
                "reconstruct": net.image,
                "similarity": net.embedding,
                "loss": self.loss.to_json(),
                "augmentation": self.augmentation.to_json(),
                "training": self.plan.to_json(),
                "folds": self.folds,
            }
        )

    def _network(self) -> dict[str, Json]:
        """What it is made of."""
        if self.solid is not None:
            made = self.solid.to_json()
            return {"network": _joint_solid.SOLID} | {name: made[name] for name in _joint_solid.SAID}
        return {
            "network": _joint_solid.SLICES,
            "backbone": self.backbone.name,
            "stages": list(self.backbone.stages),
            "side": self.backbone.side,
            "level": self.backbone.level,
            "width": self.net.width,
            "context": self.net.context,
            "fine": self.net.fine > 0,
        }


def check(parameters: Mapping[str, Json]) -> None:
    """Raises `InputError` for a key, a name or a value that cannot be followed."""
    _wanted.check(parameters, WANTED)
    if Augmentation.from_json(parameters.get("augmentation", {})).mixup:
        raise InputError(
            "bad-recipe",
            got="The recipe's augmentation has mixup.",
            allowed="Changes that masks and boxes can follow; pictures that are mixed have no mask.",
            fix="Leave mixup out.",
        )


def settings(job: FitJob, begun: BackboneSpec | None = None) -> Settings:
    """What the recipe says, and for the rest what suits images and targets. ``begun``: the spec of the network in ``from``.

    Raises `InputError` for a target that is not labelled.
    """
    said = job.recipe.parameters
    classes, further = _targets(job)
    solid = _joint_solid.spec(said, job)
    patch = _patch(said.get("patch"), job, further, solid)
    training = (_joint_solid.plan(solid) if solid else {}) | said.get("training", {})
    backbone = _backbone(said, job, patch, (classes, further), begun)
    kept = _kept(said, job, (classes, further), patch, backbone)
    return Settings(
        classes=classes,
        further=further,
        source=str(said.get("from", "")),
        backbone=backbone,
        solid=solid,
        net=dataclasses.replace(_net(said, job, classes, further), guided=classes and kept > 0),
        patch=patch,
        kept=kept,
        views=int(said.get("views", 4 if job.arrays.colour and job.arrays.shape[1] == 1 else 1)),
        joint=_joint(said, further),
        staged=bool(said.get("staged", False)),
        rules=str(said.get("rules", "")),
        loss=LossSpec.from_json(_loss(job) | dict(said.get("loss", {}))),
        augmentation=_augmentation(said, job, patch),
        plan=plan_for(
            len(job.train),
            job.arrays.shape[1] > 1,
            training,
            kept if _boxes_alone(classes, further) else 0,
            _VIEWED_AT_RANDOM if solid else _VIEWED,
        ),
        folds=_folds(said, classes),
        told=float(job.class_known.mean()),
        epochs_open="epochs" not in said.get("training", {}),
    )


def plan_for(cases: int, deep: bool, said: Mapping[str, Json], kept: int = 0, viewed: int = _VIEWED) -> Plan:
    """How to train on so many cases, ``deep``: volumes. ``epochs`` is then the most that is worth while.

    ``kept``: views of each picture from whose maps boxes alone are learnt, 0: otherwise. ``viewed``: views in all.
    """
    most = min(max(math.ceil(viewed / max(cases, 1)), _LEAST_EPOCHS), _MOST_EPOCHS)
    if kept:
        most = min(most, max(_TIMES_SEEN * kept, math.ceil(_LEAST_VIEWED / max(cases, 1))))
    usual: dict[str, Json] = {
        "epochs": most,
        "batch": 2 if deep else 8,
        "rate": 1e-3,
        "head_rate": 8.0,
        "layer_decay": 0.8,
        "frozen": 3,
        "decay": 0.02,
        "norms": "keep",
        "average": "ema",
        "kept": "last",
    }
    return Plan.from_json(usual | dict(said))


def windows_each(places: int, cases: int) -> int:
    """How many windows of a case an epoch shows, where it has so many."""
    return 1 if places == 1 else max(min(places, _WINDOWS), math.ceil(_FEW_WINDOWS / max(cases, 1)))


def _targets(job: FitJob) -> tuple[bool, tuple[Target, ...]]:
    """Whether classes are learnt, and which structured targets."""
    there = {truth.target.name: truth.target for truth in job.dataset.further}
    own = not job.dataset.target.kind.structured
    names = [*([_CLASSES] if own else []), *there]
    wanted = list(job.recipe.parameters.get("targets", names))
    for name in wanted:
        if name not in names:
            raise unknown_name("target", name, names)
    further = tuple(there[name] for name in there if name in wanted)
    kinds = [each.kind for each in further]
    if len(set(kinds)) < len(kinds):
        raise InputError(
            "two-targets-alike",
            got=f"Several targets of one kind: {', '.join(each.name for each in further)}.",
            allowed="One target of masks, one of boxes, one of measures.",
            fix="Choose with --targets.",
        )
    return own and _CLASSES in wanted, further


def _boxes_alone(classes: bool, further: tuple[Target, ...]) -> bool:
    """Whether nothing else is learnt."""
    return not classes and {each.kind for each in further} == {TargetKind.BOXES}


def _backbone(
    said: Mapping[str, Json], job: FitJob, patch: Patch, asked: tuple[bool, tuple[Target, ...]], begun: BackboneSpec | None
) -> BackboneSpec:
    classes, further = asked
    _, depth, high, wide = job.arrays.shape
    side = max(patch[1] or high, patch[2] or wide)
    channels = job.arrays.shape[0] * (1 + 2 * _context(said, job))
    stages = _FOR_BOXES if _boxes_alone(classes, further) else _STAGES
    usual = begun or BackboneSpec(side=min(max(side, _tuning.SMALL_SIDE), _LARGEST_SIDE), stages=stages)
    seen = 0 if channels in (1, 3) and (depth == 1 or channels == 1) else channels
    return dataclasses.replace(_tuning.backbone_said(said, usual), channels=seen)


def _net(said: Mapping[str, Json], job: FitJob, classes: bool, further: tuple[Target, ...]) -> MultitaskSpec:
    kinds = {each.kind: len(each.classes) for each in further}
    target, deep = job.dataset.target, job.arrays.shape[1] > 1
    join = "attention" if deep and said.get("network") != _joint_solid.SOLID else "mean"
    usual: dict[str, Json] = {"regions": [1], "join": join, "dropout": 0.2} | dict(said.get("head", {}))
    alike = len(target.classes) if classes and target.kind in (TargetKind.BINARY, TargetKind.MULTICLASS) else 0
    return MultitaskSpec(
        columns=columns(target) if classes else 0,
        masks=kinds.get(TargetKind.MASKS, 0),
        boxes=kinds.get(TargetKind.BOXES, 0),
        measures=kinds.get(TargetKind.MEASURES, 0),
        image=bool(said.get("reconstruct", False)),
        embedding=int(said.get("similarity", 0)) if alike else 0,
        kinds=alike,
        regions=tuple(usual["regions"]),
        join=str(usual["join"]),
        dropout=float(usual["dropout"]),
        width=int(said.get("width", 64)),
        context=_context(said, job),
        fine=_fine(said, job, kinds),
    )


def _joint(said: Mapping[str, Json], further: tuple[Target, ...]) -> JointSpec:
    """Where losses are not weighed against each other while learning, what is said of the case counts less than what is said of
    places: it is learnt from few numbers, soon by heart, and its gradients disturb the others."""
    how = str(said.get("joint", "fixed"))
    places = how == "fixed" and any(each.kind in (TargetKind.MASKS, TargetKind.BOXES) for each in further)
    usual = dict.fromkeys(("classes", "measures", "embedding"), _OF_THE_CASE) if places else {}
    usual |= {"neighbours": _OF_NEIGHBOURS} if how == "fixed" and said.get("staged") else {}
    return JointSpec(how, usual | {name: float(each) for name, each in said.get("weights", {}).items()})


def _context(said: Mapping[str, Json], job: FitJob) -> int:
    sliced = job.arrays.shape[1] > 1 and said.get("network") != _joint_solid.SOLID
    return int(said.get("context", 1)) if sliced else 0


def _fine(said: Mapping[str, Json], job: FitJob, kinds: Collection[TargetKind]) -> int:
    """Channels of the pixels that masks are made from."""
    sliced = said.get("network") != _joint_solid.SOLID and TargetKind.MASKS in kinds
    fine = sliced and said.get("fine", job.arrays.shape[1] > 1)
    return job.arrays.shape[0] * (1 + 2 * _context(said, job)) if fine else 0


def _patch(said: Any, job: FitJob, further: tuple[Target, ...], solid: SolidSpec | None) -> Patch:
    """The whole image; of volumes that are large a part, where nothing is said of the case as a whole."""
    _, depth, high, wide = job.arrays.shape
    whole = depth == 1 or not further
    usual = [0, 0, 0] if whole else _joint_solid.patch(solid, (depth, high, wide)) if solid else [_DEEP, 0, 0]
    z, y, x = usual if said is None else said
    return tuple(0 if part >= side else part for part, side in zip((z, y, x), (depth, high, wide), strict=True))  # type: ignore[return-value]


def _folds(said: Mapping[str, Json], classes: bool) -> int:
    """Parts that are held out. Raises `InputError` for one where classes are learnt: calibration needs an answer for each case."""
    wanted = int(said.get("folds", FOLDS if classes else HELD_OUT))
    if classes and wanted == HELD_OUT:
        raise InputError("bad-recipe", got="folds = 1, and classes.", allowed="2 or more, or no classes.", fix="Leave folds out.")
    return wanted


def _kept(
    said: Mapping[str, Json], job: FitJob, asked: tuple[bool, tuple[Target, ...]], patch: Patch, backbone: BackboneSpec
) -> int:
    """Views of each picture whose maps are kept; as many as is worth while for pictures of which masks or boxes are learnt.

    Raises `InputError` where the recipe asks for them and something else is learnt as well.
    """
    classes, further = asked
    kinds = {each.kind for each in further}
    more = [name for name in ("reconstruct", "similarity", "rules", "staged", "fine") if said.get(name)]
    more += ["joint"] if classes and said.get("joint", "fixed") != "fixed" else []
    whole = job.arrays.shape[1] == 1 and not any(patch)
    fit = whole and not more and bool(kinds) and kinds <= {TargetKind.MASKS, TargetKind.BOXES}
    if "kept" in said:
        if said["kept"] and not fit:
            raise InputError(
                "bad-recipe",
                got=f"kept = {said['kept']}: maps are to be kept, and more is learnt than masks and boxes of whole pictures.",
                allowed="Masks, boxes or both of flat pictures, with classes or without; no measures, staged, rules or helpers; "
                "with classes no joint but fixed.",
                fix="Leave kept out.",
            )
        return int(said["kept"])
    if not fit or "frozen" in said.get("training", {}):
        return 0
    high, wide = job.arrays.shape[2:]
    seen = backbone.side**2 * min(high, wide) / max(high, wide)
    each = seen * (_FINE_BYTES if min(backbone.stages, default=0) == 0 else _COARSE_BYTES)
    views = min(_VIEWS_KEPT, _PICTURES_KEPT // len(job.arrays), int(_BYTES_KEPT / (each * len(job.arrays))))
    return views if views > 1 else 0


def _loss(job: FitJob) -> dict[str, Json]:
    if job.dataset.target.kind is TargetKind.NUMBER:
        return {"delta": 1.0}
    return {"smoothing": 0.05, "weighting": 1.0}


def _augmentation(said: Mapping[str, Json], job: FitJob, patch: Patch) -> Augmentation:
    """Slabs are not tilted: a tilt of a few degrees takes all but their middle out of what is known."""
    if "augmentation" in said:
        return Augmentation.from_json(said["augmentation"])
    arrays = job.arrays
    classes = [*job.dataset.target.classes, *(name for truth in job.dataset.further for name in truth.target.classes)]
    usual = augment.default(colour=arrays.colour, volume=arrays.shape[1] > 1, binary=arrays.binary, classes=classes)
    deep, high, wide = (part or side for part, side in zip(patch, arrays.shape[1:], strict=True))
    if _SLAB * deep < max(high, wide):
        usual = dataclasses.replace(usual, tilt=0.0)
    light = dataclasses.replace(usual, blur=0.0, sharpen=0.0, gamma=0.0, noise=0.0, shift=min(usual.shift, _SHIFT))
    return dataclasses.replace(light, brightness=min(usual.brightness, _BRIGHTNESS), contrast=min(usual.contrast, _CONTRAST))


def _head(value: Mapping[str, Json]) -> object:
    known = {"regions", "join", "dropout"}
    for key in value:
        if key not in known:
            raise unknown_name("head parameter", key, known)
    return _tuning.head(value)


def _parts(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 3 and all(_wanted.whole(0).good(each) for each in value)


def _counts(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(_wanted.whole(0).good(each) for each in value)


def _weights(value: Any) -> bool:
    """Raises `InputError` for what is no target."""
    wrong = [name for name in value if name not in _WEIGHED] if isinstance(value, Mapping) else []
    if wrong:
        raise unknown_name("target with a weight", str(wrong[0]), _WEIGHED)
    return isinstance(value, Mapping) and all(
        isinstance(each, int | float) and not isinstance(each, bool) and each >= 0 for each in value.values()
    )


def _names(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(each, str) for each in value)


WANTED: Mapping[str, Wanted] = {
    "targets": Wanted('a list of names such as ["classes", "masks"]', _names),
    "from": _wanted.text("model"),
    "from_digest": _wanted.text("the hash of what from names"),
    "network": _wanted.one_of(_joint_solid.SLICES, _joint_solid.SOLID),
    "filters": _wanted.whole(4),
    "levels": _wanted.whole(2),
    "reduce": Wanted("three whole numbers [z, y, x], 1 or more", lambda value: _parts(value) and 0 not in value),
    "blocks": Wanted("a list of whole numbers such as [1, 2, 2], one for each level", _counts),
    "norm": _wanted.one_of(*NORMS),
    "backbone": _wanted.text(DEFAULT),
    "stages": _tuning.WANTED["stages"],
    "side": _wanted.whole(16),
    "level": _wanted.yes_or_no(),
    "head": _tuning.table(_head, "{dropout = 0.2}"),
    "width": _wanted.whole(8),
    "context": _wanted.whole(0),
    "fine": _wanted.yes_or_no(),
    "patch": Wanted("three whole numbers [z, y, x], 0 for the whole side", _parts),
    "kept": _wanted.whole(0),
    "views": Wanted(f"one of {', '.join(map(str, TURNS))}", lambda value: value in TURNS and not isinstance(value, bool)),
    "joint": _wanted.one_of(*HOW),
    "weights": Wanted("a table of numbers from 0 such as {classes = 1.0, masks = 0.5}", _weights),
    "staged": _wanted.yes_or_no(),
    "reconstruct": _wanted.yes_or_no(),
    "similarity": _wanted.whole(0),
    "rules": _wanted.text("rules.toml"),
    "loss": _tuning.table(LossSpec.from_json, "{smoothing = 0.05}"),
    "augmentation": _tuning.table(Augmentation.from_json, "{turn = 10.0}"),
    "training": _tuning.table(Plan.from_json, "{epochs = 5, rate = 0.0003}"),
    "folds": _wanted.whole(1),
    "trials": _wanted.whole(1),
}
