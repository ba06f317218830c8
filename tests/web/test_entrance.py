"""Who gets in, and who does not."""

from __future__ import annotations

import re

import pytest
from fastapi.testclient import TestClient

from medloop import store
from medloop.store import accounts
from medloop.web import security
from medloop.web.app import create
from medloop.web.security import SESSION
from medloop.workspace import Workspace

PASSWORD = "correct horse battery"


@pytest.fixture
def place(tmp_path):
    opened = store.open(tmp_path)
    accounts.add(opened, "ann", "reader", PASSWORD, "admin")
    yield opened
    opened.close()


@pytest.fixture
def client(place):
    with TestClient(create(place, Workspace(place.root), prefix="/med"), base_url="http://localhost") as made:
        yield made


def token(page):
    return re.search(r'class="stacked">.*?name="csrf" value="(\w+)"', page.text, re.S).group(1)


def log_in(client, name="ann", password=PASSWORD, **fields):
    page = client.get("/med/login")
    return client.post(
        "/med/login", data={"name": name, "password": password, "csrf": token(page), **fields}, follow_redirects=False
    )


def test_the_right_password_opens_a_session_that_scripts_cannot_read(client):
    answer = log_in(client)
    assert (answer.status_code, answer.headers["location"]) == (303, "/med/")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"{SESSION}=")
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Path=/med" in cookie
    assert client.get("/med/").status_code == 200


def test_a_wrong_name_or_password_opens_nothing(client):
    for name, password in (("ann", "wrong"), ("nobody", PASSWORD), ("ann", ""), ("' OR 1=1 --", "x"), ("ann\0", PASSWORD + "x")):
        assert log_in(client, name, password).status_code in (401, 422)
    assert client.get("/med/", follow_redirects=False).headers["location"].startswith("/med/login")


def test_who_guesses_must_wait(client, monkeypatch):
    monkeypatch.setattr(accounts, "TRIES_NAME", 2)
    for _ in range(2):
        assert log_in(client, password="guess").status_code == 401
    answer = log_in(client)
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0


def test_a_form_of_another_site_is_refused(client):
    assert client.post("/med/login", data={"name": "ann", "password": PASSWORD, "csrf": "forged"}).status_code == 403
    log_in(client)
    for header in ({}, {"X-CSRF-Token": "forged"}):
        assert client.post("/med/logout", headers=header).status_code == 403
        assert client.post("/med/api/reviews/undo", headers=header).status_code == 403
    assert client.get("/med/").status_code == 200


def test_without_the_check_a_forged_form_would_pass(client, monkeypatch):
    log_in(client)
    monkeypatch.setattr(security, "guard", lambda *args: None)
    assert client.post("/med/logout", follow_redirects=False).status_code == 303


def test_log_out_ends_the_session_in_the_store_too(client):
    log_in(client)
    kept = client.cookies.get(SESSION)
    page = client.get("/med/")
    client.post("/med/logout", data={"csrf": re.search(r'name="csrf" value="(\w+)"', page.text).group(1)})
    client.cookies.set(SESSION, kept, domain="localhost.local", path="/med")
    assert client.get("/med/", follow_redirects=False).status_code == 303


def test_nobody_is_sent_elsewhere_after_log_in(client):
    for there in ("https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/\t/evil.example"):
        assert log_in(client, next=there).headers["location"] == "/med/"
        client.cookies.clear()
    assert log_in(client, next="/review/3?order=useful").headers["location"] == "/med/review/3?order=useful"


def test_a_token_needs_no_form_and_ends_with_its_account(client, place):
    ann = accounts.find(place, "ann")
    bearer = {"Authorization": f"Bearer {accounts.add_token(place, ann.id, 'script', 'ann')}"}
    assert client.get("/med/api/cases", headers=bearer).status_code == 200
    assert client.post("/med/api/reviews/undo", headers=bearer).json()["error"]["code"] == "no-review"
    assert client.get("/med/api/cases", headers={"Authorization": "Bearer wrong"}).status_code == 401
    accounts.change(place, ann.id, "admin", active=False)
    assert client.get("/med/api/cases", headers=bearer).status_code == 401


def test_the_first_link_works_once(client, place):
    link = accounts.first_link(place)
    page = client.get(f"/med/first/{link}")
    fields = {"name": "root", "password": "short", "csrf": token(page)}
    assert client.post(f"/med/first/{link}", data=fields).status_code == 400
    made = client.post(f"/med/first/{link}", data=fields | {"password": PASSWORD}, follow_redirects=False)
    assert made.status_code == 303
    assert accounts.find(place, "root").role == "admin"
    assert client.get(f"/med/first/{link}").status_code == 409
    assert client.post(f"/med/first/{link}", data=fields | {"password": PASSWORD, "name": "second"}).status_code == 409


def test_an_engineer_does_not_read(client, place):
    accounts.add(place, "eve", "engineer", PASSWORD, "admin")
    log_in(client, "eve")
    assert client.get("/med/next").status_code == 403
    assert client.get("/med/api/cases").status_code == 403


@pytest.mark.parametrize("path", ["/med/login", "/med/", "/med/nothing", "/med/api/cases", "/med/static/style.css"])
def test_every_answer_forbids_what_comes_from_elsewhere(client, path):
    answer = client.get(path)
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["x-frame-options"] == "DENY"
    assert "http://" not in answer.text.replace("http://www.w3.org/2000/svg", "").replace("http://localhost", "")


def test_the_language_is_remembered_and_nothing_else_is_taken(client):
    client.post("/med/language", data={"language": "zh"})
    assert 'lang="zh"' in client.get("/med/login").text
    client.post("/med/language", data={"language": "../../x"})
    assert 'lang="zh"' in client.get("/med/login").text
