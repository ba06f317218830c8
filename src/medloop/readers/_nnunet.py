"""The layout of nnU-Net: ``imagesTr``, ``labelsTr`` (and ``imagesTs``, ``labelsTs``), ``dataset.json`` at the top."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from pathlib import Path

from medloop.errors import Unreadable
from medloop.types import Json

CASE_BY = r"^(imagesT[rs]/.+)_\d{4}\.[^/]+$"
"""An image's name, with the case as its group."""
MASKS = ("labelsTr/*", "labelsTs/*")


def is_layout(names: Collection[str]) -> bool:
    """Whether files with these names relative to a source are such a collection."""
    return "dataset.json" in names and any(name.startswith("imagesTr/") for name in names)


def about(path: Path) -> Json:
    """What ``dataset.json`` says. Raises `Unreadable`."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise Unreadable(f"not readable as JSON: {error}") from None
    if not isinstance(found, dict) or not isinstance(found.get("labels"), dict):
        raise Unreadable("not nnU-Net's: it has no labels")
    return found


def flags(root: Path) -> tuple[str, str] | None:
    """``--channels`` and ``--case-by`` of a collection with several channels; None of other folders."""
    try:
        found = about(root / "dataset.json") if (root / "imagesTr").is_dir() else {}
    except Unreadable:
        return None
    said = found.get("channel_names", found.get("modality"))
    if not isinstance(said, dict) or len(said) < 2 or not all(key.isdecimal() for key in said):
        return None
    numbers = sorted(said, key=int)
    plain = [re.sub(r"[^\w.-]+", "_", str(said[key])) for key in numbers]
    names = [name if plain.count(name) == 1 else f"{name}_{key}" for name, key in zip(plain, numbers, strict=True)]
    return ",".join(f"{name}='*_{int(key):04d}.*'" for name, key in zip(names, numbers, strict=True)), CASE_BY
