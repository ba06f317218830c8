"""Steps by name: checked, given a key, applied one after the other."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, partial
from typing import Any, Literal, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from medloop import registry
from medloop.errors import InputError, unknown_name
from medloop.types import Image, Json, Step

STEPS: tuple[str, ...] = registry.names("prep")
"""The names of all steps."""


def checked(steps: Iterable[Step]) -> tuple[Step, ...]:
    """The steps with every parameter spelt out, defaults included. Raises `InputError` for a wrong name or value."""
    return tuple(Step(step.name, _params(step)) for step in steps)


def chain(steps: Iterable[Step]) -> Callable[[Image], Image]:
    """One function that does all steps in order; names and values are checked here, once."""
    parts = [partial(registry.load("prep", step.name).step, **step.params) for step in checked(steps)]

    def run(image: Image) -> Image:
        for part in parts:
            image = part(image)
        return image

    return run


def apply(image: Image, steps: Sequence[Step]) -> Image:
    """``image`` after all steps. Raises `Unreadable` where the image cannot be prepared, `InputError` for wrong steps."""
    return chain(steps)(image)


def key(steps: Iterable[Step]) -> str:
    """A short name of what these steps do: their names, versions and parameters, and the content of files they refer to."""
    parts: list[Json] = []
    for step in checked(steps):
        module = registry.load("prep", step.name)
        content = getattr(module, "content", None)
        parts.append([step.name, module.VERSION, dict(step.params), content(**step.params) if content else ""])
    return hashlib.blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=12).hexdigest()


def _params(step: Step) -> dict[str, Json]:
    function = registry.load("prep", step.name).step
    defaults = {name: each.default for name, each in inspect.signature(function).parameters.items() if name != "image"}
    for name in step.params:
        if name not in defaults:
            raise unknown_name(f"parameter of the step {step.name}", name, defaults)
    values: Mapping[str, Any] = defaults | dict(step.params)
    return {name: _value(step.name, name, values[name]) for name in defaults}


def _value(step: str, name: str, value: Json) -> Json:
    kind = get_type_hints(registry.load("prep", step).step)[name]
    options = get_args(kind) if get_origin(kind) is Literal else ()
    if value is inspect.Parameter.empty:
        raise InputError(
            "missing-parameter",
            got=f"The step {step} needs '{name}'.",
            allowed=f"{name}: {_words(kind)}.",
            fix=f"Add {name} to the step {step} in the recipe.",
        )
    if isinstance(value, str) and options and value not in options:
        raise unknown_name(f"choice for {name} of the step {step}", value, map(str, options))
    try:
        return _plain(_adapter(step, name).validate_python(value))
    except ValidationError as error:
        said = "; ".join(str(each["msg"]) for each in error.errors())
        raise InputError(
            "bad-parameter",
            got=f"The step {step} has {name} = {value!r} ({said}).",
            allowed=f"{name}: {_words(kind)}.",
            fix=f"Mend {name} of the step {step} in the recipe.",
        ) from error


@cache
def _adapter(step: str, name: str) -> TypeAdapter[Any]:
    return TypeAdapter(get_type_hints(registry.load("prep", step).step, include_extras=True)[name])


def _plain(value: Any) -> Json:
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _words(kind: Any) -> str:
    """A type as a person writes it."""
    if get_origin(kind) is Literal:
        return " or ".join(map(str, get_args(kind)))
    names = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", type(None): "left out"}
    if kind in names:
        return names[kind]
    parts = [_words(part) for part in get_args(kind) if part is not Ellipsis]
    return f"[{', '.join(parts)}]" if get_origin(kind) in (tuple, list) else " or ".join(parts)
