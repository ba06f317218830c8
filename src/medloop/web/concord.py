"""How far readers agree: with each other, and with the model where its proposal was hidden and where it was shown."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from medloop import registry
from medloop.requests import AgreementResult
from medloop.web.pages import page
from medloop.web.security import Overseer
from medloop.web.site import Here

router = APIRouter()


@router.get("/api/agreement", tags=["agreement"])
def found(site: Here, person: Overseer) -> AgreementResult:
    """Kappa of every two readers, of all, and of readers and model with the proposal shown and hidden, with intervals."""
    result: AgreementResult = registry.part("loop", "agreement").agreement_of(site.store)
    return result


@router.get("/agreement", response_class=HTMLResponse, include_in_schema=False)
def shown(request: Request, site: Here, person: Overseer) -> HTMLResponse:
    """The page."""
    return page(request, "agreement.html.j2", section="agreement", found=found(site, person))
