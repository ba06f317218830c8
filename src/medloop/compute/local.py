"""Map a function over jobs in spawned processes of this machine, in order, with bounded memory.

The processes are loky's: they do not import the caller's script again, so a plain script or a notebook needs no main guard.
A worker that dies (a decoder that crashes on a broken file) costs one job, not the run: the jobs in flight are tried
again one by one, and the one that kills its worker comes back as `Died`.
"""

from __future__ import annotations

import collections
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import islice
from multiprocessing import resource_tracker as tracker
from types import TracebackType
from typing import Any, TypeVar

import cv2
import threadpoolctl
from joblib.externals.loky import ProcessPoolExecutor
from joblib.externals.loky.backend import resource_tracker as loky_tracker
from joblib.externals.loky.process_executor import _ExecutorManagerThread

from medloop.progress import QUIET, Progress

J = TypeVar("J")
R = TypeVar("R")

_FOLLOW_S = 0.5


@dataclass(frozen=True, slots=True)
class Died:
    """The answer of a job whose worker process died."""

    reason: str = "the process that read it died"


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Compute:
    """A set of worker processes, started when first needed and kept until closed. Use it as a context manager."""

    def __init__(self, workers: int | None = None, few: int = 3) -> None:
        """``workers`` 0 means: do everything in this process. Up to ``few`` jobs are also done in this process."""
        self.workers = cores() if workers is None else workers
        self.few = few
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Compute:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.close(cancel=kind is not None)

    def close(self, *, cancel: bool = False) -> None:
        """End the workers; with ``cancel`` at once, whatever they are doing."""
        if self._pool is not None:
            with _undisturbed(), _overlooked() if cancel else nullcontext():
                self._pool.shutdown(wait=True, kill_workers=cancel)
            self._pool = None

    def map(
        self,
        function: Callable[[J], R],
        jobs: Iterable[J],
        *,
        label: str = "",
        total: int | None = None,
        tell: Progress = QUIET,
        chunk: int = 1,
    ) -> Iterator[R | Died]:
        """Yield ``function(job)`` for each job in order. ``function`` must be importable (top level of a module).

        ``chunk`` jobs travel together. At most three chunks a worker are in flight, so jobs may be an endless iterator.
        Exceptions of ``function`` are raised here.
        """
        stream = iter(jobs)
        head = list(islice(stream, self.few + 1))
        with tell.task(label, total) as tick:
            if self.workers == 0 or len(head) <= self.few:
                for job in _joined(head, stream):
                    yield function(job)
                    tick(1)
                return
            for answers in self._chunks(function, _cut(_joined(head, stream), chunk)):
                yield from answers
                tick(len(answers))

    def _chunks(self, function: Callable[[J], R], chunks: Iterator[list[J]]) -> Iterator[list[R | Died]]:
        flying: collections.deque[tuple[list[J], Future[list[R]]]] = collections.deque()
        # Jobs in flight are not cancelled when the caller stops: loky 3.6 cannot kill the workers of a pool with cancelled futures.
        while True:
            while len(flying) < 3 * self.workers and (jobs := next(chunks, None)) is not None:
                flying.append((jobs, self._submit(function, jobs)))
            if not flying:
                return
            jobs, future = flying.popleft()
            try:
                yield list(future.result())
            except BrokenProcessPool:
                yield from self._after_death(function, jobs, flying)

    def _after_death(
        self, function: Callable[[J], R], jobs: list[J], flying: collections.deque[tuple[list[J], Future[list[R]]]]
    ) -> Iterator[list[R | Died]]:
        waiting = [jobs, *(queued for queued, _ in flying)]
        flying.clear()
        for group in waiting:
            answers: list[R | Died] = []
            for job in group:
                try:
                    answers.extend(self._submit(function, [job]).result())
                except BrokenProcessPool:
                    answers.append(Died())
            yield answers

    def _submit(self, function: Callable[[J], R], jobs: list[J]) -> Future[list[R]]:
        with _undisturbed():
            try:
                future: Future[list[R]] = self._started().submit(_each, function, jobs)
            except BrokenProcessPool:
                self.close(cancel=True)
                future = self._started().submit(_each, function, jobs)
        return future

    def _started(self) -> ProcessPoolExecutor:
        if self._pool is None:
            # loky replaces a worker whose memory has grown, which is nothing a user need know.
            warnings.filterwarnings("ignore", "A worker stopped while some jobs", UserWarning)
            self._pool = ProcessPoolExecutor(self.workers, initializer=_begin, initargs=(os.getpid(),))
        return self._pool


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Ctrl-C waits until the block has ended, for a half-started pool cannot be ended; processes started in it never get it."""
    with ExitStack() as after:
        if hasattr(signal, "pthread_sigmask"):  # not on Windows
            # Each tracker unblocks the signal when it starts, so both are started before.
            loky_tracker.ensure_running()
            tracker.ensure_running()
            before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            after.callback(signal.pthread_sigmask, signal.SIG_SETMASK, before)
        if threading.current_thread() is threading.main_thread():
            after.callback(_answer, signal.getsignal(signal.SIGINT), waiting := list[int]())
            signal.signal(signal.SIGINT, lambda number, _: waiting.append(number))
        yield


@contextmanager
def _overlooked() -> Iterator[None]:
    """While loky 3.6 kills the workers of a pool, its thread may look for a job that was just taken back."""
    before = threading.excepthook

    def hook(failure: threading.ExceptHookArgs) -> None:
        if failure.exc_type is not KeyError or not isinstance(failure.thread, _ExecutorManagerThread):
            before(failure)

    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = before


def _answer(handler: Any, waiting: list[int]) -> None:
    """Give Ctrl-C back to ``handler``, and what came meanwhile."""
    signal.signal(signal.SIGINT, handler)
    if waiting:
        signal.raise_signal(signal.SIGINT)


def _begin(parent: int) -> None:
    """A worker leaves Ctrl-C to its parent, ends when that is killed, and uses one thread: the processes already fill the cores."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow, args=(parent,), daemon=True).start()
    warnings.filterwarnings("ignore")
    cv2.setNumThreads(1)
    threadpoolctl.threadpool_limits(1)


def _follow(parent: int) -> None:
    """End this process soon after ``parent``, also where that was killed and could not say so."""
    while os.getppid() == parent:
        time.sleep(_FOLLOW_S)
    os._exit(1)


def _each(function: Callable[[J], R], jobs: Sequence[J]) -> list[R]:
    return [function(job) for job in jobs]


def _joined(head: list[J], rest: Iterator[J]) -> Iterator[J]:
    yield from head
    yield from rest


def _cut(jobs: Iterator[J], size: int) -> Iterator[list[J]]:
    while chunk := list(islice(jobs, size)):
        yield chunk
