"""An application around another one."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send


class Around:
    """Passes on what is no HTTP; requests are for `answer`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection."""
        await (self.answer if scope["type"] == "http" else self._app)(scope, receive, send)

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        await self._app(scope, receive, send)


def path_of(scope: Scope) -> str:
    """The path below the one at which a reverse proxy offers this server."""
    return str(scope["path"]).removeprefix(scope.get("root_path", ""))
