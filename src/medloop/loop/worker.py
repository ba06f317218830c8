"""Do the jobs that wait, one at a time, until stopped.

A stop (Ctrl-C, SIGTERM) puts the job back into the queue; a kill leaves it to the next worker, who finds out. While a job runs a
thread says every second how far it is, and hears whether somebody has stopped it or the server is gone.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from functools import partial
from types import FrameType
from typing import Any

from medloop import store
from medloop.errors import MedloopError
from medloop.loop import _logs, ingest
from medloop.loop import jobs as work
from medloop.loop._defects import defect
from medloop.loop._messages import BadMessage, Messages, messages, settle
from medloop.loop._pulse import PARENT, Heard, leave, own_name, sign, workers
from medloop.progress import QUIET, Progress
from medloop.requests import IngestRequest, WorkerRequest, WorkerResult
from medloop.store import Store, forget, jobs, settings
from medloop.store.records import JobRow, now
from medloop.workspace import Workspace

_BEAT_S = 1.0
_IDLE_S = 0.3
_CHORES_S = 2.0
_LOOK_S = 5.0
_DAY_S = 86_400.0
_log = logging.getLogger("medloop.worker")


def worker(workspace: Workspace, request: WorkerRequest, tell: Progress = QUIET) -> WorkerResult:
    """Work until stopped, or with ``once`` until no job waits. Raises `InputError` where store or queue cannot be reached."""
    begun = time.monotonic()
    workspace.ready()
    settle(request.database, request.blobs, request.queue)
    if PARENT in os.environ:
        _logs.begin()
    opened = store.open(workspace.root)
    try:
        labourer = _Labourer(workspace, opened)
        labourer.queue = messages(workspace.root, perform=labourer.take)
        with labourer.listening():
            tell.say(f"Worker {labourer.name} waits for jobs.")
            labourer.labour(once=request.once)
        return WorkerResult(done=labourer.done, failed=labourer.failed, seconds=round(time.monotonic() - begun, 2))
    finally:
        opened.close()


class _Labourer:
    """One worker. ``queue`` is set before it begins."""

    queue: Messages

    def __init__(self, workspace: Workspace, opened: Store) -> None:
        self.name, self.started = own_name(), now()
        self.done = self.failed = 0
        self._workspace, self._store = workspace, opened
        self._stop, self._aborted = threading.Event(), False
        self._job: JobRow | None = None
        self._heard = Heard()
        self._in_verb = False
        self._retain_at = 0.0

    def labour(self, *, once: bool) -> None:
        """Take jobs as they come."""
        chores = 0.0
        while not self._stop.is_set():
            if time.monotonic() - chores > _CHORES_S:
                self._do_chores()
                chores = time.monotonic()
            if self._next():
                chores = 0.0
            elif once:
                return
            else:
                self._stop.wait(_IDLE_S)

    def take(self, number: int) -> None:
        """Do the job of this number, if nobody else does. What goes wrong is written into its row."""
        row = jobs.claim(self._store, number, worker=self.name)
        if row is None:
            return
        self._heard, self._aborted, self._job = Heard(), False, row
        _log.info("job begins", extra={"job": row.id, "kind": row.kind})
        try:
            self._perform(row)
        finally:
            self._job = None

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Leave signs of life, and hear of signals; afterwards the worker's sign is gone."""
        pulse = threading.Thread(target=self._beat, name="pulse", daemon=True)
        before: dict[int, Any] = {}
        if threading.current_thread() is threading.main_thread():
            before = {each: signal.signal(each, self._signalled) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)}
        self._sign()
        watch = threading.Thread(target=self.watch, name="watch", daemon=True)
        pulse.start()
        watch.start()
        try:
            yield
        finally:
            self._stop.set()
            for each in (pulse, watch):
                each.join(timeout=10 * _BEAT_S)
            leave(self._workspace.root, self.name)
            self.queue.close()
            for number, handler in before.items():
                signal.signal(number, handler)

    def watch(self) -> None:
        """Beside the jobs, take in what comes into the folder that the settings name. Of several workers the eldest does."""
        while not self._stop.wait(_LOOK_S):
            try:
                if folder := self._watched():
                    request = IngestRequest(src=folder, watch=True, workers=0)
                    ingest.watch(self._store, request, stop=partial(self._watches_no_more, folder))
            except MedloopError as error:
                _log.warning("the watched folder cannot be taken in", extra={"code": error.code})

    def _watches_no_more(self, folder: str) -> bool:
        return self._stop.is_set() or self._watched() != folder

    def _watched(self) -> str:
        """The folder that this worker watches; empty: none."""
        alive = [each for each in workers(self._workspace.root) if each.alive]
        eldest = min(alive, key=lambda each: (each.started, each.name), default=None)
        mine = eldest is not None and eldest.name == self.name
        return str(settings.get(self._store, "watch") or "") if mine else ""

    def _next(self) -> bool:
        try:
            return self.queue.hear()
        except BadMessage:
            _log.warning("a message that is none of ours was dropped")
            return True
        except MedloopError as error:
            _log.warning("no queue", extra={"code": error.code})
            self._stop.wait(_CHORES_S)
            return False

    def _do_chores(self) -> None:
        try:
            work.fall_due(self._store, self.queue)
            if time.monotonic() >= self._retain_at:
                forget.expired(self._store, "worker")
                self._store.blobs.sweep()
                self._retain_at = time.monotonic() + _DAY_S
        except MedloopError as error:
            _log.warning("chores failed", extra={"code": error.code})

    def _perform(self, row: JobRow) -> None:
        try:
            self._in_verb = True
            result = work.perform(self._workspace, row, self._heard)
            self._in_verb = False
            jobs.end(self._store, row.id, "done", result=result)
            self.done += 1
            work.follow(self._store, self.queue, row, result)
            _log.info("job done", extra={"job": row.id, "kind": row.kind})
        except KeyboardInterrupt:
            self._in_verb = False
            self._interrupted(row)
        except MedloopError as error:
            self._in_verb = False
            self._lost(row, error)
        except Exception as error:
            self._in_verb = False
            self._lost(row, defect(error, self._workspace.root, lambda path: f"{path.name} of the workspace"))

    def _interrupted(self, row: JobRow) -> None:
        if self._aborted:
            _log.info("job stopped", extra={"job": row.id, "kind": row.kind})
            return
        jobs.again(self._store, row.id)
        self._stop.set()
        _log.info("job put back", extra={"job": row.id, "kind": row.kind})

    def _lost(self, row: JobRow, error: MedloopError) -> None:
        self.failed += 1
        jobs.end(self._store, row.id, "failed", error=error.to_json()["error"])
        _log.warning("job failed", extra={"job": row.id, "kind": row.kind, "code": error.code})

    def _told(self) -> dict[str, Any]:
        return self._heard.told() | {"worker": self.name}

    def _sign(self) -> None:
        sign(self._workspace.root, self.name, self.started, None if self._job is None else self._job.id)

    def _beat(self) -> None:
        """Every second: a sign of life; the job's progress; is it stopped, is the server gone."""
        while not self._stop.wait(_BEAT_S):
            try:
                self._sign()
                row = self._job
                if row is not None and not jobs.beat(self._store, row.id, self._told()) and self._job is row:
                    self._aborted = True
                    os.kill(os.getpid(), signal.SIGUSR1)
            except (MedloopError, OSError) as error:  # a full disk or a busy database: the next beat may do
                _log.warning("no sign of life", extra={"error": type(error).__name__})
            if _orphan():
                os.kill(os.getpid(), signal.SIGTERM)

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        """Stop the job in hand; but for SIGUSR1, which means this job alone, the worker too."""
        del frame
        if number != signal.SIGUSR1:
            self._stop.set()
        if self._in_verb:
            self._in_verb = False
            raise KeyboardInterrupt


def _orphan() -> bool:
    """Whether the server that started this worker is gone."""
    parent = os.environ.get(PARENT)
    return parent is not None and os.getppid() != int(parent)
