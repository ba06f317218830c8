"""Whatever the OpenAPI allows, and much that it does not, is answered without a failure of ours."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator

import hypothesis
import pytest
import schemathesis

from medloop import store
from medloop.store import accounts, models, studies
from medloop.store.records import ModelRow, StudyRow
from medloop.web.app import create
from medloop.workspace import Workspace

_EXAMPLES = 8


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[object, Callable[[], str]]]:
    """A small store, and a function that gives a new token of an admin."""
    root = tmp_path_factory.mktemp("openapi") / "w"
    opened = store.open(root)
    account = accounts.add(opened, "root", "admin", "correct horse battery", "setup")
    studies.add(opened, StudyRow(name="one", content="one", state="ready"), "setup")
    models.add(opened, ModelRow(name="one", path="models/one", family="classical"), "setup")
    yield create(opened, Workspace(root)), lambda: accounts.add_token(opened, account.id, "test", "root")
    opened.close()
    shutil.rmtree(root, ignore_errors=True)


@pytest.fixture(scope="module")
def routes(server):
    app, _ = server
    schema = schemathesis.openapi.from_asgi("/api/openapi.json", app)
    return [each.ok() for each in schema.get_all_operations()]


def test_every_route_says_what_it_does(routes) -> None:
    assert len(routes) > 25
    assert not [
        each.label for each in routes if not (each.definition.raw.get("summary") and each.definition.raw.get("description"))
    ]


def test_nothing_that_is_sent_breaks_a_route(server, routes) -> None:
    _, new_token = server
    broken: list[str] = []
    answers: Counter[int] = Counter()
    for operation in routes:
        headers = {"Authorization": f"Bearer {new_token()}"}  # a route may end the one before

        @hypothesis.given(case=operation.as_strategy())
        @hypothesis.settings(
            max_examples=_EXAMPLES,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[hypothesis.Phase.generate],
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        def send(case) -> None:
            answer = case.call(headers=headers)  # noqa: B023 (called in this turn)
            answers[answer.status_code] += 1
            if answer.status_code >= 500 and case.path != "/health":
                broken.append(f"{case.method} {case.path} {answer.status_code}: {answer.text[:200]}")

        send()
    assert not broken, broken[:5]
    assert answers[200] + answers[201] > 30, answers


def test_a_route_that_breaks_would_be_seen(server) -> None:
    """The check above fails for an application that fails."""
    from fastapi import FastAPI

    app = FastAPI()

    @app.get("/broken", status_code=200)
    def broken() -> None:
        """Break."""
        raise ValueError("broken")

    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    (operation,) = [each.ok() for each in schema.get_all_operations()]
    with pytest.raises(ValueError, match="broken"):
        operation.Case().call()
