"""A Redis of its own for the tests, on a free port and a socket, that keeps nothing on the disk."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.peers import peer

PATIENCE_S = 30.0


@dataclass(frozen=True)
class Server:
    """Its process, and two addresses of it: by network and by socket."""

    process: subprocess.Popen[bytes]
    url: str
    unix: str


@contextmanager
def server() -> Iterator[Server]:
    """A Redis that answers; the test skips where the program or the client is missing."""
    program = peer("redis-server")
    pytest.importorskip("redis", reason="needs medloop[redis]")
    # a short path: the socket's name may have 107 letters
    folder = Path(tempfile.mkdtemp(prefix="redis-", dir="/tmp"))
    port = _free_port()
    said = {"port": port, "bind": "127.0.0.1", "unixsocket": folder / "s", "save": "", "appendonly": "no", "dir": folder}
    command = [program, *(str(word) for name, value in said.items() for word in (f"--{name}", value))]
    try:
        with (folder / "log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
            try:
                _ready(process, folder)
                yield Server(process, f"redis://127.0.0.1:{port}/0", f"unix://{folder / 's'}?db=1")
            finally:
                process.terminate()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return int(door.getsockname()[1])


def _ready(process: subprocess.Popen[bytes], folder: Path) -> None:
    limit = time.monotonic() + PATIENCE_S
    while not (folder / "s").exists():
        if process.poll() is not None or time.monotonic() > limit:
            raise RuntimeError((folder / "log").read_text())
        time.sleep(0.01)
