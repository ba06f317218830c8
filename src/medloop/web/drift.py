"""Has anything drifted: images, proposals, agreement, by site and scanner."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse
from markupsafe import Markup

from medloop import registry
from medloop.requests import MonitorRequest, MonitorResult
from medloop.web.pages import page, report
from medloop.web.security import Engineer
from medloop.web.site import Here
from medloop.wire import to_json

router = APIRouter()
Days = Annotated[int, Query(ge=1, le=3650)]


@router.get("/api/monitor", tags=["monitor"])
def found(site: Here, person: Engineer, days: Days = 30) -> MonitorResult:
    """What came in the last days beside what came before; alarms name what changed and where."""
    result: MonitorResult = registry.verb("monitor")(site.workspace, MonitorRequest(days=days, workers=0))
    return result


@router.get("/monitor", response_class=HTMLResponse, include_in_schema=False)
def shown(request: Request, site: Here, person: Engineer, days: Days = 30) -> HTMLResponse:
    """The page."""
    result = found(site, person, days)
    part = Markup(registry.part("reporting", "monitor_part").fragment(to_json(result)))
    return report(page(request, "monitor.html.j2", section="monitor", found=result, part=part))
