"""Whether the server is well, for whoever watches it: no log-in, and nothing of patients."""

from __future__ import annotations

from dataclasses import asdict
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from medloop.loop._health import health
from medloop.version import VERSION
from medloop.web.site import Here

router = APIRouter(tags=["operation"])


@router.get("/health", responses={503: {"description": "Something is not well; `signs` says what."}})
def signs(site: Here) -> JSONResponse:
    """Database, blobs, worker, disk: 200 where all are well, else 503."""
    found = health(site.store, site.workspace.root)
    well = all(each.well for each in found)
    content: dict[str, Any] = {"well": well, "version": VERSION, "signs": [asdict(each) for each in found]}
    return JSONResponse(content, HTTPStatus.OK if well else HTTPStatus.SERVICE_UNAVAILABLE)
