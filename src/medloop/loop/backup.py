"""Write database, images and models of a workspace into a folder, while the server goes on."""

from __future__ import annotations

from pathlib import Path

from medloop import store
from medloop.progress import QUIET, Progress
from medloop.requests import BackupRequest, BackupResult
from medloop.store import backup as backups
from medloop.wire import to_json
from medloop.workspace import Workspace


def backup(workspace: Workspace, request: BackupRequest, tell: Progress = QUIET) -> BackupResult:
    """Write a backup into the new folder ``request.out``, whole or not at all, and check it by its hashes. Raises `InputError`."""
    opened = store.open(workspace.root, request.database, request.blobs, make=False)
    try:
        tell.say("Copying rows, images and models, and reading them back.")
        held = backups.backup(opened, Path(request.out).absolute())
    finally:
        opened.close()
    return BackupResult(out=str(Path(request.out).absolute()), **to_json(held))
