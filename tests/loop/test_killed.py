"""Ctrl-C, kill -9, a full disk, two processes at once: the workspace stays usable and the next run goes on from the cache."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from medloop.cli import main
from tests.loop.brief import brief
from tests.loop.command import Command
from tests.loop.conftest import Source, write_pngs

PATIENCE_S = 120.0


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Source:
    return write_pngs(tmp_path_factory.mktemp("many"), 30, seed=9)


@pytest.fixture(scope="module")
def whole(many: Source, plain: Path, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """What an unbroken run says. Its recipe is learnt again without a search."""
    folder = tmp_path_factory.mktemp("whole")
    words = ["learn", *many.words, "--recipe", str(plain), "--out", str(folder / "run")]
    with brief():
        assert main([*words, "--workspace", str(folder / "w")]) == 0
    result: dict = json.loads((folder / "run" / "run.json").read_text())["result"]
    return result


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(tmp_path / "w", capsys)


@dataclass
class Started:
    """A command in a session of its own, as a terminal starts it. ``log``: what it said on standard error."""

    process: subprocess.Popen[bytes]
    log: Path
    out: Path

    def until(self, happened: Callable[[], bool]) -> None:
        """Wait until something happened, or the command has ended."""
        limit = time.monotonic() + PATIENCE_S
        while not happened():
            assert time.monotonic() < limit, self.log.read_text()
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.002)

    def end(self, how: signal.Signals) -> int:
        """Ctrl-C for all its processes, or a kill for the first alone; no worker may outlive it. The exit code."""
        tree = psutil.Process(self.process.pid).children(recursive=True)
        if how is signal.SIGINT:
            os.killpg(self.process.pid, how)
        else:
            self.process.kill()
        code = self.process.wait(PATIENCE_S)
        _, alive = psutil.wait_procs(tree, timeout=PATIENCE_S)
        for each in alive:
            each.kill()
        assert not alive
        return code


def _hearing() -> None:
    """As from a terminal: a job in the background would ignore Ctrl-C, and so would what it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def started(folder: Path, *words: object) -> Iterator[Started]:
    log, out = folder / f"log-{time.monotonic_ns()}", folder / f"out-{time.monotonic_ns()}"
    with log.open("wb") as told, out.open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "medloop", *map(str, words)],
            stderr=told,
            stdout=said,
            start_new_session=True,
            preexec_fn=_hearing,
        )
    try:
        yield Started(process, log, out)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def rows_kept(home: Path) -> int:
    """Rows in the cache's index so far."""
    index = home / "cache" / "arrays" / "index-1.sqlite"
    try:
        with closing(sqlite3.connect(f"file:{index}?mode=ro", uri=True, timeout=5)) as base:
            return int(base.execute("SELECT count(*) FROM row").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


def decoded(words: str) -> int:
    """How many images a run said that it read."""
    found = re.search(r"Reading and preparing images: (\d+)", words)
    return int(found[1]) if found else 0


def quick(many: Source, whole: dict) -> tuple[object, ...]:
    """Words that learn what the unbroken run had found, in this process."""
    return ("learn", *many.words, "--recipe", Path(whole["run"]) / "recipe.toml")


def reached(moment: str, work: Started, home: Path) -> Callable[[], bool]:
    def told(text: str) -> Callable[[], bool]:
        return lambda: text in work.log.read_text()

    return {
        "starting": told("Listing files"),
        "reading": lambda: rows_kept(home) > 0,
        "features": told("Learning the feature"),
        "search": told("feature "),
        "report": lambda: any((home / "runs").glob(".*")),
    }[moment]


@pytest.mark.parametrize(
    ("moment", "how"),
    [
        ("starting", signal.SIGINT),
        ("reading", signal.SIGINT),
        ("search", signal.SIGINT),
        ("reading", signal.SIGKILL),
        ("features", signal.SIGKILL),
        ("report", signal.SIGKILL),
    ],
)
def test_a_run_that_was_stopped_goes_on(
    command, in_brief, many: Source, plain: Path, whole: dict, tmp_path: Path, moment: str, how
) -> None:
    home = command.home
    with started(tmp_path, "learn", *many.words, "--recipe", plain, "--workspace", home) as work:
        work.until(reached(moment, work, home))
        code = work.end(how)
    told = work.log.read_text()
    assert "Traceback" not in told
    if how is signal.SIGINT:  # Python itself ends by the signal when it came while code was being compiled
        assert code in (130, -signal.SIGINT)
        assert "Stopped." in told
    runs = home / "runs"
    assert not [path for path in runs.glob("*") if not path.name.startswith(".")]
    command.refused("compare", "x", "y", code=2, says="There is no run")

    for draft in runs.glob(".*"):
        os.utime(draft, (time.time() - 90_000,) * 2)
    kept = rows_kept(home)
    again = command(*quick(many, whole), "--json")
    if moment != "starting":
        assert kept > 0
        assert decoded(again.err) < many.cases
    if moment not in ("starting", "reading"):
        assert decoded(again.err) == 0
    assert again.json["dataset"] == whole["dataset"]
    assert [path.name for path in runs.iterdir()] == [Path(again.json["run"]).name]  # what was half written is gone


def test_without_that_thread_workers_would_outlive_a_killed_parent(tmp_path: Path) -> None:
    script = (
        "import sys, time; from medloop.compute import local\n"
        "if sys.argv[1] == 'broken': local._begin = lambda parent: None\n"
        "import threading\n"
        "with local.Compute(2, few=0) as compute:\n"
        "    for _ in compute.map(time.sleep, [0.01, 90, 90, 90]): print('go', flush=True)\n"
    )
    for how, patience_s in (("right", 45), ("broken", 3)):
        with subprocess.Popen([sys.executable, "-c", script, how], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as parent:
            assert parent.stdout is not None
            assert parent.stdout.readline() == b"go\n"
            workers = [each for each in psutil.Process(parent.pid).children() if "LokyProcess" in " ".join(each.cmdline())]
            parent.kill()
            parent.stdout.close()
        _, alive = psutil.wait_procs(workers, timeout=patience_s)
        for each in alive:
            each.kill()
        assert len(workers) == 2
        assert len(alive) == (0 if how == "right" else 2)


def test_two_processes_on_one_workspace_end_alike(command, many: Source, plain: Path, whole: dict, tmp_path: Path) -> None:
    place = ("--workspace", command.home, "--json")
    learn = ("learn", *many.words, "--recipe", plain, *place)
    with (
        started(tmp_path, *learn) as one,
        started(tmp_path, *learn, "--workers", 0) as two,
        started(tmp_path, "inspect", *many.words, *place, "--workers", 0) as three,
    ):
        assert [each.process.wait(PATIENCE_S) for each in (one, two, three)] == [0, 0, 0], [
            each.log.read_text() for each in (one, two, three)
        ]
    first, second, seen = (json.loads(each.out.read_text()) for each in (one, two, three))
    assert first["dataset"] == second["dataset"] == whole["dataset"]
    assert first["run"] != second["run"]
    assert {first["looks"], second["looks"]} == {first["looks"], first["looks"] + 1} or {first["looks"], second["looks"]} == {
        second["looks"],
        second["looks"] + 1,
    }
    assert seen["used"] == many.cases
    assert command("compare", first["run"], second["run"], "--json").json["cases"] == whole["dataset"]["split"]["test"]


@contextmanager
def small_disk(place: Path, kilobytes: int) -> Iterator[Path]:
    place.mkdir(exist_ok=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "none", place], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("a small disk to fill can be mounted by root only")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.parametrize(("kilobytes", "workers"), [(40, 0), (90, 0), (250, 2)])
def test_a_full_disk_is_told_and_leaves_no_half_run(
    many: Source, whole: dict, in_brief, tmp_path: Path, capsys, kilobytes: int, workers: int
) -> None:
    with small_disk(tmp_path / "disk", kilobytes) as disk:
        command = Command(disk / "w", capsys)
        said = command("learn", *many.words, "--workers", workers, "--json", code=2)
        assert said.json["error"]["code"] in ("disk-full", "disk-failed")
        assert "--workspace" in said.json["error"]["fix"]
        assert "--workspace" in command("inspect", *many.words, "--workers", workers, code=2).err
        assert not list((disk / "w" / "runs").glob("*"))
        subprocess.run(["mount", "-o", "remount,size=60m", disk], check=True)
        assert Path(command(*quick(many, whole), "--json").json["report"]).is_file()


def test_a_disk_that_fills_up_while_the_run_is_written(many: Source, whole: dict, in_brief, command, monkeypatch) -> None:
    real = os.fsync

    def full(handle: int) -> None:
        if "/runs/." in os.readlink(f"/proc/self/fd/{handle}"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", full)
        said = command(*quick(many, whole), code=2)
    assert "No space is left" in said.err
    assert not list((command.home / "runs").iterdir())
    assert decoded(command(*quick(many, whole)).err) == 0


def test_a_read_only_disk(many: Source, whole: dict, in_brief, tmp_path: Path, capsys) -> None:
    with small_disk(tmp_path / "disk", 60_000) as disk:
        command = Command(disk / "w", capsys)
        run = command(*quick(many, whole), "--json").json["run"]
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        for verb in ("learn", "inspect"):
            command.refused(verb, *many.words, code=2, says=("read-only", "--workspace"), kind="not-writable")
        command.refused("predict", run, many.src, code=2, says="read-only")
        assert command("compare", run, run).code == 0
        assert not json.loads(command("doctor", "--json").out)["healthy"]
        elsewhere = Command(tmp_path / "other", capsys)
        assert (
            elsewhere("predict", run, many.src, "--out", tmp_path / "p.csv", "--workers", 0, "--json").json["cases"] == many.cases
        )
        elsewhere.refused("export", run, "--out", disk / "out", code=2, says="read-only")
