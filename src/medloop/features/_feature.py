"""A feature by name with its parameters: data, JSON both ways."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from medloop import registry
from medloop.errors import InputError
from medloop.features._contract import Block, FeatureModule, State
from medloop.prepared.arrays import PreparedArrays
from medloop.types import Json


@dataclass(frozen=True, slots=True)
class Feature:
    """A feature module's name and an instance of its ``Params``."""

    name: str
    params: Any

    @property
    def module(self) -> FeatureModule:
        """The module of that name."""
        return cast(FeatureModule, registry.load("features", self.name))

    def source(self, arrays: PreparedArrays) -> str | None:
        """All that the state depends on besides the parameters, or None: it is learnt from images."""
        asked = getattr(self.module, "source", None)
        return None if asked is None else str(asked(arrays, self.params))

    def blocks(self, state: State) -> tuple[Block, ...]:
        """Its columns by name, empty where they have none."""
        asked = getattr(self.module, "blocks", None)
        return () if asked is None else tuple(asked(self.params, state))

    def to_json(self) -> dict[str, Json]:
        """``{"name": ..., "params": {...}}``, every parameter written out."""
        return {"name": self.name, "params": {key: _plain(value) for key, value in dataclasses.asdict(self.params).items()}}


def feature(name: str, params: Mapping[str, Json] | None = None) -> Feature:
    """A feature from its name and parameters as JSON says them; those left out take their defaults.

    Raises `InputError` for a name that is not there, an unknown parameter, or a value of another type.
    """
    module = cast(FeatureModule, registry.load("features", name))
    defaults = module.Params()
    given = dict(params or {})
    known = {field.name: getattr(defaults, field.name) for field in dataclasses.fields(defaults)}
    if unknown := sorted(set(given) - set(known)):
        raise _wrong(name, f"no parameter '{unknown[0]}'", known)
    for key, value in given.items():
        given[key] = _like(value, known[key], name, key, known)
    return Feature(name, module.Params(**given))


def suiting(arrays: PreparedArrays) -> tuple[Feature, ...]:
    """Every registered feature that suits such images, with its defaults."""
    found = (feature(name) for name in registry.names("features"))
    return tuple(each for each in found if each.module.suits(arrays))


def _like(value: Json, default: Any, name: str, key: str, known: Mapping[str, Any]) -> Any:
    """A JSON value as the type of its default: lists become tuples (empty ones: of whole numbers), whole numbers pass for real."""
    if isinstance(default, tuple) and isinstance(value, (list, tuple)):
        return tuple(_like(item, default[0] if default else 0, name, key, known) for item in value)
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not type(default):
        raise _wrong(name, f"{key} = {value!r}", known)
    return value


def _plain(value: Any) -> Json:
    return list(value) if isinstance(value, tuple) else value


def _wrong(name: str, got: str, known: Mapping[str, Any]) -> InputError:
    allowed = ", ".join(f"{key} (such as {value!r})" for key, value in sorted(known.items()))
    return InputError("bad-feature", got=f"The feature '{name}' has {got}.", allowed=f"{allowed}.", fix="Mend the recipe.")
