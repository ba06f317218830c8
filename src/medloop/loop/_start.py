"""Where learning starts: the recipe with its seed, the model whose network is taken up, the device.

A recipe names the model it starts from as ``from``. In the recipe of a run each ``from`` has its ``from_digest`` beside it, so that
learning again from another file of the same name is noticed.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from medloop import recipes, registry
from medloop.errors import InputError
from medloop.loop._runs import find_model
from medloop.requests import LearnRequest, listed
from medloop.types import Json, Recipe
from medloop.workspace import Workspace

DEFAULT = "ladder"
"""The recipe where none is asked for."""
_TARGETS = ("classes",)
_FROM, _DIGEST = "from", "from_digest"
_STARTING = ("ladder", "transfer")
_HEAD = "model.json"
_BLOCK = 1 << 20


def recipe_of(workspace: Workspace, request: LearnRequest) -> Recipe:
    """The recipe asked for, with the request's seed and start. Raises `InputError` for a name or target that is not there."""
    for target in listed(request.targets):
        if target not in _TARGETS:
            raise InputError(
                "unknown-target",
                got=f"'{target}' cannot be learnt.",
                allowed=", ".join(_TARGETS) + " (also numbers, where the label column holds numbers).",
                fix="Write --targets classes.",
            )
    if request.device not in ("auto", "cpu"):
        registry.load("learning", "devices").place(request.device)
    recipe = recipes.load(request.recipe or DEFAULT)
    parameters = dict(recipe.parameters)
    if request.from_ is not None:
        parameters[_FROM] = request.from_
        parameters.pop(_DIGEST, None)
        _takes_up(recipe)
    parameters = resolved(workspace, parameters)
    registry.load("families", recipe.family).check(parameters)
    return replace(recipe, parameters=parameters, seed=request.seed or recipe.seed)


def resolved(workspace: Workspace, parameters: Mapping[str, Json]) -> dict[str, Json]:
    """Parameters in which every ``from`` is the path of a model's folder or of a file of weights.

    Raises `InputError` for one that is not there, or is not what its digest says.
    """
    found: dict[str, Json] = _each(parameters, lambda table: _checked(workspace, table))
    return found


def stamped(recipe: Recipe) -> Recipe:
    """The recipe with a digest beside every ``from``."""
    parameters = _each(recipe.parameters, lambda table: {_DIGEST: digest(Path(table[_FROM]))})
    return dataclasses.replace(recipe, parameters=parameters)


def digest(start: Path) -> str:
    """The hash of a file of weights; of a model that of its description, which holds the hashes of its files."""
    state = hashlib.sha256()
    with (start / _HEAD if start.is_dir() else start).open("rb") as file:
        while block := file.read(_BLOCK):
            state.update(block)
    return state.hexdigest()


def _takes_up(recipe: Recipe) -> None:
    if recipe.family not in _STARTING:
        raise InputError(
            "no-start",
            got=f"--from with the recipe '{recipe.name}', which learns with family '{recipe.family}' and has no network.",
            allowed=f"--from with a recipe of family {' or '.join(_STARTING)}.",
            fix="Leave out --from, or write --recipe transfer.",
        )


def _checked(workspace: Workspace, table: Mapping[str, Json]) -> dict[str, Json]:
    name = str(table[_FROM])
    start = Path(name).expanduser()
    if not start.is_file():
        start = find_model(workspace, name)
        if not (start / _HEAD).is_file():
            raise InputError("no-model", got=f"{start} is not there.", allowed="A model.", fix="Learn it again.")
    start = start.absolute()
    expected = table.get(_DIGEST)
    if expected is not None and expected != digest(start):
        raise InputError(
            "other-start",
            got=f"{start} is not what the recipe started from: its content differs.",
            allowed=f"The content whose SHA-256 is {expected}.",
            fix="Name the right file with --from, or take from_digest out of the recipe to start from this one.",
        )
    return {_FROM: str(start), _DIGEST: None}


def _each(value: Any, told: Any) -> Any:
    """The value with what ``told(table)`` says put into every table that has a ``from``; None takes a key out."""
    if isinstance(value, Mapping):
        inside = {key: _each(item, told) for key, item in value.items()}
        more = told(value) if isinstance(value.get(_FROM), str) else {}
        return {key: item for key, item in {**inside, **more}.items() if not (key in more and item is None)}
    return [_each(item, told) for item in value] if isinstance(value, (list, tuple)) else value
