"""Write what a run knows as files others can read."""

from __future__ import annotations

from pathlib import Path

from medloop.errors import InputError
from medloop.loop._runs import damaged, find_run, read_run
from medloop.progress import QUIET, Progress
from medloop.requests import ExportRequest, ExportResult
from medloop.workspace import Workspace, write_bytes

_FILES = ("split.csv", "predictions.csv")
_CASES = "cases.csv"
"""Figures of masks, boxes and measures case by case."""


def export(workspace: Workspace, request: ExportRequest, tell: Progress = QUIET) -> ExportResult:
    """Write ``split.csv`` and ``predictions.csv`` (out-of-fold and test) of a run into a folder; ``cases.csv`` where it has one.

    Raises `InputError`.
    """
    del tell
    if request.as_ != "csv":
        raise InputError(
            "unknown-format", got=f"A run cannot be exported as '{request.as_}'.", allowed="csv.", fix="Write --as csv."
        )
    run = find_run(workspace, request.run)
    read_run(run)
    folder = Path(request.out).absolute()
    written = []
    for name in (*_FILES, *([_CASES] if (run / _CASES).exists() else [])):
        try:
            content = (run / name).read_bytes()
        except OSError as error:
            raise damaged(run / name) from error
        write_bytes(folder / name, content)
        written.append(str(folder / name))
    return ExportResult(files=written)
