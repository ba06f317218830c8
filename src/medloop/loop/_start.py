"""Where learning starts: the recipe with its seed, the model whose network is taken up, the device.

A recipe names the model it starts from as ``from``. In the recipe of a run each ``from`` has its ``from_digest`` beside it, so that
learning again from another file of the same name is noticed.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from medloop import prep, recipes, registry
from medloop.errors import InputError
from medloop.labels import Labelled
from medloop.loop._runs import find_model
from medloop.requests import LearnRequest, listed
from medloop.targets import rules
from medloop.types import ImageRef, Json, Recipe, Step
from medloop.workspace import Workspace

DEFAULT = "ladder"
"""The recipe where none is asked for."""
SEVERAL = "multitask"
"""The recipe where masks, boxes or measures are learnt and none is asked for: the family that learns them."""
_CLASSES = "classes"
_FINE_SIDE, _FINE_VOXELS = 416, 192**3
"""What is outlined or found is often small in its image, so that pictures and volumes are prepared finer."""
_HELPERS: Mapping[str, tuple[str, Json]] = {"reconstruction": ("reconstruct", True), "similarity": ("similarity", 32)}
"""Targets that need no labels of their own, and the parameter of `SEVERAL` that each stands for."""
_FROM, _DIGEST = "from", "from_digest"
_STARTING = ("ladder", "transfer", "multitask")
_HEAD = "model.json"
_BLOCK = 1 << 20


def recipe_of(workspace: Workspace, request: LearnRequest) -> Recipe:
    """The recipe asked for, with the request's seed and start. Raises `InputError` for a name that is not there."""
    if request.device not in ("auto", "cpu"):
        registry.load("learning", "devices").place(request.device)
    recipe = recipes.load(request.recipe or (DEFAULT if set(listed(request.targets)) <= {_CLASSES} else SEVERAL))
    parameters = dict(recipe.parameters)
    if request.from_ is not None:
        parameters[_FROM] = request.from_
        parameters.pop(_DIGEST, None)
        _takes_up(recipe)
    parameters |= _said(request, recipe)
    parameters = resolved(workspace, parameters)
    registry.load("families", recipe.family).check(parameters)
    return replace(recipe, parameters=parameters, seed=request.seed or recipe.seed)


def _said(request: LearnRequest, recipe: Recipe) -> dict[str, Json]:
    """Parameters that flags of the request stand for. Raises `InputError` for rules that cannot be read or obeyed."""
    helpers = {key: value for word, (key, value) in _HELPERS.items() if word in listed(request.targets)}
    found: dict[str, Json] = {key: value for key, value in helpers.items() if not recipe.parameters.get(key)}
    if request.rules is None:
        if "rules" in listed(request.targets) and not recipe.parameters.get("rules"):
            raise InputError(
                "no-rules",
                got="--targets names rules, and no rules are given.",
                allowed="A TOML file of rules.",
                fix="Write --rules rules.toml.",
            )
        return found
    if recipe.family != SEVERAL:
        raise InputError(
            "rules-of-classes",
            got=f"--rules {request.rules}, and the recipe '{recipe.name}' learns with family '{recipe.family}'.",
            allowed=f"--rules with --targets masks, boxes or measures (family {SEVERAL}).",
            fix="Leave out --rules.",
        )
    if rules.in_words(request.rules):
        return found | {"rules": request.rules}
    try:
        return found | {"rules": Path(request.rules).expanduser().read_text(encoding="utf-8")}
    except (OSError, UnicodeError) as error:
        raise InputError(
            "bad-rules",
            got=f"--rules {request.rules} cannot be read.",
            allowed="A TOML file of rules.",
            fix="Check the path.",
        ) from error


def structured(request: LearnRequest, labelled: Labelled) -> bool:
    """Whether masks, boxes or measures are to be learnt."""
    asked = set(listed(request.targets))
    carried = {word for truth in labelled.further for word in (truth.target.name, truth.target.kind.value)}
    return bool(asked & carried) or labelled.target.kind.structured


def recipe_for(workspace: Workspace, request: LearnRequest, labelled: Labelled) -> Recipe:
    """The recipe asked for, or the one that learns what is labelled. Raises `InputError` for one that cannot learn it."""
    if not structured(request, labelled):
        return recipe_of(workspace, request)
    recipe = recipe_of(workspace, replace(request, recipe=request.recipe or SEVERAL))
    if recipe.family != SEVERAL:
        raise InputError(
            "recipe-of-classes",
            got=f"The recipe '{recipe.name}' learns with family '{recipe.family}', which knows classes and numbers only.",
            allowed=f"A recipe of family {SEVERAL} for masks, boxes and measures.",
            fix=f"Leave out --recipe, or write --recipe {SEVERAL}, or --targets {_CLASSES}.",
        )
    return recipe


def planner(recipe: Recipe, fine: bool) -> Callable[[Sequence[ImageRef]], tuple[Step, ...]]:
    """The preparation of the recipe, or one chosen from the images; ``fine``: for masks, boxes and measures."""
    if recipe.preparation:
        return lambda refs: recipe.preparation
    return partial(prep.plan, side=_FINE_SIDE, voxels=_FINE_VOXELS) if fine else prep.plan


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
