"""The records of a workspace, opened for one verb."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from medloop import store as storing
from medloop.store import Store
from medloop.workspace import Workspace


@contextmanager
def opened(workspace: Workspace, database: str | None, blobs: str | None) -> Iterator[Store]:
    """The store of a workspace, closed afterwards. Raises `InputError`."""
    records = storing.open(workspace.root, database, blobs)
    try:
        yield records
    finally:
        records.close()
