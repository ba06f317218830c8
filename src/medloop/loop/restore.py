"""Bring a backup back into a workspace that has no records yet."""

from __future__ import annotations

from pathlib import Path

from medloop.progress import QUIET, Progress
from medloop.requests import BackupResult, RestoreRequest
from medloop.store import backup as backups
from medloop.wire import to_json
from medloop.workspace import Workspace


def restore(workspace: Workspace, request: RestoreRequest, tell: Progress = QUIET) -> BackupResult:
    """Check the backup, bring it back whole or not at all, verify its trail. Raises `InputError` and `Refused`."""
    folder = Path(request.src).absolute()
    tell.say("Checking the backup, then bringing images, models and rows back.")
    held = backups.restore(workspace.root, folder, request.database, request.blobs)
    return BackupResult(out=str(workspace.root), **to_json(held))
