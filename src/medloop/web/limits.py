"""How much a request may carry: uploads much, everything else little. What is larger is refused before it is read whole."""

from __future__ import annotations

import json
from http import HTTPStatus

from starlette.types import Message, Receive, Scope, Send

from medloop.web.around import Around, path_of

_UPLOADS = ("/api/studies", "/upload")
LARGEST_UPLOAD, LARGEST = 2 * 1024**3, 64 * 1024**2


class _TooLarge(Exception):
    """More came than may."""


class Limits(Around):
    """Counts what comes, whatever its head says of its length."""

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        limit = LARGEST_UPLOAD if path_of(scope).startswith(_UPLOADS) else LARGEST
        said = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if said.isdigit() and int(said) > limit:
            await _refuse(limit, send)
            return
        count = _Count(limit, receive, send)
        try:
            await self._app(scope, count.receive, count.send)
        except _TooLarge:
            if not count.refused:
                await _refuse(limit, send)


class _Count:
    """One request's bytes. Whatever the application makes of one that is too large, its sender is told just that."""

    def __init__(self, limit: int, receive: Receive, send: Send) -> None:
        self._limit, self._receive, self._send = limit, receive, send
        self._came, self._begun, self.refused = 0, False, False

    async def receive(self) -> Message:
        """The next piece. Raises `_TooLarge`."""
        message = await self._receive()
        self._came += len(message.get("body", b""))
        if self._came > self._limit:
            raise _TooLarge
        return message

    async def send(self, message: Message) -> None:
        """An answer, or in place of one that was not begun: too large."""
        if self._came <= self._limit or self._begun:
            self._begun = True
            await self._send(message)
        elif not self.refused:
            self.refused = True
            await _refuse(self._limit, self._send)


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
