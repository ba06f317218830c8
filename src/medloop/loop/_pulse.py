"""Signs of life: what a worker says of itself and its job every second, and what it hears while a job runs.

A worker writes a small file into the workspace; a job's row has a heartbeat and its progress. Who is silent for long is taken for
dead.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

from medloop.progress import AbstractTask, Tick
from medloop.types import Json
from medloop.workspace import write_json

SILENT_S = 30.0
"""A worker or job without a sign of life for so long is dead."""
PARENT = "MEDLOOP_SERVED_BY"
"""The process number of the server that started this worker; it ends when that one is gone."""
_WORKERS = "workers"


@dataclass(frozen=True, slots=True)
class Seen:
    """A worker by its last sign of life. ``job``: the number of the job it does, or None."""

    name: str
    started: datetime
    beat: datetime
    job: int | None

    @property
    def alive(self) -> bool:
        """Whether it still is: its sign is fresh, and on this machine its process too."""
        return (datetime.now(UTC) - self.beat).total_seconds() < SILENT_S and not gone(self.name)


def own_name() -> str:
    """This process among all workers: machine, number, and when it began (numbers are given again)."""
    return f"{platform.node()}:{os.getpid()}:{int(psutil.Process().create_time())}"


def gone(name: str) -> bool:
    """Whether a worker is known to have ended: a process of this machine that is no more. Of other machines nobody knows."""
    try:
        node, number, began = name.rsplit(":", 2)
        if node != platform.node():
            return False
        process = psutil.Process(int(number))
        return int(process.create_time()) != int(began) or process.status() == psutil.STATUS_ZOMBIE
    except ValueError:
        return False
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:
        return False


def sign(root: Path, name: str, started: datetime, job: int | None) -> None:
    """Leave a sign of life."""
    beat = datetime.now(UTC)
    said = {"name": name, "started": started.isoformat(), "beat": beat.isoformat(), "job": job}
    write_json(_file(root, name), said)


def leave(root: Path, name: str) -> None:
    """Take the sign away: this worker ends as it should."""
    _file(root, name).unlink(missing_ok=True)


def workers(root: Path) -> list[Seen]:
    """Every worker that left a sign, alive or not; signs of the long dead are removed."""
    found = []
    for path in sorted((root / _WORKERS).glob("*.json")):
        try:
            said = json.loads(path.read_text(encoding="utf-8"))
            seen = Seen(said["name"], _moment(said["started"]), _moment(said["beat"]), said["job"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if not seen.alive and (datetime.now(UTC) - seen.beat).total_seconds() > 10 * SILENT_S:
            path.unlink(missing_ok=True)
            continue
        found.append(seen)
    return found


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _file(root: Path, name: str) -> Path:
    return root / _WORKERS / f"{name.replace(':', '-')}.json"


class Heard:
    """Progress of a job as others may read it at any moment: the stage, how much of it is done, and the last sentences."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stage, self._note = "", ""
        self._done, self._of = 0, None  # type: int, int | None
        self._said: list[str] = []
        self._begun = time.monotonic()

    def say(self, text: str) -> None:
        """One plain sentence."""
        with self._lock:
            self._said = [*self._said[-4:], text]

    def task(self, label: str, total: int | None = None) -> AbstractTask:
        """A stage of the work."""
        return self._task(label, total)  # type: ignore[return-value]

    @contextlib.contextmanager
    def _task(self, label: str, total: int | None) -> Iterator[Tick]:
        if label:
            with self._lock:
                self._stage, self._note, self._done, self._of = label, "", 0, total

        def tick(done: int = 1, note: str = "") -> None:
            if label:
                with self._lock:
                    self._done, self._note = self._done + done, note or self._note

        yield tick

    def told(self) -> dict[str, Json]:
        """All of it, as the job's row keeps it."""
        with self._lock:
            seconds = round(time.monotonic() - self._begun, 1)
            said = {"stage": self._stage, "done": self._done, "of": self._of, "note": self._note, "seconds": seconds}
            return said | {"said": list(self._said)}
