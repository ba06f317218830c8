"""Who is asking, and may they: sessions by cookie, API tokens by header, roles, and tokens against forged requests.

A page or route that needs somebody takes ``Annotated[Account, Depends(person)]`` or one of `Reader`, `Adjudicator`, `Overseer`,
`Engineer`, `Admin`. Requests that change something and came with a cookie must carry the session's token too, in the form field
``csrf`` or the header ``X-CSRF-Token``; those with an API token need none.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request, Response

from medloop.errors import Refused
from medloop.store import accounts
from medloop.store.records import Account
from medloop.web.site import Here

SESSION = "medloop_session"
BEFORE = "medloop_before"
_SAFE = ("GET", "HEAD", "OPTIONS")


class NotLoggedIn(Exception):
    """No valid session or token came with the request."""


def csrf_of(token: str) -> str:
    """The token that forms of this session carry: known to pages of it, and to nobody else."""
    return hashlib.sha256(f"csrf {token}".encode()).hexdigest()[:40] if token else ""


async def _sent(request: Request) -> str:
    """The form's or header's token against forged requests."""
    header = request.headers.get("x-csrf-token", "")
    if (
        header
        or request.method in _SAFE
        or not request.headers.get("content-type", "").startswith(("application/x-www-form-urlencoded", "multipart/form-data"))
    ):
        return header
    found = (await request.form()).get("csrf", "")
    return found if isinstance(found, str) else ""


Sent = Annotated[str, Depends(_sent)]


def person(request: Request, sent: Sent, site: Here) -> Account:
    """Who is logged in. Raises `NotLoggedIn`, and `Refused` for a request that another site may have forged."""
    kind, _, bearer = request.headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer" and bearer:
        account = accounts.by_token(site.store, bearer.strip())
        if account is None:
            raise NotLoggedIn
        request.state.person = account
        return account
    token = request.cookies.get(SESSION, "")
    account = accounts.by_session(site.store, token) if token else None
    if account is None:
        raise NotLoggedIn
    request.state.person, request.state.csrf = account, csrf_of(token)
    guard(request, sent, token)
    return account


def guard(request: Request, sent: str, token: str) -> None:
    """Raises `Refused` where a request that changes something lacks the token of the session that it came with."""
    if request.method not in _SAFE and not (token and secrets.compare_digest(sent.encode(), csrf_of(token).encode())):
        raise Refused(
            "bad-csrf",
            got="The request did not come from a page of this session.",
            allowed="Forms of pages that this session opened.",
            fix="Load the page again and repeat what you did.",
        )


def needs(*roles: str) -> Callable[[Account], Awaitable[Account]]:
    """A dependency: somebody with one of these roles, or an admin."""

    async def allowed(account: Annotated[Account, Depends(person)]) -> Account:
        if account.role not in (*roles, "admin"):
            raise Refused(
                "forbidden",
                got=f"The role {account.role} may not do this.",
                allowed=f"Roles: {', '.join((*roles, 'admin'))}.",
                fix="Ask an admin for the role, or log in with another account.",
            )
        return account

    return allowed


Person = Annotated[Account, Depends(person)]
Reader = Annotated[Account, Depends(needs("reader", "adjudicator"))]
Adjudicator = Annotated[Account, Depends(needs("adjudicator"))]
Overseer = Annotated[Account, Depends(needs("adjudicator", "engineer"))]
Engineer = Annotated[Account, Depends(needs("engineer"))]
Admin = Annotated[Account, Depends(needs())]


def keep(request: Request, response: Response, name: str, value: str, *, hours: float | None = None) -> None:
    """Set a cookie that scripts cannot read and other sites do not cause to be sent."""
    path = str(request.scope.get("root_path", "")).rstrip("/") or "/"
    response.set_cookie(
        name,
        value,
        max_age=None if hours is None else int(hours * 3600),
        path=path,
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="lax",
    )
