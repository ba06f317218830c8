"""Models of different families whose scores are averaged, each in its own unit and counted by its weight: one model again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from medloop import registry
from medloop.compute import Compute
from medloop.evaluation import calibration, decisions
from medloop.evaluation.calibration import Calibrator
from medloop.evaluation.decisions import Decision
from medloop.families._choice import averaged, unit_of
from medloop.families._job import FitJob, Fitted, Model, OutOfFold, Parts
from medloop.families._predicted import predicted
from medloop.prepared.arrays import PreparedArrays
from medloop.progress import QUIET, Progress
from medloop.types import Array, Floats, Prediction, Step, Target

FAMILY = "ladder"
T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class AveragedModel:
    """``members``: models that answer the same question from the same prepared images. ``units``: what each one's raw scores are
    divided by before they are averaged, less where a member counts more. Calibration and decision are those of the average."""

    members: tuple[Model, ...]
    units: tuple[float, ...]
    calibrator: Calibrator
    decision: Decision
    family: str = FAMILY

    @property
    def target(self) -> Target:
        """What it answers."""
        return self.members[0].target

    @property
    def preparation(self) -> tuple[Step, ...]:
        """The steps that images must go through before."""
        return self.members[0].preparation

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
        found = [member.raw(arrays, indices, compute=compute, cache=cache, tell=tell) for member in self.members]
        return averaged([raw / unit for raw, unit in zip(found, self.units, strict=True)])

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


def with_network(model: Model) -> tuple[Model, str]:
    """The model to take a network from, and how the names of its files begin: of an average its last member that transfers (the
    dearest), anything else as it is."""
    if isinstance(model, AveragedModel):
        for number, member in reversed(list(enumerate(model.members))):
            if member.family == "transfer":
                return member, f"member-{number}-"
    return model, ""


def averaged_raw(target: Target, raws: Sequence[Floats], weights: Sequence[float]) -> Floats:
    """The mean of raw scores ``(n, K)`` of different kinds, each in its own unit and counted by its weight."""
    return averaged([raw / unit for raw, unit in zip(raws, _units(target, raws, weights), strict=True)])


def _units(target: Target, raws: Sequence[Floats], weights: Sequence[float]) -> tuple[float, ...]:
    """What scores are divided by before they are averaged: the more they count the less."""
    even = sum(weights) / len(weights)
    return tuple(unit_of(target, raw) * (even / weight) for raw, weight in zip(raws, weights, strict=True))


def average(job: FitJob, members: Sequence[Fitted], weights: Sequence[float]) -> tuple[AveragedModel, OutOfFold]:
    """Members learnt from one job as one model; calibration and decision from the average of their out-of-fold scores.

    ``weights``: how much each member counts; their sum is of no account.
    """
    target, seed = job.dataset.target, job.recipe.seed
    raws = [member.out_of_fold.raw for member in members]
    units = _units(target, raws, weights)
    raw = averaged([each / unit for each, unit in zip(raws, units, strict=True)])
    calibrator = calibration.fit(target, raw, job.values, job.groups, seed)
    probabilities = calibration.apply(calibrator, raw)
    decision = decisions.choose(target, probabilities, job.values, np.asarray(job.dataset.patients[job.train]), seed)
    model = AveragedModel(tuple(member.model for member in members), units, calibrator, decision)
    return model, OutOfFold(np.asarray(job.train), members[0].out_of_fold.fold, raw, probabilities)


def to_parts(model: AveragedModel) -> Parts:
    """The members' parts, the names of their arrays and files beginning with ``member-0`` and so on."""
    arrays: dict[str, Array] = {}
    files: dict[str, bytes] = {}
    about = []
    for number, (member, unit) in enumerate(zip(model.members, model.units, strict=True)):
        parts = registry.load("families", member.family).to_parts(member)
        about.append({"family": member.family, "unit": unit, "model": parts.json})
        arrays |= {f"member-{number}.{name}": array for name, array in parts.arrays.items()}
        files |= {f"member-{number}-{name}": content for name, content in parts.files.items()}
    content = {"members": about, "calibration": model.calibrator.to_json(), "decision": model.decision.to_json()}
    return Parts(content, arrays, files)


def from_parts(parts: Parts) -> AveragedModel:
    """The model that `to_parts` took apart."""
    members = []
    for number, said in enumerate(parts.json["members"]):
        own = Parts(said["model"], _own(parts.arrays, f"member-{number}."), _own(parts.files, f"member-{number}-"))
        members.append(registry.load("families", said["family"]).from_parts(own))
    units = tuple(float(said["unit"]) for said in parts.json["members"])
    calibrator, decision = Calibrator.from_json(parts.json["calibration"]), Decision.from_json(parts.json["decision"])
    return AveragedModel(tuple(members), units, calibrator, decision)


def _own(things: Mapping[str, T], prefix: str) -> dict[str, T]:
    return {name.removeprefix(prefix): thing for name, thing in things.items() if name.startswith(prefix)}
