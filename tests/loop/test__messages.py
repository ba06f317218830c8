"""The queue: JSON and nothing else, on SQLite and on Redis."""

from __future__ import annotations

import os
import pickle
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from medloop.errors import InputError
from medloop.loop._messages import BadMessage, JsonSerializer, messages


class Harmful:
    """Unpickled, it would write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


def put(root: Path, content: bytes) -> None:
    with closing(sqlite3.connect(root / "jobs.sqlite")) as connection, connection:
        connection.execute("INSERT INTO task (queue, data, priority) VALUES ('medloop', ?, 9)", (content,))


def test_jobs_come_in_order_and_once(tmp_path: Path) -> None:
    heard: list[int] = []
    teller, hearer = messages(tmp_path), messages(tmp_path, perform=heard.append)
    for number in (3, 1, 2):
        teller.tell(number)
    assert teller.waiting() == 3
    while hearer.hear():
        pass
    assert heard == [3, 1, 2]
    assert not teller.waiting()


def test_a_pickle_in_the_queue_is_dropped_unopened(tmp_path: Path) -> None:
    heard: list[int] = []
    queue = messages(tmp_path, perform=heard.append)
    bomb = pickle.dumps(Harmful(tmp_path / "harm"))
    put(tmp_path, bomb)
    queue.tell(7)
    with pytest.raises(BadMessage):
        queue.hear()
    assert queue.hear()
    assert heard == [7]
    assert not (tmp_path / "harm").exists()


def test_the_pickle_would_do_harm_with_the_serializer_of_huey(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check above fails where messages are unpickled."""
    monkeypatch.setattr(JsonSerializer, "_deserialize", lambda self, data: pickle.loads(data))  # noqa: S301
    queue = messages(tmp_path, perform=lambda number: None)
    put(tmp_path, pickle.dumps(Harmful(tmp_path / "harm")))
    with pytest.raises(AttributeError):
        queue.hear()
    assert (tmp_path / "harm").exists()


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[]", b'{"id": 1}', b'{"id": "a", "name": "b", "args": ["rm"]}', b""])
def test_what_is_no_message_is_refused(tmp_path: Path, content: bytes) -> None:
    queue = messages(tmp_path, perform=lambda number: None)
    put(tmp_path, content)
    with pytest.raises(BadMessage):
        queue.hear()
    assert not queue.hear()


@pytest.mark.parametrize("url", ["http://x", "redis://127.0.0.1:1/0"])
def test_a_queue_that_is_none_is_told_plainly(tmp_path: Path, url: str) -> None:
    with pytest.raises(InputError) as caught:
        messages(tmp_path, url)
    assert caught.value.code == "bad-queue"


def test_passwords_of_redis_are_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        messages(tmp_path, "redis://user:hunter2@127.0.0.1:1/0")
    assert "hunter2" not in str(caught.value)
