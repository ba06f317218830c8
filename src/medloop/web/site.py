"""What every page of one server shares."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Path, Request

from medloop.store import Store
from medloop.web.desk import Desk
from medloop.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Site:
    """The store and the workspace that the pages show, and what lies on readers' desks."""

    store: Store
    workspace: Workspace
    desk: Desk = field(default_factory=Desk)


def site_of(request: Request) -> Site:
    """The site that this request came to."""
    site: Site = request.app.state.site
    return site


Here = Annotated[Site, Depends(site_of)]
"""As an argument of a route: the site."""
Number = Annotated[int, Path(ge=1, le=2**31 - 1)]
"""As a part of an address: the number of a row."""
