"""What a recipe's parameters may say to the classical family, checked before any work."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any

from medloop import features, registry
from medloop.errors import InputError, unknown_name
from medloop.families._heads import Spec
from medloop.families._space import PARAMETERS
from medloop.types import Json

_KEYS: Mapping[str, str] = {
    "features": 'a list of tables such as {name = "hog"}',
    "heads": "a list of tables, as in the recipe.toml of a run",
    "folds": "a whole number, 2 or more",
    "estimators": "a list of names such as ['logistic', 'extra-trees']",
    "trials": "a whole number, 1 or more",
}


def check(parameters: Mapping[str, Json]) -> None:
    """Raises `InputError` for a key, a name or a value that the family cannot follow."""
    for key, value in parameters.items():
        if key not in _KEYS:
            near = difflib.get_close_matches(key, _KEYS, n=1, cutoff=0.5)
            raise _wrong(f"no parameter '{key}'", f"{', '.join(_KEYS)}.", f"Did you mean {near[0]}?" if near else "Leave it out.")
        if not _CHECKS[key](value):
            raise _wrong(f"{key} = {value!r}", f"{key}: {_KEYS[key]}.", f"Mend {key} in the recipe.")


def _wrong(got: str, allowed: str, fix: str) -> InputError:
    return InputError("bad-recipe", got=f"The recipe's parameters have {got}.", allowed=allowed, fix=fix)


def _whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _tables(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(each, Mapping) for each in value)


def _features(value: Any) -> bool:
    if not _tables(value):
        return False
    for each in value:
        if each.get("name") not in registry.names("features"):
            raise unknown_name("feature", str(each.get("name")), registry.names("features"))
        features.feature(each["name"], each.get("params"))
    return True


def _heads(value: Any) -> bool:
    try:
        specs = [Spec.from_json(each) for each in value] if _tables(value) else None
    except (KeyError, TypeError, ValueError):
        return False
    return specs is not None and _estimators([spec.estimator for spec in specs])


def _estimators(value: Any) -> bool:
    if not isinstance(value, (list, tuple)):
        return False
    if wrong := [name for name in value if name not in PARAMETERS]:
        raise unknown_name("estimator", str(wrong[0]), PARAMETERS)
    return True


_CHECKS: Mapping[str, Callable[[Any], bool]] = {
    "features": _features,
    "heads": _heads,
    "folds": lambda value: _whole(value, 2),
    "estimators": _estimators,
    "trials": lambda value: _whole(value, 1),
}
