"""In and out: log-in with limited tries, log-out, the one-time link that makes the first admin, the language."""

from __future__ import annotations

import secrets
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from medloop.errors import InputError, Refused
from medloop.store import accounts
from medloop.web.pages import LANGUAGE_COOKIE, local, page, texts_of, url
from medloop.web.security import BEFORE, SESSION, Person, Sent, csrf_of, guard, keep
from medloop.web.site import Here, Site
from medloop.web.texts import languages

router = APIRouter(include_in_schema=False)
Text = Annotated[str, Form(max_length=1000)]


def _outside(request: Request, template: str, status: int = 200, **content: object) -> HTMLResponse:
    """A page for nobody yet, with a token of its own against forged forms."""
    token = request.cookies.get(BEFORE) or secrets.token_urlsafe(24)
    request.state.csrf = csrf_of(token)
    answer = page(request, template, status=status, **content)
    keep(request, answer, BEFORE, token)
    return answer


@router.get("/login")
def login_page(request: Request, next: str = "/", expired: bool = False) -> Response:
    """The form."""
    return _outside(request, "login.html.j2", next=local(next), name="", problem="", expired=expired)


@router.post("/login")
def login(request: Request, sent: Sent, site: Here, name: Text, password: Text, next: Annotated[str, Form()] = "/") -> Response:
    """A session for the right name and password; whoever failed too often must wait."""
    guard(request, sent, request.cookies.get(BEFORE, ""))
    try:
        account = accounts.log_in(site.store, name, password, request.client.host if request.client else "")
    except Refused as error:
        many = error.code == "too-many-tries"
        problem = (
            texts_of(request)("login.wait", minutes=accounts.WINDOW.seconds // 60) if many else texts_of(request)("login.wrong")
        )
        status = HTTPStatus.TOO_MANY_REQUESTS if many else HTTPStatus.UNAUTHORIZED
        answer = _outside(request, "login.html.j2", status, next=local(next), name=name, expired=False, problem=problem)
        if many:
            answer.headers["Retry-After"] = str(accounts.WINDOW.seconds)
        return answer
    return _begun(request, site, account.id, local(next))


def _begun(request: Request, site: Site, account_id: int, next: str) -> Response:
    """A new session, and on to the page that was asked for."""
    answer = RedirectResponse(url(request, next), HTTPStatus.SEE_OTHER)
    keep(request, answer, SESSION, accounts.open_session(site.store, account_id), hours=accounts.SESSION.total_seconds() / 3600)
    return answer


@router.post("/logout")
def logout(request: Request, person: Person, site: Here) -> Response:
    """The session ends here and in the store; the browser forgets the images it kept."""
    accounts.close_session(site.store, request.cookies.get(SESSION, ""))
    answer = RedirectResponse(url(request, "/login"), HTTPStatus.SEE_OTHER)
    answer.delete_cookie(SESSION, path=str(request.scope.get("root_path", "")).rstrip("/") or "/")
    answer.headers["Clear-Site-Data"] = '"cache"'
    return answer


@router.get("/first/{link}")
def first_page(request: Request, site: Here, link: str) -> Response:
    """The form for a new account, while its link is good: the first admin's, or that of somebody invited."""
    return _asked(request, site, link)


@router.post("/first/{link}")
def first(request: Request, sent: Sent, site: Here, link: str, name: Text, password: Text) -> Response:
    """Make the account and log in; the link is used up."""
    guard(request, sent, request.cookies.get(BEFORE, ""))
    try:
        account = accounts.redeem(site.store, link, name, password)
    except InputError as error:
        return _asked(request, site, link, name, f"{error.got} {error.allowed}")
    return _begun(request, site, account.id, "/")


def _asked(request: Request, site: Site, link: str, name: str = "", problem: str = "") -> Response:
    role = accounts.link_role(site.store, link)
    if role is None:
        raise Refused(
            "used-link",
            got="This link was used or is too old.",
            allowed="The one-time link that the server printed or an admin gave.",
            fix="Log in, or ask for a new link.",
        )
    status = HTTPStatus.BAD_REQUEST if problem else HTTPStatus.OK
    return _outside(request, "first.html.j2", status, link=link, name=name, role=role, least=accounts.PASSWORD[0], problem=problem)


@router.post("/language")
def language(request: Request, language: Annotated[str, Form()], next: Annotated[str, Form()] = "/") -> Response:
    """Remember the language in this browser. It changes nothing else, so anybody may ask."""
    answer = RedirectResponse(url(request, local(next)), HTTPStatus.SEE_OTHER)
    if language in languages():
        keep(request, answer, LANGUAGE_COOKIE, language, hours=24 * 365)
    return answer
