"""What every answer says to the browser: nothing from other hosts, no frames, no guessing of types, pages are not kept."""

from __future__ import annotations

from http import HTTPStatus

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from medloop.web.around import Around, path_of
from medloop.web.assets import assets

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; font-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_ALWAYS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


class Headers(Around):
    """Adds the headers; an answer that says itself how long it may be kept keeps that."""

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _ALWAYS.items():
                    headers.setdefault(name, value)
                if path_of(scope).startswith(f"{assets()}/") and message["status"] == HTTPStatus.OK:
                    headers.setdefault("Cache-Control", "public, max-age=31536000, immutable")
                headers.setdefault("Cache-Control", "no-store" if "etag" not in headers else "no-cache")
            await send(message)

        await self._app(scope, receive, sent)


class Below(Around):
    """Says below which path a reverse proxy offers the server, whether or not the proxy takes the path off."""

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        super().__init__(app)
        self._prefix = prefix

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if self._prefix:
            path = scope["path"]
            whole = path if path == self._prefix or path.startswith(f"{self._prefix}/") else self._prefix + path
            scope.update(root_path=self._prefix, path=whole)  # in place: whoever logs reads the route from it
        await self._app(scope, receive, send)
