"""Plugins by file name: a module in a room is listed without being imported, and imported when it is used.

Rooms are packages of medloop (``readers``, ``labels``, ``prep``, ``features``, ``families``, ``targets``, ``samples``). Other
packages join by an entry point in the group ``medloop.<room>``.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import pkgutil
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from medloop.errors import unknown_name

_HERE = Path(__file__).parent
_ROOMS = {
    "readers": "reader",
    "labels": "label format",
    "features": "feature",
    "prep": "preparation step",
    "families": "family",
    "samples": "sample collection",
    "targets": "target",
    "networks": "network",
}


@cache
def names(room: str) -> tuple[str, ...]:
    """The plugins of a room, sorted. Modules whose name starts with an underscore are not plugins."""
    return tuple(sorted(_where(room)))


@cache
def load(room: str, name: str) -> ModuleType:
    """Import one plugin. Raises `InputError` with the nearest names for a name that is not there."""
    where = _where(room)
    key = name.replace("-", "_")
    if key not in where:
        raise unknown_name(_ROOMS.get(room, room), name, (each.replace("_", "-") for each in where))
    return importlib.import_module(where[key])


@cache
def part(room: str, name: str) -> ModuleType:
    """Import a module of a room that is no plugin, such as ``_heavy``: for plugins that need it only in some cases."""
    return importlib.import_module(f"medloop.{room}.{name}")


@cache
def _where(room: str) -> dict[str, str]:
    own = {
        info.name: f"medloop.{room}.{info.name}"
        for info in pkgutil.iter_modules([str(_HERE / room)])
        if not info.name.startswith("_")
    }
    joined = {point.name: point.value for point in importlib.metadata.entry_points(group=f"medloop.{room}")}
    return joined | own


def verb(name: str) -> Any:
    """The function of a verb: ``medloop.loop.<verb>.<verb>(workspace, request, tell)``. Its module is imported now."""
    return getattr(importlib.import_module(f"medloop.loop.{name}"), name)
