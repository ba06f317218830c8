"""The queue that tells workers of jobs: huey on SQLite in the workspace, or on Redis by its URL. Messages are JSON, never pickles.

A message only says which job waits; what the job is, and how far, is in the store. So a message that is lost or comes twice does no
harm, and a Redis that is gone for a while only delays: workers find in the store what nobody told them.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huey import Huey, RedisHuey, SqliteHuey
from huey.registry import Message
from huey.serializer import Serializer

from medloop.errors import InputError
from medloop.workspace.atomic import explained

try:
    from redis.exceptions import RedisError
except ImportError:  # without the extra nothing talks to Redis
    RedisError = ConnectionError  # type: ignore[misc,assignment]

DATABASE, BLOBS, QUEUE = "MEDLOOP_DATABASE", "MEDLOOP_BLOBS", "MEDLOOP_QUEUE"
_NAME = "medloop"
_KEYS = {"id", "name", "args"}
_log = logging.getLogger("medloop.queue")


class BadMessage(ValueError):
    """What lies in the queue is no message of ours. It is dropped, and never unpickled."""


class JsonSerializer(Serializer):  # type: ignore[misc]
    """Messages as JSON objects of ``id``, ``name`` and ``args``. Whatever else comes is refused."""

    def _serialize(self, data: Any) -> bytes:
        content = {"id": data.id, "name": data.name, "args": list(data.args)} if isinstance(data, Message) else data
        return json.dumps(content).encode()

    def _deserialize(self, data: bytes) -> Message:
        try:
            content = json.loads(bytes(data))
        except ValueError as error:  # bytes that are no UTF-8 too
            raise BadMessage("no JSON") from error
        if not isinstance(content, dict) or set(content) != _KEYS or not all(isinstance(each, int) for each in content["args"]):
            raise BadMessage("no message of medloop")
        return Message(id=content["id"], name=content["name"], args=tuple(content["args"]), retries=0, retry_delay=0)


class Messages:
    """Tells of jobs, and hears of them."""

    def __init__(self, huey: Huey, perform: Callable[[int], None] | None = None) -> None:
        """``perform`` is called with the number of a job; without it this side only tells."""

        def job(number: int) -> None:
            (perform or _nobody)(number)

        self._huey, self._task = huey, huey.task()(job)

    def tell(self, job: int) -> None:
        """Say that a job waits. Where Redis does not answer nobody hears; the store still knows."""
        try:
            self._huey.enqueue(self._task.s(job))
        except RedisError as error:
            _log.warning("nobody was told of a job", extra={"job": job, "error": type(error).__name__})

    def hear(self) -> bool:
        """Perform the next job that waits; False where none does.

        Raises `BadMessage`, and drops what is no message; `InputError` where Redis does not answer.
        """
        with _answering():
            task = self._huey.dequeue()
        if task is None:
            return False
        self._huey.execute(task)
        return True

    def waiting(self) -> int:
        """How many messages wait. Raises `InputError` where Redis does not answer."""
        with _answering():
            return int(self._huey.pending_count())

    def close(self) -> None:
        """Let go of the file or the connection."""
        self._huey.storage.close()


def messages(root: Path, url: str | None = None, perform: Callable[[int], None] | None = None) -> Messages:
    """The queue of a workspace. ``url``: Redis (``redis://host:6379/0``); by default what ``MEDLOOP_QUEUE`` says, else a file.

    Raises `InputError` for a URL that is none, or Redis that does not answer.
    """
    url = url or os.environ.get(QUEUE) or None
    options: dict[str, Any] = {"name": _NAME, "results": False, "serializer": JsonSerializer()}
    if url is None:
        with explained(root):
            root.mkdir(parents=True, exist_ok=True)
            return Messages(SqliteHuey(filename=str(root / "jobs.sqlite"), timeout=30, **options), perform)
    if not url.startswith(("redis://", "rediss://", "unix://")):
        raise _no_queue(url, "it is no URL of Redis")
    try:
        huey = RedisHuey(url=url, blocking=False, **options)
        huey.storage.conn.ping()
    except Exception as error:  # what the client raises depends on whether it is installed, and which
        raise _no_queue(url.split("@")[-1], f"it does not answer ({type(error).__name__})") from error
    return Messages(huey, perform)


def settle(database: str | None, blobs: str | None, queue: str | None) -> None:
    """From now on this process, and what it starts, keeps records and hears of jobs there."""
    for name, value in ((DATABASE, database), (BLOBS, blobs), (QUEUE, queue)):
        if value is not None:
            os.environ[name] = value


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except RedisError as error:
        raise _no_queue("(the one in use)", f"it does not answer any more ({type(error).__name__})") from error


def _nobody(job: int) -> None:
    raise RuntimeError(f"job {job} has come to a process that performs none")


def _no_queue(url: str, why: str) -> InputError:
    return InputError(
        "bad-queue",
        got=f"--queue {url}: {why}.",
        allowed="redis://host:6379/0 of a Redis that runs, with medloop[redis] installed; nothing for a file in the workspace.",
        fix="Check the URL, or leave --queue out.",
    )
