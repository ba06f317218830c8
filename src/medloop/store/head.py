"""The head of the audit trail, in a file beside the database: without it a trail whose end was cut off would look whole."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from medloop.store.tables import audit
from medloop.workspace.atomic import explained

if TYPE_CHECKING:
    from medloop.store.base import Store

LAST = "medloop_audit_head"
START = "0" * 64
"""What the first entry names as the one before it."""


def path(root: Path) -> Path:
    """Where the head is kept."""
    return root / "loop.head"


def read(root: Path) -> tuple[int, str] | None:
    """Number and hash of the last entry that was written; None where there is no such file or it makes no sense."""
    try:
        number, digest = path(root).read_text("ascii").split()
        return int(number), digest
    except (OSError, ValueError):
        return None


def advance(root: Path, number: int, digest: str) -> None:
    """Note a newer last entry. A file that is gone is not made again: `medloop.store.audit.verify` must see that it is gone."""
    known = read(root)
    if known is not None and known[0] < number:
        _put(root, number, digest)


def begin(store: Store) -> None:
    """Make the file where the trail has no entry yet."""
    if read(store.root) is None:
        with store.read() as connection:
            if connection.scalar(sa.select(sa.func.max(audit.c.number))) is None:
                _put(store.root, 0, START)


def _put(root: Path, number: int, digest: str) -> None:
    with explained(path(root)):
        handle, name = tempfile.mkstemp(dir=root, prefix=".loop.head.")
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(f"{number} {digest}\n")
        os.replace(name, path(root))
