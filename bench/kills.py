"""kill -9 of server or worker at 50 random moments while people read and a model trains: what is lost, half made, or broken."""

from __future__ import annotations

import random
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import httpx

from bench._department import Department, furnish
from bench._server import Served, serving, until
from bench.core import Row
from bench.readers import Heard, counted
from medloop import families, store
from medloop.loop.retrain import folder_of
from medloop.store import jobs, models
from medloop.workspace import Workspace

KILLS, READERS, SEED = 50, 4, 7
_PAUSE_S, _REST_S = 0.15, 900.0
_ENOUGH = 40
"""So many labels teach something; before that a training is refused."""
_TRAINING = {"recipe": "classical", "budget": "60s"}


@dataclass
class Storm:
    """What was done and found. ``half``: models of the store that cannot be loaded whole. ``trained``: models made meanwhile."""

    heard: Heard = field(default_factory=Heard)
    killed: dict[str, int] = field(default_factory=lambda: {"server": 0, "worker": 0})
    half: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    lost: int = 0
    doubled: int = 0
    trained: int = 0
    broken: list[str] = field(default_factory=list)


def rows() -> Iterator[Row]:
    """Promised: no confirmed label lost, no half model served, the audit chain verifies."""
    with tempfile.TemporaryDirectory() as folder:
        found = storm(Path(folder) / "w", KILLS, SEED)
    how = f"{found.killed['server']} of the server, {found.killed['worker']} of the worker; {len(found.heard.confirmed)} confirmed"
    how += f", {found.trained} trained"
    yield Row(what="confirmed labels lost", figure=found.lost, unit="labels", seeds=[SEED], notes=how)
    yield Row(what="reviews doubled", figure=found.doubled, unit="reviews", seeds=[SEED], notes=how)
    yield Row(what="half models", figure=len(found.half), unit="models", seeds=[SEED], notes="; ".join(found.half))
    yield Row(what="problems in the audit chain", figure=len(found.problems), unit="problems", seeds=[SEED])
    yield Row(what="jobs that failed", figure=len(found.broken), unit="jobs", seeds=[SEED], notes="; ".join(found.broken[:3]))


def storm(root: Path, kills: int, seed: int, training: Mapping[str, str] = _TRAINING) -> Storm:
    """Read and train (what a request of ``retrain`` says) while server and worker are killed, then look at what is left."""
    found, chance = Storm(), random.Random(seed)
    department = furnish(root, READERS, 40 * kills + 200, 60)
    port, stop = _free_port(), threading.Event()
    threads = [threading.Thread(target=_reader, args=(port, token, department, stop, found.heard)) for token in department.tokens]
    for each in threads:
        each.start()
    try:
        left = kills
        while left:
            with serving(root, port=port) as served:
                ask = partial(_ask, served, department, training)
                left -= _until_the_server_dies(served, ask, left, chance, found)
        with serving(root, port=port) as served:
            until(lambda: len(found.heard.confirmed) >= _ENOUGH, _REST_S)
            _ask(served, department, training)
            until(lambda: _at_rest(root), _REST_S)
    finally:
        stop.set()
        for each in threads:
            each.join()
    found.lost, found.doubled, found.problems = counted(root, found.heard)
    _look(root, found)
    return found


def _until_the_server_dies(served: Served, ask: Callable[[], None], left: int, chance: random.Random, found: Storm) -> int:
    """Kill at random moments until one of them kills the server, or enough were; returns how many."""
    until(lambda: _answers(served))
    for count in range(1, left + 1):
        ask()
        time.sleep(chance.uniform(0.0, 4.0))
        workers = served.workers()
        if workers and chance.random() < 0.6:
            workers[0].kill()
            found.killed["worker"] += 1
            continue
        served.kill()
        found.killed["server"] += 1
        return count
    return left


def _ask(served: Served, department: Department, training: Mapping[str, str]) -> None:
    """Ask for a training, if none waits or runs."""
    client = {"headers": {"Authorization": f"Bearer {department.engineer}"}, "timeout": 30.0}
    found = httpx.get(f"{served.url}/api/jobs", **client).json()
    if not any(each["state"] in ("queued", "running") for each in found):
        httpx.post(f"{served.url}/api/jobs", json={"kind": "retrain", "request": training}, **client)


def _answers(served: Served) -> bool:
    try:
        return httpx.get(f"{served.url}/login", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def _at_rest(root: Path) -> bool:
    opened = store.open(root)
    try:
        return not jobs.every(opened, ("queued", "running"))
    finally:
        opened.close()


def _reader(port: int, token: str, department: Department, stop: threading.Event, heard: Heard) -> None:
    """Confirm case after case; where the server does not answer, wait and go on. Only what it confirmed counts."""
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {token}"}, timeout=30) as client:
        while not stop.wait(_PAUSE_S):
            try:
                case = client.get("/api/next").json()["case"]
                if case is None:
                    continue
                said = {"action": "accept", "value": department.truth[case]}
                answer = client.post(f"/api/cases/{case}/reviews", json=said)
                if answer.status_code == 201:
                    heard.confirmed.append((case, answer.json()["review"]))
                elif answer.status_code != 409:  # where the answer was lost in a kill, the case was read after all
                    heard.errors.append(f"{answer.status_code} {answer.text[:80]}")
            except httpx.HTTPError:
                continue


def _look(root: Path, found: Storm) -> None:
    """Every model that the store knows must load whole; no folder of one may be half written."""
    opened = store.open(root)
    try:
        for row in models.every(opened):
            if row.name == "made":
                continue
            try:
                families.load(folder_of(Workspace(root), row))
                found.trained += 1
            except Exception as error:
                found.half.append(f"{row.name}: {error}")
        for folder in (root / "models").glob("*"):
            if not folder.name.startswith(".") and not (folder / "run.json").is_file():
                found.half.append(f"{folder.name} is half written")
        found.broken = [str(each.error) for each in jobs.every(opened, ("failed",)) if each.kind == "retrain"]
    finally:
        opened.close()


def _free_port() -> int:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return int(door.getsockname()[1])
