"""Where style sheet and scripts lie: an address that changes with their content, so that browsers may keep them for good."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable


@cache
def assets() -> str:
    """The path below which they lie."""
    found = hashlib.blake2b(digest_size=6)
    _read(files("medloop.web").joinpath("static"), found)
    return f"/static/{found.hexdigest()}"


def _read(folder: Traversable, found: hashlib.blake2b) -> None:
    for each in sorted(folder.iterdir(), key=lambda each: each.name):
        found.update(each.name.encode())
        if each.is_dir():
            _read(each, found)
        else:
            found.update(each.read_bytes())
