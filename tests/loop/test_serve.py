"""The server as a process: its address, its first link, its workers, its end."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path

import httpx
import psutil
import pytest

from bench._server import PASSWORD, serving, until
from medloop import store
from medloop.loop import serve as module
from medloop.loop._pulse import workers
from medloop.store import accounts
from tests.loop.command import Command


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(tmp_path / "w", capsys)


def test_from_the_first_start_to_the_stop(tmp_path: Path) -> None:
    root = tmp_path / "w"
    with serving(root, "--prefix", "/medloop/") as served:
        until(lambda: httpx.get(f"{served.url}/health").status_code == 200)
        link = re.search(r"(http://\S+/first/\S+)", served.said)
        assert link
        assert link[1].startswith(f"{served.url}/first/")
        with httpx.Client(follow_redirects=True) as client:
            form = client.get(link[1])
            csrf = re.search(r'name="csrf" value="([^"]+)"', form.text)
            assert csrf
            made = client.post(link[1], data={"csrf": csrf[1], "name": "Zyxwv", "password": PASSWORD})
            assert made.status_code == 200, made.text
            assert client.get(f"{served.url}/jobs").status_code == 200
            assert client.get(link[1]).status_code != 200
        until(served.workers)
        (worker,) = served.workers()
        lines = [json.loads(line) for line in served.said.splitlines() if line.startswith("{")]
        assert {"time", "level", "logger", "message", "method", "route", "status", "ms"} == set(lines[0])
        assert "Zyxwv" not in served.said
        assert served.stop() == 0
        assert not worker.is_running()
    assert not workers(root)


def test_a_worker_that_dies_is_started_again_and_none_outlives_the_server(tmp_path: Path) -> None:
    with serving(tmp_path / "w") as served:
        until(served.workers)
        (first,) = served.workers()
        first.kill()
        until(lambda: [new for new in served.workers() if new != first] and workers(tmp_path / "w"))
        (second,) = [new for new in served.workers() if new != first]
        served.kill()
        assert not psutil.wait_procs([second], timeout=30)[1]


def test_a_port_in_use_is_told_plainly(command: Command) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        error = command.refused("serve", "--port", port, code=2, says=(str(port), "in use"), kind="port-in-use")
    assert str(port + 1) in error["fix"]


@pytest.mark.parametrize(
    ("words", "kind", "says"),
    [
        (["--host", "192.0.2.1"], "bad-host", "192.0.2.1"),
        (["--host", "no such host"], "bad-host", "no such host"),
        (["--prefix", "/a b"], "bad-prefix", "/a b"),
        (["--port", "70000"], "bad-port", "70000"),
        (["--workers", "-1"], "bad-workers", "-1"),
        (["--database", "nonsense"], "bad-database", "--database"),
    ],
)
def test_wrong_flags_are_told_plainly(
    command: Command, words: list[str], kind: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MEDLOOP_DATABASE", "MEDLOOP_BLOBS", "MEDLOOP_QUEUE"):
        monkeypatch.setenv(name, "")
    command.refused("serve", "--port", 0, *words, code=2, says=says, kind=kind)


def test_it_listens_on_loopback_unless_told_otherwise() -> None:
    listener = module._listening("127.0.0.1", 0)
    assert listener.getsockname()[0] == "127.0.0.1"
    listener.close()


def test_a_link_is_printed_only_while_there_is_no_admin(tmp_path: Path) -> None:
    said: list[str] = []
    teller = type("Teller", (), {"say": lambda self, text: said.append(text)})()
    opened = store.open(tmp_path / "w")
    module._first_link(opened, "http://x/", teller)
    accounts.add(opened, "root", "admin", PASSWORD, "setup")
    module._first_link(opened, "http://x/", teller)
    opened.close()
    assert len(said) == 1
    assert "http://x/first/" in said[0]
