"""A server as a person starts it: a process of its own, with its workers."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

PATIENCE_S = 300.0
PASSWORD = "correct horse battery"


@dataclass
class Served:
    """A server that runs. ``url`` without the last slash. ``log``: what it said."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def workers(self) -> list[psutil.Process]:
        """Its worker processes that live."""
        found = []
        with suppress(psutil.NoSuchProcess):
            for each in psutil.Process(self.process.pid).children():
                with suppress(psutil.NoSuchProcess):
                    found += [each] if "worker" in each.cmdline() else []
        return found

    def kill(self) -> None:
        """As a power cut does."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """As a service manager does; gives the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)


def until(happened: Callable[[], object], patience_s: float = PATIENCE_S, every_s: float = 0.05) -> None:
    """Wait until it happened, looking every so often."""
    limit = time.monotonic() + patience_s
    while not happened():
        assert time.monotonic() < limit, "it never happened"
        time.sleep(every_s)


@contextmanager
def serving(root: Path, *words: str, port: int = 0) -> Iterator[Served]:
    """A server on a free port of loopback; afterwards neither it nor its workers are left."""
    log = root.parent / f"serve-{time.monotonic_ns()}.log"
    command = [sys.executable, "-m", "medloop", "serve", "--workspace", str(root), "--port", str(port), *words]
    with log.open("wb") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=stream, env=os.environ | {"OMP_NUM_THREADS": "1"})
    served = Served(process, "", log)
    try:
        until(lambda: "medloop serves" in served.said or process.poll() is not None)
        found = re.search(r"medloop serves (\S+)/", served.said)
        assert found, served.said
        served.url = found[1]
        yield served
    finally:
        left = served.workers()
        if process.poll() is None:
            served.kill()
        for each in psutil.wait_procs(left, timeout=20)[1]:
            each.kill()
