"""Recipes as TOML and JSON, both ways, and recipes by name.

```toml
name = "my-lungs"
family = "classical"
seed = 0

[[preparation]]        # in order; left out: chosen from the data
step = "resample"
spacing_mm = [2.0, 2.0, 2.0]

[parameters]           # the family's own
trees = 400
```

A name is a family (``classical``), a recipe that ships with medloop (``medloop/recipes_builtin/NAME.toml``) or a file.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import tomli_w

from medloop import registry
from medloop.errors import InputError, unknown_name
from medloop.types import Json, Recipe, Step

_BUILTIN = Path(__file__).parent / "recipes_builtin"
_EXAMPLE = {"name": "my-recipe", "family": "classical"}
_KEYS = tuple(field.name for field in dataclasses.fields(Recipe))


def names() -> tuple[str, ...]:
    """Every recipe that can be asked for by name: families, and recipes that ship with medloop."""
    shipped = (path.stem for path in _BUILTIN.glob("*.toml"))
    return tuple(sorted({*(name.replace("_", "-") for name in registry.names("families")), *shipped}))


def load(name: str) -> Recipe:
    """A recipe by name, or from a ``.toml`` or ``.json`` file. Raises `InputError` for anything else or for wrong content."""
    path = Path(name).expanduser()
    if path.suffix.lower() in (".toml", ".json"):
        return _from_file(path)
    shipped = _BUILTIN / f"{name}.toml"
    if name not in names():
        raise unknown_name("recipe", name, names())
    return _from_file(shipped) if shipped.exists() else Recipe(name=name, family=name)


def to_json(recipe: Recipe) -> dict[str, Json]:
    """Plain JSON. A value of None is left out: it means the default."""
    steps = [{"step": step.name} | _plain(step.params) for step in recipe.preparation]
    content = {"name": recipe.name, "family": recipe.family, "seed": recipe.seed}
    return content | ({"preparation": steps} if steps else {}) | {"parameters": _plain(recipe.parameters)}


def from_json(content: Json) -> Recipe:
    """The inverse of `to_json`. Raises `InputError` for an unknown key, family or step and for a value of the wrong kind."""
    table = _table(content, "a recipe")
    _known(table, _KEYS, "a recipe")
    for key in ("name", "family"):
        _need(key in table, f"no {key}", f'{key} = "{_EXAMPLE[key]}", for example.', f"it: write a line with {key}")
        _need(isinstance(table.get(key), str) and bool(table[key]), f"{key} = {table.get(key)!r}", f"{key}: a text.", key)
    if table["family"].replace("-", "_") not in registry.names("families"):
        raise unknown_name("family", table["family"], (each.replace("_", "-") for each in registry.names("families")))
    seed = table.get("seed", 0)
    whole = isinstance(seed, int) and not isinstance(seed, bool) and 0 <= seed < 2**32
    _need(whole, f"seed = {seed!r}", "seed: a whole number from 0 to 4294967295.", "seed")
    steps = table.get("preparation", [])
    _need(isinstance(steps, list), f"preparation = {steps!r}", "preparation: a list of steps.", "preparation")
    parameters = _table(table.get("parameters", {}), "parameters")
    return Recipe(table["name"], table["family"], tuple(map(_step, steps)), parameters, seed)


def to_toml(recipe: Recipe) -> str:
    """TOML text that `from_toml` reads back as an equal recipe."""
    return tomli_w.dumps(to_json(recipe))


def from_toml(text: str) -> Recipe:
    """The inverse of `to_toml`. Raises `InputError` that says what is wrong, and in which line where TOML itself is broken."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(
            "bad-recipe", got=f"The recipe is not TOML: {error}.", allowed="A TOML file.", fix="Mend the line named."
        ) from error
    return from_json(content)


def _from_file(path: Path) -> Recipe:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = "it is not text in UTF-8" if isinstance(error, UnicodeDecodeError) else str(error.strerror).lower()
        raise InputError(
            "no-recipe",
            got=f"The recipe {path} cannot be read: {why}.",
            allowed=f"A TOML file, or one of: {', '.join(names())}.",
            fix="Check the path.",
        ) from error
    if path.suffix.lower() == ".toml":
        return from_toml(text)
    try:
        return from_json(json.loads(text))
    except json.JSONDecodeError as error:
        raise InputError(
            "bad-recipe", got=f"The recipe is not JSON: {error}.", allowed="A JSON file.", fix="Mend the line named."
        ) from error


def _step(content: Json) -> Step:
    table = _table(content, "a step of the preparation")
    name = table.get("step")
    _need(isinstance(name, str), f"a preparation step without its name: {table!r}", "step: the name of a step.", "step")
    if name not in registry.names("prep"):
        raise unknown_name("preparation step", str(name), registry.names("prep"))
    return Step(str(name), {key: value for key, value in table.items() if key != "step"})


def _table(content: Json, what: str) -> dict[str, Any]:
    named = isinstance(content, dict) and all(isinstance(key, str) for key in content)
    _need(named, f"{what} that is no table: {content!r}", "key = value.", what)
    return dict(content)


def _known(table: Mapping[str, Json], keys: Iterable[str], what: str) -> None:
    for key in table:
        if key not in keys:
            near = difflib.get_close_matches(key, list(keys), n=1, cutoff=0.5)
            raise InputError(
                "bad-recipe",
                got=f"{what[0].upper()}{what[1:]} has no key '{key}'.",
                allowed=f"{', '.join(keys)}.",
                fix=f"Did you mean {near[0]}?" if near else "Leave it out.",
            )


def _need(good: bool, got: str, allowed: str, what: str) -> None:
    if not good:
        raise InputError("bad-recipe", got=f"The recipe has {got}.", allowed=allowed, fix=f"Mend {what} in the recipe.")


def _plain(value: Any) -> Any:
    """Tuples as lists, and tables without the keys whose value is None."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items() if item is not None}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
