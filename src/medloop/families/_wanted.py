"""What a recipe's parameters may say, checked before any work: the rules, and those of heads on features."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from medloop import features, registry
from medloop.errors import InputError, unknown_name
from medloop.families._heads import Spec
from medloop.families._space import PARAMETERS
from medloop.types import Json


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a parameter may be: ``says`` tells a person, ``good(value)`` checks (or raises `InputError` itself)."""

    says: str
    good: Callable[[Any], bool]


def check(parameters: Mapping[str, Json], wanted: Mapping[str, Wanted] | None = None) -> None:
    """Raises `InputError` for a key, a name or a value that the family cannot follow. ``wanted``: `HEADS` where left out."""
    keys = HEADS if wanted is None else wanted
    for key, value in parameters.items():
        if key not in keys:
            near = difflib.get_close_matches(key, keys, n=1, cutoff=0.5)
            raise _wrong(f"no parameter '{key}'", f"{', '.join(keys)}.", f"Did you mean {near[0]}?" if near else "Leave it out.")
        if not keys[key].good(value):
            raise _wrong(f"{key} = {value!r}", f"{key}: {keys[key].says}.", f"Mend {key} in the recipe.")


def one_of(*choices: str) -> Wanted:
    """One of a few words."""
    return Wanted(f"one of {', '.join(choices)}", lambda value: isinstance(value, str) and value in choices)


def whole(least: int) -> Wanted:
    """A whole number."""
    return Wanted(f"a whole number, {least} or more", lambda value: _whole(value, least))


def yes_or_no() -> Wanted:
    """True or false."""
    return Wanted("true or false", lambda value: isinstance(value, bool))


def text(example: str) -> Wanted:
    """Some text."""
    return Wanted(f"a text such as '{example}'", lambda value: isinstance(value, str) and bool(value))


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


HEADS: Mapping[str, Wanted] = {
    "features": Wanted('a list of tables such as {name = "hog"}', _features),
    "heads": Wanted("a list of tables, as in the recipe.toml of a run", _heads),
    "folds": whole(2),
    "estimators": Wanted("a list of names such as ['logistic', 'extra-trees']", _estimators),
    "trials": whole(1),
}
"""The parameters of heads on features."""
