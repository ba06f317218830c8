"""What every page of one server shares."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request

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
