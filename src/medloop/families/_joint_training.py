"""A network of several targets trained on some of a job's cases, and what it answers for others."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medloop import registry
from medloop.families import _begun
from medloop.families._begun import Begun
from medloop.families._heads import standardised
from medloop.families._job import FitJob
from medloop.families._joint_kept import TARGETS, Heads, Kept, KeptTruth, Order
from medloop.families._joint_scores import Scores
from medloop.families._joint_truth import Changes, Known, Views
from medloop.families._joint_tuning import Settings, windows_each
from medloop.families._training import fit_head
from medloop.families._windows import chunks, through
from medloop.learning import devices, stages
from medloop.learning.lesson import Cases, Lesson, Trained
from medloop.learning.plan import Plan
from medloop.networks import backbones, costs, losses
from medloop.networks.joint import Joint, Shared
from medloop.networks.multitask import Multitask
from medloop.networks.seen import Seen
from medloop.targets import reconstruction
from medloop.targets.rules import Penalty
from medloop.torch_compat import torch
from medloop.types import Array, Floats, Integers, TargetKind

_VOXELS, _AT_ONCE = 2**22, 32
"""Voxels of images that are asked about at once, and images at most."""
_SHOWN = 2000
_FOREGROUND = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Sampled:
    """The order of an epoch over windows: ``count`` of them, half of which show something that is to be found where any do.

    ``shows``: ``(n,)`` bool.
    """

    shows: Array
    count: int
    seed: int

    def __call__(self, epoch: int) -> Integers:
        """Positions."""
        draw = np.random.default_rng([self.seed % 2**63, epoch])
        there, nothing = np.flatnonzero(self.shows), np.flatnonzero(~self.shows)
        wanted = min(len(nothing), self.count - int(np.ceil(_FOREGROUND * self.count))) if len(there) else self.count
        rest = draw.choice(nothing, wanted, replace=False) if wanted else nothing[:0]
        rounds = -(-(self.count - len(rest)) // max(len(there), 1))
        shown = np.concatenate([draw.permutation(there) for _ in range(rounds)] or [there])[: self.count - len(rest)]
        return np.asarray(draw.permutation(np.concatenate([rest, shown])))


class Ground:
    """What all trainings of a job have in common: the network they begin with, and what is known of the cases.

    Rows are positions among the n training cases. ``oof``: where out-of-fold answers of structured targets go. ``pulls``: what
    rules cost while masks of whole images are learnt.
    """

    def __init__(
        self, job: FitJob, settings: Settings, found: Begun | None, oof: Scores | None = None, pulls: Sequence[Penalty] = ()
    ) -> None:
        self.job, self.settings, self.oof, self.pulls = job, settings, oof, tuple(pulls)
        own = np.nan_to_num(job.values) if job.dataset.target.kind is TargetKind.NUMBER else job.values
        known = job.class_known
        _, self.mean, self.deviation = standardised(job.dataset.target, own[known] if known.any() else own)
        values = (own - self.mean) / self.deviation if job.dataset.target.kind is TargetKind.NUMBER else own
        self.known = Known.of(job, settings, values)
        self.views = Views.of(job.arrays, job.train, settings.patch)
        self.net = _network(job, settings, found)
        self.kept = Kept.of(job, self.net, self.views, settings.augmentation, settings.kept) if settings.kept else None
        self._learnt: Multitask | None = None
        self._first: Floats | None = None
        self._shows: Array | None = None

    @property
    def columns(self) -> int:
        """Of raw scores of classes."""
        return self.settings.net.columns

    @property
    def targets(self) -> tuple[str, ...]:
        """What is learnt, by the names of `networks.costs`."""
        net = self.settings.net
        asked = {
            "classes": net.columns,
            "masks": net.masks,
            "boxes": net.boxes,
            "measures": net.measures,
            "image": net.image,
            "embedding": net.embedding,
            "rules": net.masks and self.views.whole and self.pulls,
            "neighbours": net.masks and self.settings.staged and self.settings.solid is None and self.views.size[0] > 1,
        }
        return tuple(name for name, wanted in asked.items() if wanted)

    def trained(
        self, seen: Integers, held: Integers, plan: Plan, folder: Path | None, label: str, until: float = math.inf
    ) -> tuple[Multitask, Trained]:
        """A network that learnt from the rows ``seen``, until then; on all of them perhaps from where the training before it ended.

        Those ``held`` are not looked at.
        """
        before = self._learnt if self.settings.last < 1 and not len(held) else None
        net = self._learnt = copy.deepcopy(before or self.net)
        if self.kept is not None:
            lesson = self._of_heads(net, self.kept, seen, plan, folder, label)
            trained = stages.train_one(dataclasses.replace(lesson, deadline=until))
            self._decide(net, self.kept, seen)
            return net, trained
        if before is None:
            self._begin(net, seen)
        course = stages.STAGES if self.settings.staged else stages.JOINT

        def staged(stage: stages.Stage, part: Plan) -> Lesson:
            targets = tuple(name for name in self.targets if name in stage.targets)
            return dataclasses.replace(self._lesson(net, seen, part, targets, folder, label), deadline=until)

        return net, stages.train(staged, course, plan, self.targets)

    def keep(self) -> None:
        """Compute the maps that all trainings share."""
        if self.kept is not None:
            self.kept.fill(self.net, np.arange(len(self.job.train)), self.job)

    def scores(self, net: Multitask, rows: Integers) -> Floats:
        """``(m, K)`` float64 of classes, over the views; what is said of structured targets goes where out-of-fold answers go."""
        found = np.empty((len(rows), self.columns))
        for cut in chunks(len(rows), _few(self.job.arrays.shape)):
            part = rows[cut]
            said = self.answers(net, part)
            if self.columns:
                found[cut] = said["classes"]
            if self.oof is not None:
                self.oof.put(part, said)
        return found

    def answers(self, net: Multitask, rows: Integers) -> Mapping[str, Array]:
        """All that the network says of these rows, as the model will say it."""
        place = devices.place(self.job.device.partition("*")[0], self.settings.plan.precision)
        device = torch.device(place.kind, place.first) if place.kind == "cuda" else torch.device("cpu")
        seen = Seen(net, self.settings.views).to(device).eval()

        def run(pixels: Array) -> Mapping[str, Array]:
            with torch.inference_mode():
                said = seen(torch.from_numpy(np.ascontiguousarray(pixels)).to(device))
            told = {name: each.float().cpu().numpy() for name, each in zip(seen.names, said, strict=True) if name != "image"}
            return told | ({"errors": reconstruction.errors(made_up, pixels)} if net.spec.image else {})

        def made_up(pixels: Array) -> Floats:
            with torch.inference_mode():
                shown = torch.from_numpy(np.ascontiguousarray(pixels)).to(device)
                said = net.answers(net.maps(shown), shown, ("image",))["image"]
            return np.asarray(said.float().cpu().numpy())

        pixels = Views.of(self.job.arrays, np.asarray(self.job.train), (0, 0, 0)).take(rows)
        deep = pixels if pixels.ndim == 5 else pixels[:, :, None]
        found = through(run, deep, self.settings.patch, self.settings.net.stride)
        net.to("cpu")
        return found

    def pace(self, plan: Plan, steps: int) -> float:
        """Seconds that learning from one case takes, measured on so many steps, after some to warm up."""
        brief = dataclasses.replace(plan, epochs=2, average="none", stop_after=0, unfreeze_every=0)
        few = np.resize(np.arange(len(self.job.train)), max(1, steps * plan.batch // self._per_case))
        net = copy.deepcopy(self.net)
        if self.kept is not None:
            self.kept.fill(net, np.unique(few), self.job)
            lesson = self._of_heads(net, self.kept, few, brief, None, "")
        else:
            lesson = self._lesson(net, few, brief, self.targets, None, "")
        order = np.resize(np.arange(len(lesson.train)), steps * plan.batch)
        result = stages.train_one(dataclasses.replace(lesson, order=lambda epoch: order))
        return self._per_case / float(result.history[-1]["images_per_second"])

    @property
    def _per_case(self) -> int:
        """Windows of one case in an epoch."""
        return windows_each(len(self.views.places), len(self.job.train))

    def _of_heads(self, net: Multitask, kept: Kept, seen: Integers, plan: Plan, folder: Path | None, label: str) -> Lesson:
        """What heads learn from kept maps."""
        items, targets = kept.items(seen), tuple(name for name in self.targets if name in TARGETS)
        return dataclasses.replace(
            self._lesson(Heads(net, kept), seen, plan, targets, folder, label),
            train=Cases(images=kept, rows=items, targets=items),
            seen=0,
            augment=KeptTruth(kept, self._changes(targets)),
            order=Order(len(seen), kept.count, self.job.recipe.seed),
        )

    def _changes(self, targets: tuple[str, ...]) -> Changes:
        settings = self.settings
        cells = set(settings.solid.reduce) if settings.solid else {1}
        cell = cells.pop() if len(cells) == 1 else 1
        return Changes(self.views, self.known, settings.augmentation, targets, settings.net.stride, self.job.recipe.seed, cell)

    def _lesson(self, net: Shared, seen: Integers, plan: Plan, targets: tuple[str, ...], folder: Path | None, label: str) -> Lesson:
        job, settings = self.job, self.settings
        items = self.views.items(seen)
        weights = {name: each for name, each in settings.joint.weights.items() if name in targets}
        joint = Joint(net, costs.of(targets, self._loss(seen), self.pulls), dataclasses.replace(settings.joint, weights=weights))
        return Lesson(
            net=joint,
            loss=joint.loss,
            train=Cases(images=self.views, rows=items, targets=items),
            plan=plan,
            seed=job.recipe.seed,
            seen=int(np.prod(self.views.size)),
            augment=self._changes(targets),
            order=self._order(items, len(seen)),
            about=[settings.to_parameters(), self.known.digest(), list(targets)],
            device=job.device,
            folder=folder,
            clock=job.clock,
            tell=job.tell,
            label=label,
            told=joint.told,
        )

    def _loss(self, seen: Integers) -> losses.Loss | None:
        if self.known.classes is None:
            return None
        return losses.make(self.job.dataset.target, self.settings.loss, self.known.classes[seen][self.job.class_known[seen]])

    def _order(self, items: Integers, cases: int) -> Sampled | None:
        if self.views.whole:
            return None
        if self._shows is None:
            self._shows = self.known.foreground(self.views)
        return Sampled(self._shows[items], self._per_case * cases, self.job.recipe.seed)

    def _begin(self, net: Multitask, seen: Integers) -> None:
        """The heads' numbers on one scale, and the layer of the classes fitted to what the network says as it is."""
        if not {"classes", "measures", "embedding"} & set(self.targets):
            return
        shown = _some(np.arange(len(self.job.train)))
        if self._first is None:
            self._first = self._features(shown)
        chosen = np.isin(shown, seen)
        self._fit(net, torch.from_numpy(self._first[chosen].astype(np.float32)).clone(), shown[chosen], seen)

    def _decide(self, net: Multitask, kept: Kept, seen: Integers) -> None:
        """The layer of the classes, fitted to all kept views of the cases whose class is known."""
        items = kept.items(_some(seen[self.job.class_known[seen]])) if self.settings.classes else np.empty(0, np.int64)
        if not len(items):
            return
        heads = Heads(net, kept).eval()
        with torch.no_grad():
            parts = [heads.features(torch.from_numpy(kept.take(items[cut]))) for cut in chunks(len(items), _AT_ONCE)]
        self._fit(net, torch.cat(parts), items // kept.count, seen)

    def _fit(self, net: Multitask, features: torch.Tensor, rows: Integers, seen: Integers) -> None:
        """``features``: ``(m, S, width)`` of these rows."""
        net.learn_levels(features)
        loss, usable = self._loss(seen), self.job.class_known[rows]
        if loss is not None and self.known.classes is not None and usable.any():
            fit_head(net.answer, features[torch.from_numpy(usable)], torch.from_numpy(self.known.classes[rows][usable]), loss)

    def _features(self, rows: Integers) -> Floats:
        """``(m, S, width)`` float16 of each case (of its middle window): what the network says before it learns."""
        count, net = len(self.views.places), self.net.eval()
        found = []
        with torch.inference_mode(), self.job.tell.task("features", len(rows)) as tick:
            for cut in chunks(len(rows), _few((self.job.arrays.shape[0], *self.views.size))):
                part = rows[cut]
                pixels = torch.from_numpy(self.views.take(part * count + count // 2))
                found.append(net.features(pixels).float().numpy())
                tick(len(part))
        return np.concatenate(found).astype(np.float16)


def _network(job: FitJob, settings: Settings, found: Begun | None) -> Multitask:
    """The network that every training of the job begins with."""
    make = Multitask
    if settings.solid is None:
        backbone = _begun.backbone(settings.backbone, settings.source, found, job)
        if settings.net.context and not settings.source:
            backbones.centre(backbone, 2 * settings.net.context + 1)
    else:
        volumes = registry.part("networks", "solid")  # it brings MONAI, which takes seconds
        make, backbone = volumes.Solid, volumes.build(settings.solid)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(job.recipe.seed)
        net = make(backbone, settings.net)
    if found is not None:
        _begun.take_heads(net, found, settings.answered, job)
    return net


def _some(rows: Integers) -> Integers:
    """These, or as many as say enough, evenly taken."""
    return np.asarray(rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _SHOWN)).astype(int))])


def _few(shape: Sequence[int]) -> int:
    """How many images ``(C, Z, Y, X)`` are asked about at once."""
    return int(np.clip(_VOXELS // int(np.prod(shape)), 1, _AT_ONCE))
