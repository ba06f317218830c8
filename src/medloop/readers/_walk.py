"""Every file below a source, once each, in a stable order; links that lead in circles are followed once."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from medloop.types import Rejected

TABLES = (".csv", ".tsv", ".xlsx")
_SYSTEM_FILES = {"thumbs.db", "desktop.ini", "ehthumbs.db", "ntuser.dat"}
_SYSTEM_FOLDERS = {"__macosx", "$recycle.bin", "system volume information"}


@dataclass(frozen=True, slots=True)
class Seen:
    """One file: ``path`` absolute, ``name`` relative to the root with forward slashes. ``reason``: why it is not to be opened."""

    path: str
    name: str
    size: int
    mtime_ns: int
    reason: str = ""


def walk(root: Path, aside: Path | None = None) -> Iterator[Seen]:
    """Files below ``root``, folder by folder in the order of their names; what lies in ``aside`` is passed over."""
    passed = {_identity(aside)} if aside is not None and aside.exists() else set()
    pending = [(root, "", "")]
    seen_folders = {_identity(root)} | passed
    while pending:
        folder, above, reason = pending.pop()
        try:
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError:
            yield Seen(str(folder), _clean(above.rstrip("/") or "."), 0, 0, "this folder cannot be opened (no permission)")
            continue
        below = []
        for entry in entries:
            name = above + entry.name
            if _is_folder(entry):
                identity = _identity(Path(entry.path))
                if identity not in seen_folders:
                    seen_folders.add(identity)
                    below.append((Path(entry.path), name + "/", reason or _odd_folder(entry.name)))
            else:
                yield _seen(entry, name, reason)
        pending.extend(reversed(below))


def one(path: Path) -> Seen:
    """A single file given as the source."""
    about = path.stat()
    return Seen(str(path), _clean(path.name), about.st_size, about.st_mtime_ns)


def is_table(name: str) -> bool:
    """Whether the name is that of a table."""
    return name.lower().endswith(TABLES)


def matches(name: str, glob: str) -> bool:
    """Whether a relative path, or its last part, fits one of the patterns; capitals do not matter."""
    text = name.lower()
    return any(fnmatchcase(part, each.lower()) for each in patterns(glob) for part in (text, text.rpartition("/")[2]))


def patterns(glob: str) -> tuple[str, ...]:
    """The patterns of a flag: as it is, and its parts between commas."""
    parts = tuple(part.strip() for part in glob.split(",") if part.strip())
    return parts if len(parts) > 1 else (glob,)


def rejected(seen: Seen) -> Rejected:
    """The file with its reason."""
    return Rejected(seen.name, seen.reason)


def _identity(path: Path) -> tuple[int, int]:
    about = path.stat()
    return about.st_dev, about.st_ino


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _odd_folder(name: str) -> str:
    if name.lower() in _SYSTEM_FOLDERS:
        return f"in {name}, a folder that the operating system made"
    return f"in the hidden folder {_clean(name)}" if name.startswith(".") else ""


def _clean(name: str) -> str:
    return name.encode("utf-8", "replace").decode("utf-8")


def _seen(entry: os.DirEntry[str], name: str, reason: str) -> Seen:
    try:
        about = entry.stat()
    except OSError:
        link = entry.is_symlink()
        return Seen(entry.path, _clean(name), 0, 0, "a link that leads nowhere" if link else "it cannot be opened (no permission)")
    if not reason:
        reason = _why_not(entry.name, about)
    clean = _clean(name)
    if clean != name:
        reason = reason or "its name is not valid UTF-8; rename it"
    return Seen(entry.path, clean, about.st_size, about.st_mtime_ns, reason)


def _why_not(name: str, about: os.stat_result) -> str:
    if not stat.S_ISREG(about.st_mode):
        return "not an ordinary file"
    if name.lower() in _SYSTEM_FILES:
        return "a file that the operating system made"
    if name.startswith("."):
        return "a hidden file"
    return "" if about.st_size or is_table(name) else "the file is empty (0 bytes)"
