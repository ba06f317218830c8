"""Files from outside in a folder of their own before anybody opens them: plain names, archives unpacked, nothing too large."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from medloop.errors import Unreadable
from medloop.loop._unpack import LIMITS, Limits, is_archive, unpack
from medloop.types import Rejected
from medloop.workspace import Workspace
from medloop.workspace.atomic import explained

_LONGEST = 120
_LEFT_S = 86_400.0


@contextmanager
def staged(
    workspace: Workspace, paths: Sequence[Path], names: Sequence[str] | None = None, limits: Limits = LIMITS
) -> Iterator[tuple[Path, list[Rejected]]]:
    """A folder that holds these files, and what was left out with its reason; it is gone when the block ends.

    ``names``: what their sender called them (default: as they lie here). Only the last part of a name counts.
    """
    home = workspace.root / "incoming"
    with explained(home):
        home.mkdir(parents=True, exist_ok=True)
        _sweep(home)
        folder = Path(tempfile.mkdtemp(dir=home))
    try:
        rejected: list[Rejected] = []
        used: set[str] = set()
        for path, said in zip(paths, names or [path.name for path in paths], strict=True):
            name = _unused(plain(said), used)
            rejected += _bring(path, folder, name, limits)
        yield folder, rejected
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sweep(home: Path) -> None:
    """Remove what processes that were killed left behind a day ago or earlier."""
    for left in home.iterdir():
        if left.stat().st_mtime < time.time() - _LEFT_S:
            shutil.rmtree(left, ignore_errors=True)


def plain(name: str) -> str:
    """A file's name without folders and without letters that no file needs."""
    last = re.split(r"[/\\]", name)[-1]
    kept = re.sub(r"[^\w.+= -]", "_", last).strip(" .")
    stem, dot, ending = kept.rpartition(".")
    return f"{stem[:_LONGEST]}{dot}{ending[:16]}" if dot else kept[:_LONGEST] or "file"


def _unused(name: str, used: set[str]) -> str:
    found, number = name, 2
    while found.casefold() in used:
        found, number = f"{number}-{name}", number + 1
    used.add(found.casefold())
    return found


def _bring(path: Path, folder: Path, name: str, limits: Limits) -> list[Rejected]:
    if path.is_symlink() or not path.is_file():
        return [Rejected(name, "not an ordinary file")]
    if path.stat().st_size > limits.bytes:
        return [Rejected(name, f"larger than {limits.bytes / 2**30:.3g} GB; send it in parts")]
    if not is_archive(path):
        link(path, folder / name)
        return []
    inside = folder / (Path(name).stem or name)
    inside = inside if not inside.exists() else folder / f"{name}-unpacked"
    try:
        return [Rejected(f"{name}/{each.path}", each.reason) for each in unpack(path, inside, limits)]
    except Unreadable as error:
        shutil.rmtree(inside, ignore_errors=True)
        return [Rejected(name, str(error))]


def link(path: Path, target: Path) -> None:
    """The same file under another name where the disk can do that, else a copy. What is there already stays."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with explained(target):
        try:
            os.link(path, target)
        except FileExistsError:
            return
        except OSError:
            shutil.copyfile(path, target)
