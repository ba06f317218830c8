"""What every page of one server shares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Path, Request

from medloop.store import Store
from medloop.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Site:
    """The store and the workspace that the pages show."""

    store: Store
    workspace: Workspace


def site_of(request: Request) -> Site:
    """The site that this request came to."""
    site: Site = request.app.state.site
    return site


async def _here(request: Request) -> Site:  # async: FastAPI calls it where it is, not in a thread of its own
    return site_of(request)


Here = Annotated[Site, Depends(_here)]
"""As an argument of a route: the site."""
Number = Annotated[int, Path(ge=1, le=2**31 - 1)]
"""As a part of an address: the number of a row."""
