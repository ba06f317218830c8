"""How a server is: database, blobs, workers, disk. What `/health` answers, and `doctor` too."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from medloop.errors import MedloopError
from medloop.loop._pulse import workers
from medloop.store import Store, labels

FREE_MB = 500
"""With less free disk a server is not well."""


@dataclass(frozen=True, slots=True)
class Sign:
    """One thing that is well or not, and what there is to say of it."""

    what: str
    well: bool
    says: str


def health(opened: Store, root: Path) -> list[Sign]:
    """All signs. What is slow or broken is said, never raised."""
    return [_database(opened), _blobs(opened), _workers(root), _disk(root)]


def _database(opened: Store) -> Sign:
    begun = time.monotonic()
    try:
        labels.last_id(opened)
    except (MedloopError, SQLAlchemyError, OSError) as error:
        return Sign("database", False, f"does not answer ({type(error).__name__})")
    kind = "PostgreSQL" if opened.postgresql else "SQLite"
    return Sign("database", True, f"{kind} answers in {1000 * (time.monotonic() - begun):.0f} ms")


def _blobs(opened: Store) -> Sign:
    try:
        opened.blobs.has("0" * 64)
    except (MedloopError, OSError) as error:
        return Sign("blobs", False, f"cannot be reached ({type(error).__name__})")
    return Sign("blobs", True, "can be reached")


def _workers(root: Path) -> Sign:
    alive = [each for each in workers(root) if each.alive]
    busy = sum(each.job is not None for each in alive)
    return Sign("worker", bool(alive), f"{len(alive)} alive, {busy} busy" if alive else "no worker is alive: jobs wait")


def _disk(root: Path) -> Sign:
    try:
        free = shutil.disk_usage(root).free / 1e6
    except OSError as error:
        return Sign("disk", False, f"cannot be asked ({type(error).__name__})")
    return Sign("disk", free >= FREE_MB, f"{free / 1000:.1f} GB free")
