"""Write a sample collection."""

from __future__ import annotations

from pathlib import Path

from medloop import registry
from medloop.progress import QUIET, Progress
from medloop.requests import SampleRequest, SampleResult
from medloop.workspace import Workspace


def sample(workspace: Workspace, request: SampleRequest, tell: Progress = QUIET) -> SampleResult:
    """Write the collection named in the request. Raises `InputError` for an unknown name or a folder that is not empty."""
    del workspace
    written: SampleResult = registry.load("samples", request.name).write(
        Path(request.out).absolute(), seed=request.seed, patients=request.patients, tell=tell
    )
    return written
