"""The worker: jobs one after another, each with a row that says how far it is; what a killed worker left is taken again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from bench._server import until
from medloop.errors import InputError
from medloop.loop import _pulse
from medloop.loop import jobs as work
from medloop.loop import worker as labouring
from medloop.loop._messages import messages
from medloop.loop.worker import worker
from medloop.requests import WorkerRequest
from medloop.store import Store, audit, jobs, labels, models, proposals, settings, studies
from medloop.store.records import LabelRow, StudyRow, now
from medloop.types import ImageRef
from medloop.workspace import Workspace
from tests.loop.conftest import blob
from tests.loop.stored import fill


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], object]]:
    """Jobs of the kind ``doctor`` do what the last function of this list does."""
    done: list[Callable[[], object]] = [lambda: {"well": True}]

    class Verb:
        @staticmethod
        def verb(name: str):
            return lambda workspace, request, tell: (tell.say(f"doing {name}"), done[-1]())[1]

    monkeypatch.setattr(work, "KINDS", work.KINDS | {"doctor": "doctor"})
    monkeypatch.setattr(work, "registry", Verb)
    return done


def test_jobs_are_done_in_order_and_their_rows_say_so(home: Workspace, opened: Store, asked) -> None:
    queue = messages(home.root)
    rows = [work.submit(opened, queue, "doctor", {}, "ann")]
    assert work.submit(opened, queue, "doctor", {}, "ann").id == rows[0].id
    assert worker(home, WorkerRequest(once=True)).done == 1
    (row,) = jobs.every(opened)
    assert (row.state, row.result, row.tries, row.actor) == ("done", {"well": True}, 1, "ann")
    assert not audit.verify(opened)
    assert [entry.action for entry in audit.page(opened)] == ["job.done", "job.add"]
    assert not _pulse.workers(home.root)


def test_what_goes_wrong_is_in_the_row_and_the_next_job_is_done(home: Workspace, opened: Store, asked) -> None:
    queue = messages(home.root)

    def wrong() -> object:
        raise InputError("bad", got="It is bad.", allowed="Good.", fix="Mend it.")

    def defect() -> object:
        raise RuntimeError("Zyxwv^7 is in the message")

    asked.append(lambda: asked.pop()() if len(asked) > 2 else {})
    work.submit(opened, queue, "doctor", {}, "ann")
    asked.append(wrong)
    assert worker(home, WorkerRequest(once=True)).failed == 1
    asked.append(defect)
    work.submit(opened, queue, "doctor", {}, "ann")
    assert worker(home, WorkerRequest(once=True)).failed == 1
    second, first = jobs.every(opened)
    assert first.error["got"] == "It is bad."
    assert second.error["code"] == "defect"
    assert "Zyxwv" not in str(second.error)
    assert "Zyxwv" in next(home.root.glob("medloop-defect-*")).read_text()


@pytest.mark.parametrize(
    ("kind", "request_", "code"),
    [
        ("dream", {}, "unknown-kind-of-job"),
        ("retrain", {"budgt": "1m"}, "bad-request"),
        ("retrain", {"database": "sqlite:////etc/x"}, "bad-request"),
    ],
)
def test_a_job_that_makes_no_sense_is_refused_at_once(home: Workspace, opened: Store, kind: str, request_: dict, code: str) -> None:
    with pytest.raises(InputError) as caught:
        work.submit(opened, messages(home.root), kind, request_, "ann")
    assert caught.value.code == code
    assert not jobs.every(opened)


def test_a_job_that_is_stopped_ends_and_the_worker_goes_on(home: Workspace, opened: Store, asked) -> None:
    queue = messages(home.root)
    row = work.submit(opened, queue, "doctor", {}, "ann")

    def long() -> object:
        jobs.end(opened, row.id, "stopped", actor="ann")
        until(lambda: False)
        return {}

    asked.append(long)
    assert worker(home, WorkerRequest(once=True)).done == 0
    assert jobs.get(opened, row.id).state == "stopped"


def test_a_worker_that_is_stopped_puts_its_job_back(home: Workspace, opened: Store, asked) -> None:
    queue = messages(home.root)
    row = work.submit(opened, queue, "doctor", {}, "ann")

    def long() -> object:
        os.kill(os.getpid(), signal.SIGTERM)
        until(lambda: False)
        return {}

    asked.append(long)
    worker(home, WorkerRequest())
    assert jobs.get(opened, row.id).state == "queued"
    asked.append(lambda: {"again": True})
    worker(home, WorkerRequest(once=True))
    assert jobs.get(opened, row.id).result == {"again": True}


def test_a_job_of_a_dead_worker_is_taken_again_but_not_for_ever(home: Workspace, opened: Store) -> None:
    queue = messages(home.root)
    dead = subprocess.run(
        [sys.executable, "-c", "from medloop.loop._pulse import own_name; print(own_name())"], capture_output=True
    )
    name = dead.stdout.decode().strip()
    assert _pulse.gone(name)
    assert not _pulse.gone(_pulse.own_name())
    row = jobs.add(opened, "propose", {}, "ann")
    for _ in range(work.MOST_TRIES):
        assert jobs.claim(opened, row.id, name) is not None
        work.revive(opened, queue)
    done = jobs.get(opened, row.id)
    assert (done.state, done.tries, done.error["code"]) == ("failed", work.MOST_TRIES, "worker-died")


def test_a_job_of_a_living_worker_is_left_alone(home: Workspace, opened: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = messages(home.root)
    row = jobs.add(opened, "propose", {}, "ann")
    jobs.claim(opened, row.id, _pulse.own_name())
    work.revive(opened, queue)
    assert jobs.get(opened, row.id).state == "running"
    monkeypatch.setattr(work, "SILENT_S", -1.0)
    work.revive(opened, queue)
    assert jobs.get(opened, row.id).state == "queued"


def test_two_workers_never_have_one_job(opened: Store) -> None:
    for _ in range(20):
        jobs.add(opened, "propose", {}, "ann")
    got: list[int] = []

    def take() -> None:
        while (row := jobs.claim(opened)) is not None:
            got.append(row.id)

    threads = [threading.Thread(target=take) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(got) == list(range(1, 21))


def test_enough_new_labels_ask_for_a_retraining_once(home: Workspace, opened: Store, tmp_path: Path) -> None:
    queue = messages(home.root)
    numbers = fill(opened, tmp_path / "a", 5)
    settings.put(opened, {"retrain_after": 7}, "ann")
    work.fall_due(opened, queue)
    assert not jobs.every(opened)
    more = fill(opened, tmp_path / "b", 2, seed=8)
    labels.append(opened, LabelRow(case_id=numbers[0], value="sick", provenance="ai-only", author="model"), "model")
    work.fall_due(opened, queue)
    work.fall_due(opened, queue)
    (row,) = jobs.every(opened)
    assert (row.kind, row.request["upto"]) == ("retrain", labels.last_id(opened))
    jobs.claim(opened, row.id)
    jobs.end(opened, row.id, "failed")
    work.fall_due(opened, queue)
    assert len(jobs.every(opened)) == 1
    assert more


def test_a_job_that_waits_without_a_message_is_told_of_again(home: Workspace, opened: Store, asked) -> None:
    row = jobs.add(opened, "doctor", {}, "ann")
    assert worker(home, WorkerRequest(once=True)).done == 1
    assert jobs.get(opened, row.id).state == "done"


def test_a_worker_is_seen_while_it_lives(home: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    _pulse.sign(home.root, _pulse.own_name(), datetime.now(UTC), 12)
    (seen,) = _pulse.workers(home.root)
    assert (seen.alive, seen.job) == (True, 12)
    monkeypatch.setattr(_pulse, "SILENT_S", -1.0)
    assert not any(each.alive for each in _pulse.workers(home.root))


def test_progress_is_what_was_last_told() -> None:
    heard = _pulse.Heard()
    heard.say("one")
    with heard.task("Reading", 4) as tick:
        tick(1)
        tick(2, "half")
        said = heard.told()
    assert {name: said[name] for name in ("stage", "done", "of", "note", "said")} == {
        "stage": "Reading", "done": 3, "of": 4, "note": "half", "said": ["one"],
    }  # fmt: skip
    assert timedelta(seconds=said["seconds"]) < timedelta(minutes=1)


def test_what_comes_into_the_watched_folder_is_taken_in(home: Workspace, opened: Store, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(labouring, "_LOOK_S", 0.05)
    (tmp_path / "in").mkdir()
    settings.put(opened, {"watch": str(tmp_path / "in"), "quiet_s": 0}, "ann")
    one = labouring._Labourer(home.ready(), opened)
    one.queue = messages(home.root)
    with one.listening():
        Pillow.fromarray(blob(np.random.default_rng(1), True)).save(tmp_path / "in" / "a.png")
        until(lambda: sum(studies.counts(opened).values()))
        settings.put(opened, {"watch": None}, "ann")


@pytest.mark.slow
def test_labels_become_a_champion_that_proposes(home: Workspace, opened: Store, plain: Path, in_brief, tmp_path: Path) -> None:
    """From enough labels over a challenger and its judgement to proposals, with nobody asking."""
    fill(opened, tmp_path / "a", 40)
    (waits, *_) = fill(opened, tmp_path / "b", 4, seed=9, labelled=False, state="ready")
    settings.put(opened, {"retrain_after": 30, "recipe": str(plain), "quiet_s": 0}, "ann")
    queue = messages(home.root)
    work.fall_due(opened, queue)
    (asked_for,) = jobs.every(opened)
    assert asked_for.request["recipe"] == str(plain)
    assert worker(home, WorkerRequest(once=True)).failed == 0
    ended = {row.kind: row for row in jobs.every(opened, ("done",))}
    assert {"retrain", "judge", "propose"} <= set(ended), [(row.kind, row.state, row.error) for row in jobs.every(opened)]
    assert ended["judge"].result["decision"] == "promoted"
    champion = models.champion(opened)
    assert champion is not None
    assert champion.id == ended["retrain"].result["challenger"]
    assert proposals.latest(opened, [waits])[waits].model_id == champion.id
    assert not audit.verify(opened)


def test_the_worker_applies_the_retention_rule(home: Workspace, opened: Store) -> None:
    key = opened.blobs.put(b"old")
    ref = ImageRef(name="old", reader="raster", files=(str(opened.blobs.path(key)),))
    number, _ = studies.add(opened, StudyRow(name="old", content="old", state="done", refs=(ref,)), "ann")
    labels.append(opened, LabelRow(case_id=number, value="normal", time=now() - timedelta(days=31)), "ann")
    settings.put(opened, {"keep_days": 30}, "ann")
    worker(home, WorkerRequest(once=True))
    assert not opened.blobs.has(key)
    assert studies.get(opened, number).refs == ()


def test_a_worker_of_a_server_logs_as_the_server_does(home: Workspace, opened: Store) -> None:
    row = work.submit(opened, messages(home.root), "propose", {}, "ann")
    command = [sys.executable, "-m", "medloop", "worker", "--once", "--workspace", str(home.root)]
    environment = os.environ | {labouring.PARENT: str(os.getpid())}
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stderr
    lines = [json.loads(line) for line in told.splitlines() if line.startswith("{")]
    (failed,) = [line for line in lines if line["message"] == "job failed"]
    assert (failed["job"], failed["kind"], failed["code"]) == (row.id, "propose", "no-champion")
