"""Which files of a source are masks: by ``--masks``, or by a layout that says so (nnU-Net)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from medloop.errors import InputError
from medloop.readers import _nnunet, _walk


def find(root: Path, seen: Sequence[_walk.Seen], masks: str | None) -> list[_walk.Seen]:
    """The mask files: those below ``root`` that a pattern fits, or else those of the folder that the pattern names.

    Files outside are named relative to ``root``, with ``..``. Raises `InputError` for a pattern that fits nothing.
    """
    names = {each.name for each in seen}
    if masks is None:
        nnunet = _nnunet.is_layout(names)
        return [each for each in _usable(seen) if nnunet and any(_walk.matches(each.name, glob) for glob in _nnunet.MASKS)]
    found: dict[str, _walk.Seen] = {}
    for pattern in _walk.patterns(masks):
        fitting = [each for each in _usable(seen) if _walk.matches(each.name, pattern)] or _beside(root, pattern)
        if not fitting:
            raise InputError(
                "no-masks",
                got=f"No file fits --masks '{pattern}'.",
                allowed="A glob such as '*.png', 'masks/*.nii.gz' or '*_seg*'; several with commas; or a folder.",
                fix="Check the pattern.",
            )
        found |= {each.path: each for each in fitting}
    return list(found.values())


def _usable(seen: Sequence[_walk.Seen]) -> list[_walk.Seen]:
    return [each for each in seen if not each.reason and not _walk.is_table(each.name)]


def _beside(root: Path, pattern: str) -> list[_walk.Seen]:
    """Files of a folder that is given by its own path, in the source or outside."""
    path = Path(pattern).expanduser()
    folder, tail = (path, "*") if path.is_dir() else (path.parent, path.name)
    if not folder.is_dir() or (folder == Path() and tail != pattern):
        return []
    inside = [each for each in _usable(list(_walk.walk(folder.resolve()))) if _walk.matches(each.name, tail)]
    return [replace(each, name=Path(os.path.relpath(each.path, root)).as_posix()) for each in inside]
