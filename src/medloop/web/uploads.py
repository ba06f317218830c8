"""Uploads: images, archives of them, from a page or a program, into the store."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, File, Request, UploadFile
from fastapi.responses import HTMLResponse

from medloop import registry
from medloop.requests import IngestResult
from medloop.store.records import Account
from medloop.web.pages import page
from medloop.web.security import Engineer
from medloop.web.site import Here, Site
from medloop.workspace.atomic import explained

router = APIRouter()
Files = Annotated[list[UploadFile], File(description="DICOM, NIfTI, PNG, JPEG, TIFF, or archives of them (zip).")]
_FOLDER = "uploads"


@router.post("/api/studies", status_code=201, tags=["studies"])
def take(site: Here, person: Engineer, files: Files) -> IngestResult:
    """Take images into the store. What is there already changes nothing; what cannot be used is told with its reason."""
    return _taken(site, person, files)


@router.get("/upload", response_class=HTMLResponse, include_in_schema=False)
def shown(request: Request, site: Here, person: Engineer) -> HTMLResponse:
    """The page."""
    return page(request, "upload.html.j2", section="upload", result=None)


@router.post("/upload", response_class=HTMLResponse, include_in_schema=False)
def take_by_form(request: Request, site: Here, person: Engineer, files: Files) -> HTMLResponse:
    """The form of the page: says what was taken."""
    return page(request, "upload.html.j2", section="upload", result=_taken(site, person, files))


def _taken(site: Site, person: Account, files: Sequence[UploadFile]) -> IngestResult:
    """Names of senders are never names on our disk: each file gets a number."""
    folder = site.workspace.root / _FOLDER
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as place:
            paths = [Path(place) / f"{number}" for number in range(len(files))]
            for path, each in zip(paths, files, strict=True):
                with path.open("wb") as file:
                    shutil.copyfileobj(each.file, file, 1 << 20)
            names = [each.filename or "file" for each in files]
            result: IngestResult = registry.part("loop", "ingest").ingest_files(site.store, paths, person.name, names=names)
            return result
