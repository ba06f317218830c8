"""Generation 2: networks that have learnt from other pictures, put to this task.

Recipe parameters. ``how`` says what becomes of the network; each way checks the parameters that it knows:

``how``     ``frozen`` (when left out): its maps are features, heads are searched on top of them (`medloop.families._frozen`);
            ``linear``: it is frozen, and a linear layer learns over flipped pictures (`medloop.families._linear`)
``from``    a file of weights, or a model's folder, whose network is the start (left out: the pretrained one)
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType

from medloop import registry
from medloop.errors import InputError, unknown_name
from medloop.families import _on_features
from medloop.families._job import FitJob, Fitted, Model, Parts
from medloop.families._on_features import FeaturedModel
from medloop.types import Json

FAMILY = "transfer"
HOW = "frozen"
_HOW: Mapping[str, str] = {
    "frozen": "_frozen",
    "linear": "_linear",
    "last": "_fine_tuning",
    "whole": "_fine_tuning",
}
"""Which module learns in which way: it has ``check(parameters)``, ``fit(job)`` and ``least_seconds(job)``. It is imported when it
is used, for some of them bring torch."""
_KINDS: Mapping[str, str] = {"network": "_network_model"}
"""Which module takes models of which kind apart and together again, but for heads on features. None of them needs torch."""


def check(parameters: Mapping[str, Json]) -> None:
    """Raises `InputError` for a key, a name or a value that the family cannot follow."""
    _way(parameters).check(parameters)


def fit(job: FitJob) -> Fitted:
    """Learn on all training cases, calibrate, set thresholds, within the deadline.

    Raises `Refused` where there are too few cases, `InputError` for a recipe that cannot be followed.
    """
    way = _way(job.recipe.parameters)
    way.check(job.recipe.parameters)
    fitted: Fitted = way.fit(job)
    return fitted


def least_seconds(job: FitJob) -> float:
    """About how many seconds `fit` takes at the very least, whatever the deadline."""
    return float(_way(job.recipe.parameters).least_seconds(job))


def to_parts(model: Model) -> Parts:
    """The model as it lies on disk."""
    if isinstance(model, FeaturedModel):
        return _on_features.to_parts(model)
    for module in map(_part, _KINDS.values()):
        if isinstance(model, module.MODEL):
            parts: Parts = module.to_parts(model)
            return parts
    raise TypeError(f"a model of the type {type(model).__name__} is not of this family")


def from_parts(parts: Parts) -> Model:
    """The model that `to_parts` took apart. Its JSON names its ``kind``, but for heads on features."""
    kind = parts.json.get("kind")
    if kind is None:
        return _on_features.from_parts(parts, FAMILY)
    model: Model = _part(_KINDS[kind]).from_parts(parts)
    return model


def _way(parameters: Mapping[str, Json]) -> ModuleType:
    how = parameters.get("how", HOW)
    if not isinstance(how, str):
        raise InputError(
            "bad-recipe",
            got=f"The recipe's parameters have how = {how!r}.",
            allowed=f"how: {', '.join(_HOW)}.",
            fix="Mend how in the recipe.",
        )
    if how not in _HOW:
        raise unknown_name("way of transfer", how, _HOW)
    return _part(_HOW[how])


def _part(name: str) -> ModuleType:
    return registry.part("families", name)
