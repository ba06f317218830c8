"""Generation 3: one network that classifies, outlines, finds, measures and obeys rules.

A shared backbone, a pyramid and a small head for each target, trained together; any case may lack any of them. Recipe parameters
are those of `medloop.families._joint_tuning`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType

from medloop import registry
from medloop.families import _joint_model
from medloop.families._job import FitJob, Fitted, Model, Parts
from medloop.families._joint_model import MultitaskModel
from medloop.types import Json

__all__ = ["FAMILY", "MultitaskModel", "check", "fit", "from_parts", "least_seconds", "ready", "to_parts"]

FAMILY = _joint_model.FAMILY


def check(parameters: Mapping[str, Json]) -> None:
    """Raises `InputError` for a key, a name or a value that the family cannot follow."""
    _fitting().check(parameters)


def fit(job: FitJob) -> Fitted:
    """Learn all targets on all training cases, calibrate, learn thresholds and cleaning, within the deadline.

    Raises `Refused` where there are too few cases, `InputError` for a recipe that cannot be followed.
    """
    fitted: Fitted = _fitting().fit(job)
    return fitted


def ready(job: FitJob) -> None:
    """Compute what all trainings on parts of these cases share, so that the first does not pay for it out of its own time."""
    _fitting().ready(job)


def least_seconds(job: FitJob) -> float:
    """About how many seconds `fit` takes at the very least, whatever the deadline."""
    return float(_fitting().least_seconds(job))


def to_parts(model: Model) -> Parts:
    """The model as it lies on disk."""
    if not isinstance(model, MultitaskModel):
        raise TypeError(f"a model of the type {type(model).__name__} is not of this family")
    return _joint_model.to_parts(model)


def from_parts(parts: Parts) -> Model:
    """The model that `to_parts` took apart."""
    return _joint_model.from_parts(parts)


def _fitting() -> ModuleType:
    """It brings torch, which answering does not need."""
    return registry.part("families", "_joint_fitting")
