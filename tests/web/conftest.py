"""A small department: phantom CT studies and flat pictures with proposals, readers, and the pages served to a real browser."""

from __future__ import annotations

import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvicorn

from medloop import store
from medloop.store import Store, accounts
from medloop.web.app import create
from medloop.web.security import SESSION
from medloop.workspace import Workspace
from tests.conftest import PATIENCE_MS
from tests.web.department import Department, furnished


@pytest.fixture(scope="session")
def _template(tmp_path_factory: pytest.TempPathFactory) -> Department:
    return furnished(tmp_path_factory.mktemp("department"))


@dataclass(frozen=True)
class Served:
    """A department of a test's own and the address of its pages."""

    url: str
    store: Store
    department: Department


@pytest.fixture
def department(_template: Department, tmp_path: Path) -> Iterator[tuple[Department, Store]]:
    """A copy of the department that a test may change."""
    shutil.copytree(_template.root, tmp_path / "w")
    opened = store.open(tmp_path / "w")
    yield _template, opened
    opened.close()


@pytest.fixture
def served(department: tuple[Department, Store]) -> Iterator[Served]:
    """The department's pages on loopback."""
    template, opened = department
    app = create(opened, Workspace(opened.root))
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off", ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [door]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield Served(f"http://127.0.0.1:{door.getsockname()[1]}", opened, template)
        server.should_exit = True
        thread.join(10)


@pytest.fixture
def visit(chromium, served: Served) -> Iterator[Callable]:
    """A function that opens a page for a reader, logged in. Whatever the page's scripts complain about fails the test."""
    contexts, complaints = [], []

    def visit(name: str = "ann", *, width: int = 1280, height: int = 800, by_form: bool = False, **options):
        context = chromium.new_context(base_url=served.url, viewport={"width": width, "height": height}, **options)
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if "Content Security Policy" in said.text else None)
        if not by_form:
            account = accounts.find(served.store, name)
            context.add_cookies([{"name": SESSION, "value": accounts.open_session(served.store, account.id), "url": served.url}])
            page.goto("/")
            return page
        page.goto("/login")
        page.fill("input[name=name]", name)
        page.fill("input[name=password]", served.department.password)
        page.click("form.stacked button.main")
        page.wait_for_url("**/")
        return page

    yield visit
    for each in contexts:
        each.close()
    assert not complaints


@pytest.fixture
def picture(request: pytest.FixtureRequest) -> Callable:
    """A function that keeps a screenshot where MEDLOOP_SCREENSHOTS says; without it nothing is kept."""
    folder = os.environ.get("MEDLOOP_SCREENSHOTS")

    def keep(page, name: str) -> None:
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            page.screenshot(path=str(Path(folder) / f"{name}.png"))

    return keep
