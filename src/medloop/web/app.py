"""The web application: routers of readers and operators over one store and one workspace."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from importlib.resources import files

from anyio import to_thread
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from medloop.errors import MedloopError, Refused
from medloop.store import Store
from medloop.store.base import THREADS
from medloop.version import VERSION
from medloop.web import (
    choices,
    concord,
    drift,
    entrance,
    health,
    people,
    pictures,
    readings,
    review,
    trail,
    uploads,
    versions,
    work,
    worklist,
)
from medloop.web.assets import assets
from medloop.web.headers import Below, Headers
from medloop.web.limits import Limits
from medloop.web.pages import page, url
from medloop.web.security import NotLoggedIn
from medloop.web.site import Site
from medloop.workspace import Workspace

_READERS = (entrance.router, worklist.router, review.router, readings.router, pictures.router)
_OPERATORS = (
    work.router,
    versions.router,
    trail.router,
    drift.router,
    concord.router,
    people.router,
    choices.router,
    uploads.router,
    health.router,
)


def create(store: Store, workspace: Workspace, *, prefix: str = "") -> FastAPI:
    """The application. ``prefix``: the path below which a reverse proxy offers it (``/medloop``)."""
    app = FastAPI(
        title="medloop", version=VERSION, docs_url=None, redoc_url=None, openapi_url="/api/openapi.json", lifespan=_threads
    )
    app.state.site = Site(store, workspace)
    static = StaticFiles(directory=str(files("medloop.web").joinpath("static")))
    app.mount(assets(), static, name="assets")
    app.mount("/static", static, name="static")
    for router in (*_READERS, *_OPERATORS):
        app.include_router(router)
    app.add_middleware(Limits)
    app.add_middleware(Headers)
    app.add_middleware(Below, prefix=prefix.rstrip("/"))
    app.add_exception_handler(NotLoggedIn, _logged_out)
    app.add_exception_handler(MedloopError, _told)
    app.add_exception_handler(HTTPException, _failed)
    app.add_exception_handler(RequestValidationError, _unreadable)
    return app


@asynccontextmanager
async def _threads(app: FastAPI) -> AsyncIterator[None]:
    """As many threads as connections stay open: more would only take turns at the interpreter's lock."""
    del app
    to_thread.current_default_thread_limiter().total_tokens = THREADS
    yield


def _wants_json(request: Request) -> bool:
    return request.url.path.removeprefix(request.scope.get("root_path", "")).startswith("/api") or "json" in request.headers.get(
        "accept", ""
    )


def _logged_out(request: Request, error: Exception) -> Response:
    """To the log-in page, and back afterwards; scripts are told to do the same."""
    back = request.url.path.removeprefix(request.scope.get("root_path", ""))
    there = url(request, f"/login?next={back}") if request.method == "GET" else url(request, "/login")
    if _wants_json(request):
        told = {
            "code": "not-logged-in",
            "got": "No valid session or token came with the request.",
            "allowed": "A session or a bearer token.",
            "fix": "Log in.",
        }
        return JSONResponse({"error": told}, HTTPStatus.UNAUTHORIZED, {"WWW-Authenticate": "Bearer"})
    if request.headers.get("hx-request"):
        return Response(status_code=HTTPStatus.NO_CONTENT, headers={"HX-Redirect": there})
    return RedirectResponse(there, HTTPStatus.SEE_OTHER)


def _told(request: Request, error: Exception) -> Response:
    """An error that a person can act on."""
    assert isinstance(error, MedloopError)
    status = HTTPStatus.CONFLICT if isinstance(error, Refused) else HTTPStatus.BAD_REQUEST
    if error.code in ("forbidden", "bad-csrf"):
        status = HTTPStatus.FORBIDDEN
    if error.code.startswith("no-"):
        status = HTTPStatus.NOT_FOUND
    if _wants_json(request):
        return JSONResponse(error.to_json(), status)
    return page(request, "error.html.j2", status=status, error=error, number=int(status))


def _failed(request: Request, error: Exception) -> Response:
    """An HTTP error: nothing there, or not by this method."""
    assert isinstance(error, HTTPException)
    if _wants_json(request):
        told = {
            "code": f"http-{error.status_code}",
            "got": str(error.detail),
            "allowed": "What /api/openapi.json lists.",
            "fix": "Mend the address.",
        }
        return JSONResponse({"error": told}, error.status_code, error.headers)
    return page(request, "error.html.j2", status=error.status_code, error=None, number=error.status_code)


def _unreadable(request: Request, error: Exception) -> Response:
    """Fields that are missing or of the wrong kind."""
    assert isinstance(error, RequestValidationError)
    wrong = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
    told = {
        "code": "bad-request",
        "got": f"The request cannot be read: {wrong}.",
        "allowed": "What /api/openapi.json says.",
        "fix": "Mend the fields named.",
    }
    if _wants_json(request):
        return JSONResponse({"error": told}, HTTPStatus.UNPROCESSABLE_ENTITY)
    return page(request, "error.html.j2", status=HTTPStatus.UNPROCESSABLE_ENTITY, error=None, number=422)
