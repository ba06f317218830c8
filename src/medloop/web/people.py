"""Accounts, invitations, tokens: who may come in and as what."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import BaseModel, Field

from medloop.store import accounts
from medloop.store.records import ROLES, Account, TokenRow
from medloop.web.pages import page, url
from medloop.web.security import Admin, Person
from medloop.web.site import Here, Number

router = APIRouter()
Role = Literal["reader", "adjudicator", "engineer", "admin"]
Name = Annotated[str, Field(min_length=1, max_length=100)]


class Change(BaseModel):
    """What changes of an account; what is left out stays."""

    role: Role | None = None
    active: bool | None = None


class Invitation(BaseModel):
    """The role that a one-time link gives."""

    role: Role = "reader"


class Link(BaseModel):
    """A one-time link, good for two days."""

    link: str


class NewToken(BaseModel):
    """What the token is for, in words."""

    label: Name


class Token(BaseModel):
    """The token; it is shown this once."""

    token: str


@router.get("/api/accounts", tags=["accounts"])
def listed(site: Here, person: Admin) -> list[Account]:
    """All accounts by name."""
    return accounts.every(site.store)


@router.post("/api/accounts/{number}", tags=["accounts"])
def change(site: Here, person: Admin, number: Number, wanted: Change) -> Account:
    """Another role, or let somebody in or out."""
    return accounts.change(site.store, number, person.name, role=wanted.role, active=wanted.active)


@router.post("/api/invitations", status_code=201, tags=["accounts"])
def invite(request: Request, site: Here, person: Admin, wanted: Invitation) -> Link:
    """A link with which one person makes one account."""
    return Link(link=_link(request, accounts.invite(site.store, wanted.role, person.name)))


@router.get("/api/tokens", tags=["accounts"])
def tokens(site: Here, person: Person) -> list[TokenRow]:
    """One's own tokens, without what opens doors."""
    return accounts.tokens(site.store, person.id)


@router.post("/api/tokens", status_code=201, tags=["accounts"])
def make_token(site: Here, person: Person, wanted: NewToken) -> Token:
    """A token that may do what its maker may."""
    return Token(token=accounts.add_token(site.store, person.id, wanted.label, person.name))


@router.delete("/api/tokens/{number}", status_code=204, tags=["accounts"])
def drop_token(site: Here, person: Person, number: Number) -> Response:
    """End one of one's own tokens."""
    accounts.drop_token(site.store, number, person.id, person.name)
    return Response(status_code=204)


@router.get("/accounts", response_class=HTMLResponse, include_in_schema=False)
def shown(request: Request, site: Here, person: Admin) -> HTMLResponse:
    """The page of all accounts."""
    return _people(request, site)


@router.post("/accounts/{number}", include_in_schema=False)
def change_by_form(
    request: Request,
    site: Here,
    person: Admin,
    number: Number,
    role: Annotated[Role | None, Form()] = None,
    active: Annotated[bool | None, Form()] = None,
) -> Response:
    """A form of the page."""
    accounts.change(site.store, number, person.name, role=role, active=active)
    return RedirectResponse(url(request, "/accounts"), 303)


@router.post("/invitations", response_class=HTMLResponse, include_in_schema=False)
def invite_by_form(request: Request, site: Here, person: Admin, role: Annotated[Role, Form()]) -> HTMLResponse:
    """A form of the page: shows the link."""
    return _people(request, site, link=_link(request, accounts.invite(site.store, role, person.name)))


@router.get("/account", response_class=HTMLResponse, include_in_schema=False)
def own(request: Request, site: Here, person: Person) -> HTMLResponse:
    """The page of one's own account."""
    return _own(request, site, person)


@router.post("/account/tokens", response_class=HTMLResponse, include_in_schema=False)
def token_by_form(
    request: Request, site: Here, person: Person, label: Annotated[str, Form(min_length=1, max_length=100)]
) -> HTMLResponse:
    """A form of the page: shows the token."""
    return _own(request, site, person, token=accounts.add_token(site.store, person.id, label, person.name))


@router.post("/account/tokens/{number}/drop", include_in_schema=False)
def drop_by_form(request: Request, site: Here, person: Person, number: Number) -> Response:
    """A button of the page."""
    accounts.drop_token(site.store, number, person.id, person.name)
    return RedirectResponse(url(request, "/account"), 303)


@router.post("/account/password", response_class=HTMLResponse, include_in_schema=False)
def password(
    request: Request,
    site: Here,
    person: Person,
    old: Annotated[str, Form(max_length=1000)],
    new: Annotated[str, Form(max_length=1000)],
) -> Response:
    """Another password, for who knows the old one; every session ends."""
    accounts.log_in(site.store, person.name, old)
    accounts.set_password(site.store, person.id, new, person.name)
    return RedirectResponse(url(request, "/login"), 303)


def _people(request: Request, site: Here, link: str = "") -> HTMLResponse:
    return page(request, "accounts.html.j2", section="accounts", accounts=accounts.every(site.store), roles=ROLES, link=link)


def _own(request: Request, site: Here, person: Account, token: str = "") -> HTMLResponse:
    found = accounts.tokens(site.store, person.id)
    return page(request, "account.html.j2", section="account", tokens=found, token=token, least=accounts.PASSWORD[0])


def _link(request: Request, secret: str) -> str:
    return f"{request.url.scheme}://{request.url.netloc}{url(request, f'/first/{secret}')}"
