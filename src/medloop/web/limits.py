"""How much a request may carry: uploads much, everything else little. What is larger is refused before it is read whole."""

from __future__ import annotations

import json
from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

UPLOAD = "/api/studies"
LARGEST_UPLOAD, LARGEST = 2 * 1024**3, 64 * 1024**2


class _TooLarge(Exception):
    """More came than may."""


class Limits:
    """Counts what comes, whatever its head says of its length."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        limit = LARGEST_UPLOAD if path.startswith((UPLOAD, "/upload")) else LARGEST
        came, begun = 0, False

        async def counted() -> Message:
            nonlocal came
            message = await receive()
            came += len(message.get("body", b""))
            if came > limit:
                raise _TooLarge
            return message

        async def heard(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        said = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if said.isdigit() and int(said) > limit:
            await _refuse(limit, send)
            return
        try:
            await self._app(scope, counted, heard)
        except _TooLarge:
            if not begun:
                await _refuse(limit, send)


async def _refuse(limit: int, send: Send) -> None:
    told = {
        "code": "too-large",
        "got": "More was sent than may be.",
        "allowed": f"At most {limit // 1024**2} MiB in one request.",
        "fix": "Send fewer files at a time.",
    }
    body = json.dumps({"error": told}).encode()
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": int(HTTPStatus.REQUEST_ENTITY_TOO_LARGE), "headers": headers})
    await send({"type": "http.response.body", "body": body})
