"""Archives from outside, unpacked without trust: names that lead elsewhere, links and bombs stay out, each with its reason."""

from __future__ import annotations

import re
import stat
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from medloop.errors import Unreadable
from medloop.types import Rejected
from medloop.workspace.atomic import explained

GIB = 2**30
_BLOCK = 1 << 20
_LONGEST, _DEEPEST = 200, 40
_DRIVE = re.compile(r"[A-Za-z]:")


@dataclass(frozen=True, slots=True)
class Limits:
    """``bytes``: of one file, and of all that is in one archive. ``ratio``: how many times larger than the archive what is in it
    may be, once it is more than ``easy_bytes``. ``files``: in one archive."""

    bytes: int = 2 * GIB
    ratio: int = 200
    easy_bytes: int = 128 * 2**20
    files: int = 200_000


LIMITS = Limits()


def is_archive(path: Path) -> bool:
    """Whether this is a ZIP archive, by its name and its head. An ``.npz`` is one of arrays and is read as it is."""
    if path.suffix.lower() == ".npz" or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) in (b"PK\3\4", b"PK\5\6")


def unpack(archive: Path, into: Path, limits: Limits = LIMITS) -> list[Rejected]:
    """Write what is in ``archive`` below the folder ``into``; what is left out comes back with its reason, under its name inside.

    Raises `Unreadable` where nothing of it may be used: it is no whole archive, or unpacks to far more than it should.
    """
    into.mkdir(parents=True, exist_ok=True)
    with explained(into), _whole(archive) as opened:
        entries = opened.infolist()
        if len(entries) > limits.files:
            raise Unreadable(f"an archive of {len(entries):,} files; the limit is {limits.files:,}")
        room = _room(archive, limits)
        rejected: list[Rejected] = []
        used: set[str] = set()
        for entry in entries:
            name = entry.filename.replace("\\", "/")
            if name.endswith("/"):
                continue
            if reason := _why_not(entry, name) or ("there twice in the archive" if name.casefold() in used else ""):
                rejected.append(Rejected(_shown(name), reason))
                continue
            used.add(name.casefold())
            room -= _write(opened, entry, into / name, room)
    return rejected


def _whole(archive: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(archive)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise Unreadable(f"a broken or cut off archive: {error}") from None


def _room(archive: Path, limits: Limits) -> int:
    """How many bytes may come out."""
    return min(limits.bytes, max(limits.easy_bytes, limits.ratio * archive.stat().st_size))


def _why_not(entry: zipfile.ZipInfo, name: str) -> str:
    parts = name.split("/")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if name.startswith("/") or _DRIVE.match(name) or ".." in parts:
        return "its name leads out of the archive"
    if kind == stat.S_IFLNK:
        return "a link, not a file"
    if kind not in (0, stat.S_IFREG):
        return "not an ordinary file"
    if entry.flag_bits & 1:
        return "protected by a password; unpack it first"
    if max(map(len, parts)) > _LONGEST or len(parts) > _DEEPEST or not name.isprintable():
        return "its name is too long or has unprintable letters; rename it"
    return ""


def _write(opened: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path, room: int) -> int:
    """Write one file block by block and return its size: what the archive says of sizes is not believed. Raises `Unreadable`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with opened.open(entry) as source, path.open("xb") as target:
            return _copy(source, target, room)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise Unreadable(f"a broken or cut off archive: {error}") from None
    except (FileExistsError, NotADirectoryError):
        raise Unreadable("an archive in which one name is both a file and a folder") from None


def _copy(source: IO[bytes], target: IO[bytes], room: int) -> int:
    done = 0
    while block := source.read(_BLOCK):
        done += len(block)
        if done > room:
            raise Unreadable("an archive that unpacks to far more than it may (2 GB, or 200 times its own size)")
        target.write(block)
    return done


def _shown(name: str) -> str:
    """A name as it can be told."""
    return "".join(letter if letter.isprintable() else "?" for letter in name[:_LONGEST])
