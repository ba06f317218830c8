"""Delete one patient for good, or the images that the retention rule no longer keeps."""

from __future__ import annotations

from medloop import store
from medloop.errors import InputError
from medloop.progress import QUIET, Progress
from medloop.requests import ForgetRequest, ForgetResult
from medloop.store import forget as forgetting
from medloop.store import models
from medloop.workspace import Workspace


def forget(workspace: Workspace, request: ForgetRequest, tell: Progress = QUIET) -> ForgetResult:
    """Delete a patient (``request.patient``), or expired images (``request.expired``). Raises `InputError`."""
    if (request.patient is None) == (not request.expired):
        raise InputError(
            "nobody",
            got="It is not said what to delete.",
            allowed="A patient with a reason, or --expired; one of them.",
            fix="medloop forget PATIENT --reason WORDS, or medloop forget --expired.",
        )
    opened = store.open(workspace.root, request.database, request.blobs, make=False)
    try:
        if request.patient is None:
            gone = forgetting.expired(opened, request.actor)
            return ForgetResult(studies=gone.studies, blobs=gone.blobs, models=[])
        tell.say("Looking for everything that is kept of this patient.")
        gone = forgetting.patient(opened, request.patient, request.reason, request.actor)
        return ForgetResult(studies=gone.studies, blobs=gone.blobs, models=[each.name for each in models.every(opened)])
    finally:
        opened.close()
