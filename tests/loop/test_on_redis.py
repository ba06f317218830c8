"""Jobs told of through Redis: done, taken again after a kill, and delayed at most while Redis is away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from medloop import store
from medloop.errors import InputError
from medloop.loop import jobs as work
from medloop.loop._messages import QUEUE, BadMessage, messages
from medloop.loop.worker import worker
from medloop.requests import WorkerRequest
from medloop.store import Store, audit, jobs, studies
from medloop.workspace import Workspace
from tests.redis_server import Server, server

PATIENCE_S = 180.0
MANY = 80


@pytest.fixture(scope="module")
def redis() -> Iterator[Server]:
    with server() as running:
        yield running


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv(QUEUE, "")
    return Workspace(tmp_path / "w")


@pytest.fixture
def opened(home: Workspace) -> Iterator[Store]:
    made = store.open(home.root)
    yield made
    made.close()


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    rng = np.random.default_rng(5)
    for number in range(MANY):
        Pillow.fromarray(rng.integers(0, 255, (24, 24), dtype=np.uint8)).save(folder / f"{number}.png")
    return folder


def until(happened: Callable[[], bool]) -> None:
    limit = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < limit, "it never happened"
        time.sleep(0.005)


@pytest.mark.parametrize("by", ["url", "unix"])
def test_messages_come_in_order_and_what_is_none_is_dropped(redis: Server, tmp_path: Path, by: str) -> None:
    heard: list[int] = []
    address = getattr(redis, by)
    with closing(messages(tmp_path, address)) as teller, closing(messages(tmp_path, address, heard.append)) as hearer:
        teller.tell(3)
        teller._huey.storage.enqueue(b"\x80\x04N.")  # a pickle of None
        teller.tell(1)
        assert hearer.waiting() == 3
        assert hearer.hear()
        with pytest.raises(BadMessage):
            hearer.hear()
        assert hearer.hear()
        assert not hearer.hear()
    assert heard == [3, 1]


def test_a_job_survives_a_worker_that_is_killed(redis: Server, home: Workspace, opened: Store, pictures: Path) -> None:
    with closing(messages(home.root, redis.url)) as queue:
        row = work.submit(opened, queue, "ingest", {"src": str(pictures), "workers": 0}, "ann")
        assert queue.waiting() == 1
        command = [sys.executable, "-m", "medloop", "worker", "--queue", redis.url, "--workspace", str(home.root)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as first:
            until(lambda: sum(studies.counts(opened).values()) > 0)
            os.kill(first.pid, signal.SIGKILL)
        assert jobs.get(opened, row.id).state == "running"
        assert queue.waiting() == 0
    assert worker(home, WorkerRequest(queue=redis.url, once=True)).done == 1
    done = jobs.get(opened, row.id)
    assert (done.state, done.tries) == ("done", 2)
    assert sum(studies.counts(opened).values()) == MANY
    assert len(done.result["fresh"]) < MANY
    assert not audit.verify(opened)


def test_a_redis_that_goes_away_only_delays(home: Workspace, opened: Store, pictures: Path) -> None:
    with server() as running:
        heard: list[int] = []
        queue = messages(home.root, running.url, heard.append)
        running.process.kill()
        running.process.wait()
        row = work.submit(opened, queue, "ingest", {"src": str(pictures / "1.png"), "workers": 0}, "ann")
        with pytest.raises(InputError) as caught:
            queue.hear()
        assert caught.value.code == "bad-queue"
        queue.close()
    with server() as again:
        assert worker(home, WorkerRequest(queue=again.url, once=True)).done == 1
    assert jobs.get(opened, row.id).state == "done"


def test_a_worker_whose_redis_goes_away_waits_for_it(home: Workspace, opened: Store) -> None:
    with server() as running:
        command = [sys.executable, "-m", "medloop", "worker", "--queue", running.url, "--workspace", str(home.root)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            until(lambda: "waits for jobs" in process.stderr.readline())
            running.process.kill()
            until(lambda: "no queue" in process.stderr.readline())
            assert process.poll() is None
            process.terminate()
            process.communicate()
    assert not list(home.root.glob("medloop-defect-*"))
