"""A frozen network's maps as features, computed once; heads are searched on top of them.

Recipe parameters (all may be left out; those of heads on features are there too, `medloop.families.classical`):

``backbone``    timm's name of the network
``from``        a file of its weights, or a model's folder, whose network is taken
``features``    list of ``{"name": "network", "params"}``: then no others are tried
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

from medloop.errors import InputError
from medloop.families import _on_features, _saving, _search, _wanted
from medloop.families._averaged import with_network
from medloop.families._eyes import FEATURE, LEAST, Eyes, first, sets_of
from medloop.families._job import FitJob, Fitted
from medloop.families._network_model import BACKBONE, NetworkModel
from medloop.families._on_features import FeaturedModel
from medloop.families._wanted import Wanted, text
from medloop.features import Block, Feature, feature
from medloop.features.network import Params
from medloop.types import Json

FAMILY = "transfer"
WANTED: Mapping[str, Wanted] = {
    "how": _wanted.one_of("frozen"),
    "from": text("model"),
    "from_digest": text("the hash of what from names"),
    "backbone": text("tf_efficientnet_lite0"),
    **_wanted.HEADS,
}
_KEPT = ("how", "from", "backbone")


def check(parameters: Mapping[str, Json]) -> None:
    """Raises `InputError` for a key, a name or a value that cannot be followed."""
    _wanted.check(parameters, WANTED)


def fit(job: FitJob) -> Fitted:
    """Features once, then the search for eyes and heads, as `medloop.families._on_features.fit`."""
    wanted = job.recipe.parameters
    named = tuple(feature(each["name"], each.get("params")) for each in wanted.get("features") or ())
    said = {"how": "frozen"} | {key: wanted[key] for key in _KEPT if key in wanted}
    if named and any(each.name != FEATURE for each in named):
        return _on_features.fit(job, FAMILY, named, said=said)
    start = named[0].params if named else begin(wanted)
    return _on_features.fit(job, FAMILY, named, guide=functools.partial(Eyes, start=start), said=said)


def least_seconds(job: FitJob) -> float:
    """About how many seconds `fit` takes at the very least, whatever the deadline: small eyes, linear heads."""
    wanted = job.recipe.parameters
    named = tuple(feature(each["name"], each.get("params")) for each in wanted.get("features") or ())
    small = dataclasses.replace(first(job.arrays, begin(wanted)), side=LEAST)
    return 0.0 if wanted.get("heads") else _search.least_seconds(job, named or (Feature(FEATURE, small),), _read_first)


def _read_first(blocks: Sequence[Block]) -> tuple[str, ...]:
    """The columns that the first head reads."""
    return next(iter(sets_of(blocks).values()), ())


def begin(parameters: Mapping[str, Json]) -> Params:
    """Backbone and weights as the recipe says: of a saved model, a file, or pretrained. Raises `InputError` for a model without."""
    source = str(parameters.get("from") or "")
    given = Params(backbone=str(parameters.get("backbone", Params.backbone)))
    path = Path(source).expanduser()
    if not source:
        return given
    if path.is_dir():
        return _of_model(path)
    return dataclasses.replace(given, weights=str(path))


def _of_model(folder: Path) -> Params:
    """The network of a saved model: its own weights, or those that its features began with."""
    model, prefix = with_network(_saving.load(folder))
    if isinstance(model, FeaturedModel) and (known := [each.params for each in model.features if each.name == FEATURE]):
        return Params(backbone=known[0].backbone, weights=known[0].weights)
    if isinstance(model, NetworkModel):
        said = model.network["backbone"]
        return Params(
            backbone=said["name"],
            weights=str(folder / f"{prefix}{BACKBONE}"),
            stages=tuple(said["stages"]),
            level=bool(said["level"]),
        )
    raise InputError(
        "no-network",
        got=f"The model {folder} (family {model.family}) has no network.",
        allowed="A model of the family transfer, or a file of weights.",
        fix="Name another model, or leave from out.",
    )
