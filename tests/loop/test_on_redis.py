"""Jobs told of through Redis: done, taken again after a kill, and delayed at most while Redis is away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from bench._server import until
from medloop.errors import InputError
from medloop.loop import jobs as work
from medloop.loop._messages import BadMessage, messages
from medloop.loop.worker import worker
from medloop.requests import WorkerRequest
from medloop.store import Store, audit, jobs, studies
from medloop.workspace import Workspace
from tests.redis_server import Server, server

MANY = 80


@pytest.fixture(scope="module")
def redis() -> Iterator[Server]:
    with server() as running:
        yield running


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    rng = np.random.default_rng(5)
    for number in range(MANY):
        Pillow.fromarray(rng.integers(0, 255, (24, 24), dtype=np.uint8)).save(folder / f"{number}.png")
    return folder


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
            until(lambda: sum(studies.counts(opened).values()) > 0, every_s=0.005)
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
