"""A frozen network's maps as features, computed once; heads are searched on top of them."""

from __future__ import annotations

from collections.abc import Mapping

from medloop.families import _on_features, _wanted
from medloop.families._job import FitJob, Fitted
from medloop.families._wanted import Wanted, text
from medloop.features import Feature, feature
from medloop.types import Json

FAMILY = "transfer"
WANTED: Mapping[str, Wanted] = {
    "how": _wanted.one_of("frozen"),
    "from": text("model"),
    "backbone": text("tf_efficientnet_lite0"),
    **_wanted.HEADS,
}


def check(parameters: Mapping[str, Json]) -> None:
    """Raises `InputError` for a key, a name or a value that cannot be followed."""
    _wanted.check(parameters, WANTED)


def fit(job: FitJob) -> Fitted:
    """Features once, then the search for heads, as `medloop.families._on_features.fit`."""
    return _on_features.fit(job, FAMILY, features_of(job))


def features_of(job: FitJob) -> tuple[Feature, ...]:
    """What the recipe names, or what may be worth a try on such images."""
    named = job.recipe.parameters.get("features")
    if named:
        return tuple(feature(each["name"], each.get("params")) for each in named)
    return (feature("network"),)


def least_seconds(job: FitJob) -> float:
    """About how many seconds `fit` takes at the very least, whatever the deadline."""
    return 5.0
