"""Serve the web pages and the API from one process, and do jobs in worker processes beside it.

It listens on this machine only unless told otherwise. A worker that dies is started again; when the server is gone its workers end.
Logs are JSON lines on standard error.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import uvicorn

from medloop import registry, store
from medloop.errors import InputError
from medloop.loop import _logs
from medloop.loop._messages import settle
from medloop.loop._pulse import PARENT
from medloop.progress import QUIET, Progress
from medloop.requests import ServeRequest, ServeResult
from medloop.store import Store, accounts
from medloop.workspace import Workspace

_PATIENCE_S = 25.0
_AGAIN_S = 2.0
_log = logging.getLogger("medloop.serve")


def serve(workspace: Workspace, request: ServeRequest, tell: Progress = QUIET) -> ServeResult:
    """Serve until stopped (Ctrl-C, SIGTERM). Raises `InputError` for an address that cannot be used, or records out of reach."""
    begun = time.monotonic()
    prefix = _prefix(request.prefix)
    workspace.ready()
    settle(request.database, request.blobs, request.queue)
    opened = store.open(workspace.root)
    try:
        with contextlib.closing(_listening(request.host, request.port)) as listener:
            url = f"http://{_named(listener)}{prefix}/"
            _logs.begin()
            app = registry.part("web", "app").create(opened, workspace, prefix=prefix)
            tell.say(f"medloop serves {url}")
            _warn_if_open(listener, tell)
            _first_link(opened, url, tell)
            server = uvicorn.Server(_config(app))
            with _stopped_by_signals(), _workers(workspace, request.workers):
                server.run(sockets=[listener])
        return ServeResult(url=url, seconds=round(time.monotonic() - begun, 2))
    finally:
        opened.close()


def _config(app: Any) -> uvicorn.Config:
    return uvicorn.Config(
        Logged(app),
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=10,
        lifespan="auto",
        proxy_headers=True,
    )


class Logged:
    """One line a request: its route (never the address, which may name somebody), status and time."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Serve, then log."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, status = time.monotonic(), 500

        async def heard(message: dict[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = int(message["status"])
            await send(message)

        try:
            await self._app(scope, receive, heard)
        finally:
            route = getattr(scope.get("route"), "path", None) or "(none)"
            taken = round(1000 * (time.monotonic() - begun), 1)
            _log.info("request", extra={"method": scope["method"], "route": route, "status": status, "ms": taken})


def _prefix(text: str) -> str:
    """The prefix as ``/path`` or nothing. Raises `InputError`."""
    path = text.strip("/")
    if path and not all(part and part.replace("-", "").replace("_", "").isalnum() for part in path.split("/")):
        raise InputError(
            "bad-prefix",
            got=f"--prefix {text}.",
            allowed="A path of letters, digits, - and _, such as /medloop.",
            fix="Write --prefix /medloop, or leave it out.",
        )
    return f"/{path}" if path else ""


def _listening(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises `InputError` where the port is taken or the address is none of this machine."""
    try:
        family, kind, number, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, number)
    except OSError as error:
        raise _no_address(host, str(error.strerror)) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)
        listener.set_inheritable(False)
        return listener
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise InputError(
                "port-in-use",
                got=f"Port {port} of {host} is in use: another program listens there, perhaps another medloop serve.",
                allowed="A port that is free.",
                fix=f"Stop the other program, or write --port {port + 1} (0 takes a free one).",
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM):
            raise InputError(
                "port-forbidden",
                got=f"Port {port} may not be opened by this user.",
                allowed="A port from 1024, or a reverse proxy in front.",
                fix="Write --port 8765.",
            ) from error
        raise _no_address(host, str(error.strerror)) from error


def _no_address(host: str, why: str) -> InputError:
    return InputError(
        "bad-host",
        got=f"--host {host}: it cannot be listened on ({why.lower()}).",
        allowed="An address of this machine, such as 127.0.0.1; 0.0.0.0 for every one.",
        fix="Leave --host out to be reached from this machine only.",
    )


def _named(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _warn_if_open(listener: socket.socket, tell: Progress) -> None:
    if not ipaddress.ip_address(listener.getsockname()[0].split("%")[0]).is_loopback:
        tell.say("Beware: it is reached from other machines, without encryption. Put a reverse proxy with TLS in front of it.")


def _first_link(opened: Store, url: str, tell: Progress) -> None:
    """Where nobody has an account yet: a link, good once, by which the first administrator comes in."""
    link = accounts.first_link(opened)
    if link is not None:
        tell.say(
            f"There is no administrator yet. Make the first with this link, which is good once, for two days:\n  {url}first/{link}"
        )


@contextlib.contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Signals that end the server are raised again by it afterwards; they must not end this process before its workers have."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {each: signal.signal(each, lambda number, frame: None) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


@contextlib.contextmanager
def _workers(workspace: Workspace, count: int) -> Iterator[None]:
    """Worker processes; those that die are started again, and all end with the block."""
    stop = threading.Event()
    keepers = [threading.Thread(target=_keep, args=(workspace, stop), name=f"keeper-{number}") for number in range(count)]
    for keeper in keepers:
        keeper.start()
    try:
        yield
    finally:
        stop.set()
        for keeper in keepers:
            keeper.join()


def _keep(workspace: Workspace, stop: threading.Event) -> None:
    """Keep one worker process alive until ``stop``."""
    environment = os.environ | {PARENT: str(os.getpid())}
    words = [sys.executable, "-m", "medloop", "worker", "--workspace", str(workspace.root)]
    while not stop.is_set():
        process = subprocess.Popen(words, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        while process.poll() is None and not stop.wait(0.2):
            pass
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(_PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        elif not stop.is_set():
            _log.warning("a worker ended and is started again", extra={"code": str(process.returncode)})
            stop.wait(_AGAIN_S)
