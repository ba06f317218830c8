"""One network trained on some of a job's cases, and what it answers for others."""

from __future__ import annotations

import copy
import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from medloop.families import _begun, _quality
from medloop.families._begun import Begun
from medloop.families._folds import folds
from medloop.families._heads import standardised
from medloop.families._job import FitJob
from medloop.families._network_model import as_input
from medloop.families._tuning import Settings
from medloop.learning import augment, devices, sampling
from medloop.learning.augment import Augmentation
from medloop.learning.fitting import train
from medloop.learning.lesson import Cases, Lesson, Trained
from medloop.learning.plan import Plan
from medloop.networks import depth, losses
from medloop.networks.classifier import Answer, Classifier, Viewed
from medloop.networks.losses import Loss
from medloop.prepared.arrays import PreparedArrays
from medloop.torch_compat import torch
from medloop.types import Array, Floats, Integers, Target, TargetKind

AT_ONCE = 64
_SHOWN = 5000
_PULL, _STEPS = 1e-3, 100
_ASIDE = 10
_STILL_S = 1e-4


@dataclass(frozen=True, slots=True, eq=False)
class Pixels:
    """Prepared images as networks take them."""

    arrays: PreparedArrays

    @property
    def key(self) -> str:
        """A name of exactly these pixels."""
        return self.arrays.key

    def take(self, indices: ArrayLike) -> Array:
        """``(n, C, Y, X)`` or ``(n, C, Z, Y, X)`` uint8."""
        return as_input(self.arrays.take(indices))


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Pooled features ``(n, S, width)``, computed before; row ``i`` belongs to the training case ``i``."""

    values: Floats

    def take(self, indices: ArrayLike) -> Array:
        """``(m, S, width)`` float32, where torch would put it: products of matrices that lie elsewhere differ in the last bit."""
        wanted = np.asarray(indices)
        found: Array = torch.empty((len(wanted), *self.values.shape[1:])).numpy()
        found[...] = self.values[wanted]
        return found


@dataclass(frozen=True, slots=True)
class Changes:
    """Augmentation of a batch. ``classes``: as many as exclude one another (0: labels or numbers), for mixtures."""

    augmentation: Augmentation
    seed: int
    classes: int

    def __call__(self, pixels: torch.Tensor, targets: torch.Tensor, epoch: int, first: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Changed pixels and targets."""
        draws = augment.draw(len(pixels), self.augmentation, self.seed, epoch, first)
        changed = augment.apply(pixels, draws)
        if self.augmentation.mixup == 0:
            return changed, targets
        shares = torch.nn.functional.one_hot(targets, self.classes) if self.classes else targets
        return changed, augment.mixed(shares.float(), draws)


@dataclass(frozen=True, slots=True, eq=False)
class Balanced:
    """The order of an epoch in which rare classes come as often as common ones."""

    strata: Integers
    seed: int

    def __call__(self, epoch: int) -> Integers:
        """Positions."""
        return sampling.balanced(self.strata, self.seed, epoch)


@dataclass(frozen=True, slots=True)
class Ranking:
    """How well outputs rank the cases (see `_quality.ranking`)."""

    target: Target

    def __call__(self, outputs: Array, targets: Array) -> float:
        """Higher is better."""
        return _quality.ranking(self.target, targets, np.asarray(outputs, np.float64))


class Ground:
    """What all trainings of a job have in common: the network they begin with, the cases, and what it says of them at first.

    ``values``: of the n training cases, numbers standardised by ``mean`` and ``deviation``. Rows are positions among them.
    """

    def __init__(self, job: FitJob, settings: Settings, found: Begun | None) -> None:
        self.job, self.settings = job, settings
        self.values, self.mean, self.deviation = standardised(job.dataset.target, job.values)
        self.backbone = _begun.backbone(settings.backbone, settings.source, found, job)
        if settings.skip:
            depth.skip(self.backbone, settings.skip)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(job.recipe.seed)
            self.net = Classifier(self.backbone, settings.classifier)
        self.kept = found is not None and _begun.take_answer(self.net, found, job)
        self.pixels = Pixels(job.arrays)
        self._first: Floats | None = None

    @property
    def columns(self) -> int:
        """Of raw scores."""
        return self.settings.classifier.columns

    def trained(
        self, seen: Integers, held: Integers, plan: Plan, folder: Path | None, label: str, until: float = math.inf
    ) -> tuple[Classifier, Trained]:
        """A network that learnt from the rows ``seen``, until then; those ``held`` are only looked at, for its history."""
        job, target = self.job, self.job.dataset.target
        if plan.kept == "best":
            aside = folds(target, self.values[seen], job.groups[seen], job.recipe.seed + 1, _ASIDE) == 0
            seen, held = seen[~aside], seen[aside]
        net = copy.deepcopy(self.net)
        loss = losses.make(target, self.settings.loss, self.values[seen])
        if not self.kept:
            self._fit_head(net, seen, loss)
        still = self.settings.still
        lesson = Lesson(
            net=net.answer if still else net,
            loss=loss,
            train=self._cases(seen),
            validation=self._cases(held) if len(held) else None,
            plan=plan,
            seed=job.recipe.seed,
            seen=self._seen,
            score=Ranking(target),
            augment=None if still or self.settings.augmentation == augment.NOTHING else self._changes(),
            order=self._order(seen),
            about=self.settings.to_parameters(),
            device=job.device,
            folder=folder,
            deadline=until,
            clock=job.clock,
            tell=job.tell,
            label=label,
            apart=True,
        )
        result = train(lesson)
        return net, result

    def scores(self, net: Classifier, rows: Integers) -> Floats:
        """``(m, K)`` float64, over the views."""
        if self.settings.still and net.spec.views == 1:
            net.answer.eval()
            with torch.inference_mode():
                return np.asarray(net.answer(torch.from_numpy(Rows(self.first).take(rows))).numpy(), np.float64)
        return self._answers(Viewed(net), rows).astype(np.float64)

    def pace(self, plan: Plan, steps: int) -> float:
        """Seconds that learning from one case takes, measured on so many steps after a warm-up; next to none from features."""
        if self.settings.still:
            return _STILL_S
        few = np.resize(np.arange(len(self.values)), steps * plan.batch)
        brief = dataclasses.replace(plan, epochs=2, average="none", stop_after=0, unfreeze_every=0)
        loss = losses.make(self.job.dataset.target, self.settings.loss, self.values)
        lesson = Lesson(
            net=copy.deepcopy(self.net),
            loss=loss,
            train=self._cases(few),
            plan=brief,
            seen=self._seen,
            augment=self._changes(),
            device=self.job.device,
            clock=self.job.clock,
            apart=True,
        )
        return 1 / float(train(lesson).history[-1]["images_per_second"])

    @property
    def shown(self) -> Integers:
        """Rows of which is known what the network says at first: all of them, or enough for a first last layer."""
        count = len(self.values)
        return np.arange(count) if self.settings.still else np.unique(np.linspace(0, count - 1, min(count, _SHOWN)).astype(int))

    @property
    def first(self) -> Floats:
        """``(len(shown), S, width)`` float16: what the network says of them before it learns."""
        if self._first is None:
            self._first = self._answers(_Features(self.net), self.shown, quick=True, label="features").astype(np.float16)
        return self._first

    def _answers(self, module: torch.nn.Module, rows: Integers, *, quick: bool = False, label: str = "") -> Floats:
        """What a module says of the images of these rows; ``quick``: as precisely as it will be trained."""
        place = devices.place(self.job.device.partition("*")[0], self.settings.plan.precision)
        device = torch.device(place.kind, place.first) if place.kind == "cuda" else torch.device("cpu")
        module.to(device).eval()
        found = []
        autocast = torch.autocast(place.kind, torch.bfloat16, enabled=quick and place.bf16)
        with torch.inference_mode(), autocast, self.job.tell.task(label, len(rows)) as tick:
            for start in range(0, len(rows), AT_ONCE):
                pixels = torch.from_numpy(self.pixels.take(np.asarray(self.job.train)[rows[start : start + AT_ONCE]]))
                found.append(module(pixels.to(device)).float().cpu().numpy())
                tick(len(pixels))
        module.to("cpu")
        return np.concatenate(found)

    def _fit_head(self, net: Classifier, seen: Integers, loss: Loss) -> None:
        """The last layer alone first, on what the network says as it is: a random one would spoil what is behind it at once.

        Kumar et al., Fine-tuning can distort pretrained features, ICLR 2022. A recurrent layer has no such start.
        """
        shown = np.intersect1d(seen, self.shown)
        features = torch.from_numpy(Rows(self.first).take(np.searchsorted(self.shown, shown)))
        net.answer.level.learn(features)
        if self.settings.classifier.join != "gru":
            fit_head(net.answer, features, torch.from_numpy(np.ascontiguousarray(self.values[shown])), loss)

    @property
    def _seen(self) -> int:
        """Pixels that go through the backbone for one case; 0 where none do."""
        slices = self.settings.classifier.slices or self.job.arrays.shape[1]
        return 0 if self.settings.still else slices * len(self.settings.classifier.planes) * self.settings.backbone.side**2

    def _cases(self, rows: Integers) -> Cases:
        targets = self.values[rows].astype(np.float32 if self.values.dtype.kind == "f" else np.int64)
        if self.settings.still:
            return Cases(images=Rows(self.first), rows=rows, targets=targets)
        return Cases(images=self.pixels, rows=np.asarray(self.job.train)[rows], targets=targets)

    def _order(self, seen: Integers) -> Balanced | None:
        if self.settings.imbalance != "sampling":
            return None
        return Balanced(sampling.strata_of(self.job.dataset.target, self.values[seen]), self.job.recipe.seed)

    def _changes(self) -> Changes:
        target = self.job.dataset.target
        classes = len(target.classes) if target.kind is TargetKind.MULTICLASS else 0
        return Changes(self.settings.augmentation, self.job.recipe.seed, classes)


class _Features(torch.nn.Module):
    """What stands before the last layers of a classifier."""

    def __init__(self, net: Classifier) -> None:
        super().__init__()
        self.net = net

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """``(N, S, width)``."""
        return self.net.features(pixels)


def fit_head(answer: Answer, features: torch.Tensor, targets: torch.Tensor, loss: Loss) -> None:
    """The last layer of ``answer`` fitted to features ``(n, S, width)``, all else as it is."""
    with torch.no_grad():
        joined = answer.join(answer.level(features))
    linear = answer.head.linear
    torch.nn.init.zeros_(linear.weight)
    solver = torch.optim.LBFGS(linear.parameters(), max_iter=_STEPS, line_search_fn="strong_wolfe")

    def cost() -> float:
        solver.zero_grad()
        total = loss(linear(joined), targets) + _PULL * linear.weight.square().sum()
        total.backward()
        return float(total.detach())

    solver.step(cost)
