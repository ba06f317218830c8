"""The trainings of one job: a fold each, then all, in as many epochs as the time allows.

Every fold is trained for as many epochs as the time allows (or the recipe says), then a last network on all training cases, in just
the same way: what the folds say of unseen cases is said of it too. One that goes on from the fold before it does so for a part of
its epochs, and not at all where that is less than one: after few epochs another changes so much of what it says that thresholds
learnt on the fold no longer fit. Nothing is chosen by looking at a fold that is held out. What is finished
is kept in the cache until the end, so that a run that was killed goes on where it was.

Where the recipe leaves the epochs open the deadline is kept: a training that comes to the end of its part of the time ends with the
epochs that it has, and those after it learn no longer.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from medloop.families._job import FitJob
from medloop.learning.lesson import Trained
from medloop.learning.plan import Plan
from medloop.types import Floats, Integers, Json
from medloop.workspace import write_json

N = TypeVar("N")
_EXPORT_S, _TRAINING_S = 4.0, 0.5
_TASTE, _MOST_STEPS, _TASTING = 4, 64, 0.005
"""Steps on which the pace is measured, at most, and the share of the time left that these may well take."""
_USED, _LATE = 0.85, 1.15
_LEAST_EPOCHS = 1.5
_LOOKING = 0.5


class Asked(Protocol):
    """How the networks of a job are trained. ``epochs_open``: the recipe leaves open how many epochs there are."""

    @property
    def plan(self) -> Plan:
        """With the most epochs that are worth while."""
        ...

    @property
    def epochs_open(self) -> bool:
        """Whether the time decides how many there are."""
        ...

    @property
    def last(self) -> float:
        """Of these epochs, those of the last training; below 1 where it goes on from the one before."""
        ...

    @property
    def watched(self) -> bool:
        """Whether networks are asked about the cases that are held out after every epoch."""
        ...

    @property
    def looks(self) -> float:
        """How often networks are asked about each case without learning from it, all trainings together."""
        ...


class Ground(Protocol[N]):
    """What all trainings of a job have in common. Rows are positions among its training cases."""

    @property
    def job(self) -> FitJob:
        """What is asked for."""
        ...

    @property
    def settings(self) -> Asked:
        """How it is trained."""
        ...

    @property
    def columns(self) -> int:
        """Of raw scores."""
        ...

    def trained(
        self, seen: Integers, held: Integers, plan: Plan, folder: Path | None, label: str, until: float = math.inf
    ) -> tuple[N, Trained]:
        """A network that learnt from the rows ``seen``, until then; those ``held`` are only looked at, for its history."""
        ...

    def scores(self, net: N, rows: Integers) -> Floats:
        """``(m, columns)`` raw scores."""
        ...

    def pace(self, plan: Plan, steps: int) -> float:
        """Seconds that learning from one case takes, measured on so many steps."""
        ...


@dataclass(slots=True)
class Work(Generic[N]):
    """The trainings of one job: a fold each, then all. ``fold``: ``(n,)``, below 0 for cases that are never held out. ``plan``:
    how, settled before the first."""

    ground: Ground[N]
    fold: Integers
    folder: Path | None
    plan: Plan = field(init=False)
    _pace: float | None = None
    _net: N | None = None

    def __post_init__(self) -> None:
        self.plan = self.ground.settings.plan

    def cross_validated(self) -> tuple[Floats, list[Mapping[str, Json]]]:
        """Raw out-of-fold scores ``(n, K)`` and the history; NaN for cases that are never held out.

        Too slow for the deadline, it begins again with fewer epochs.
        """
        self._settle(self._affordable())
        while True:
            raw = np.full((len(self.fold), self.ground.columns), np.nan)
            rows: list[Mapping[str, Json]] = []
            for number in range(self.count):
                start = self.ground.job.clock()
                held = np.flatnonzero(self.fold == number)
                self._net, trained = self.train(np.flatnonzero(self.fold != number), held, number)
                net = self._net
                raw[held] = self.ground.scores(net, held)
                rows += history(trained, number)
                if number == 0 and self._begin_again(self.ground.job.clock() - start, trained):
                    break
            else:
                return raw, rows

    def finished(self) -> tuple[N, list[Mapping[str, Json]]]:
        """The network to keep and its history: learnt from all; or that of the fold where there is nothing to go on for."""
        if self._net is not None and not self._further(self.plan.epochs):
            return self._net, []
        net, trained = self.train(np.arange(len(self.fold)), np.empty(0, np.int64), "all")
        return net, history(trained, "all")

    def train(self, seen: Integers, held: Integers, name: int | str) -> tuple[N, Trained]:
        """One training, kept where it stands."""
        label = f"training, fold {name + 1} of {self.count}" if isinstance(name, int) else "training on all"
        plan = self.plan if isinstance(name, int) else self._last()
        net, trained = self.ground.trained(seen, held, plan, self.folder, label, self._until(name))
        self.plan = dataclasses.replace(self.plan, at_once=trained.plan.at_once, stop_after=trained.plan.stop_after)
        if trained.stopped == "deadline":
            self.ground.job.tell.say(f"Time is up: {label} ends after {len(trained.history)} of {plan.epochs} epochs.")
        return net, trained

    def fixed(self) -> float:
        """Seconds that pass however many epochs there are."""
        looked = int((self.fold >= 0).sum()) * _LOOKING * self.ground.settings.looks
        return _EXPORT_S + (self.count + 1) * _TRAINING_S + (looked * self._each if looked else 0.0)

    def seconds(self, epochs: int) -> float:
        """Of so many epochs in every fold, and of the last training."""
        return epochs * (self._load(epochs) + (_LOOKING * len(self.fold) if self.ground.settings.watched else 0)) * self._each

    @property
    def count(self) -> int:
        """Folds that are held out in turn."""
        return int(self.fold.max()) + 1

    def _last(self) -> Plan:
        """Of the training on all."""
        return dataclasses.replace(self.plan, epochs=self._further(self.plan.epochs))

    def _further(self, epochs: int) -> int:
        """Epochs of the training on all after so many in a fold; where nothing was held out there is none before it."""
        return int((self.ground.settings.last if self.count else 1.0) * epochs)

    def _load(self, epochs: int, first: int = 0) -> float:
        """Cases that the trainings from this fold on learn from, for each of so many epochs of a fold."""
        folds = sum(len(self.fold) - int((self.fold == number).sum()) for number in range(first, self.count))
        return folds + len(self.fold) * self._further(epochs) / epochs

    def _until(self, name: int | str) -> float:
        """When this training must end: a little more than its part of what is left, the last one with all of it. One epoch is the
        least, however long it takes."""
        job = self.ground.job
        if not self.ground.settings.epochs_open or self.plan.epochs == 1:
            return math.inf
        left = job.deadline - job.clock() - _EXPORT_S
        if isinstance(name, int):
            rest = self._load(self.plan.epochs, name + 1)
            own = _LATE * (self._load(self.plan.epochs, name) - rest)
            left *= own / (own + rest)
        return job.clock() + max(left, _LEAST_EPOCHS * len(self.fold) * self._each)

    @property
    def _each(self) -> float:
        """Seconds of learning from one case."""
        if self._pace is None:
            self._pace = self._tasted()
        return self._pace

    def _tasted(self) -> float:
        """The pace of a few steps, or of more where these are over at once and so say little."""
        clock, steps = self.ground.job.clock, _TASTE
        while True:
            start = clock()
            pace = self.ground.pace(self.plan, steps)
            if steps >= _MOST_STEPS or not 0 < clock() - start < _TASTING * (self.ground.job.deadline - start):
                return pace
            steps *= 4

    def _affordable(self) -> int:
        """Epochs: as the recipe says, as a run that was killed has settled, or as many as there is time for."""
        settings = self.ground.settings
        if not settings.epochs_open:
            return settings.plan.epochs
        if self.folder is not None and (kept := self.folder / "epochs.json").exists():
            return int(json.loads(kept.read_text(encoding="utf-8")))
        left = self.ground.job.deadline - self.ground.job.clock()
        if left <= 0:
            return 1
        room = _USED * left - self.fixed()
        return max((each for each in range(1, settings.plan.epochs + 1) if self.seconds(each) <= room), default=1)

    def _settle(self, epochs: int) -> None:
        self.plan = dataclasses.replace(self.plan, epochs=epochs, stop_after=self.ground.settings.plan.stop_after)
        if self.folder is not None and self.ground.settings.epochs_open:
            write_json(self.folder / "epochs.json", epochs)

    def _begin_again(self, seconds: float, first: Trained) -> bool:
        """Whether the first fold was ended by the clock, or took so long that all would be late, and half as many epochs can still
        be learnt to their end; then there are fewer from now on."""
        job, most, learnt = self.ground.job, self.plan.epochs, len(first.history)
        left, whole, rest = job.deadline - job.clock(), self._load(most), self._load(most, 1)
        on_time = first.stopped != "deadline" and seconds * rest < _LATE * left * (whole - rest)
        if not self.ground.settings.epochs_open or most == 1 or on_time:
            return False
        fewer = max(1, min(most - 1, int(learnt * _USED * left * (whole - rest) / (seconds * whole))))
        if 2 * fewer < learnt:
            return False
        self._settle(fewer)
        job.tell.say(f"A fold took {seconds:.0f} s: {self.plan.epochs} epochs instead of {most}, from the start.")
        return True


def history(trained: Trained, fold: int | str) -> list[Mapping[str, Json]]:
    """The rows of a training, named by the fold that was held out (``all``: none was)."""
    return [{"fold": fold, **row} for row in trained.history]


def least_seconds(work: Work[Any]) -> float:
    """About how many seconds it takes at the very least, whatever the deadline: one epoch a fold, measured on a few steps."""
    settings = work.ground.settings
    return work.fixed() + work.seconds(1 if settings.epochs_open else settings.plan.last)
