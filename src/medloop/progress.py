"""How long work tells what it is doing. The core only knows this protocol; the command line draws the bars."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Tick(Protocol):
    """Called with the number of items done since the last call, and optionally a short note (a loss, a score)."""

    def __call__(self, done: int = 1, note: str = "") -> None: ...


class Progress(Protocol):
    """Whoever wants to know how far the work is."""

    def say(self, text: str) -> None:
        """One plain sentence."""
        ...

    def task(self, label: str, total: int | None = None) -> AbstractTask:
        """A context manager that gives a `Tick`."""
        ...


class AbstractTask(Protocol):
    def __enter__(self) -> Tick: ...

    def __exit__(self, *stop: object) -> None: ...


class Quiet:
    """Tells nobody."""

    def say(self, text: str) -> None:
        """Say nothing."""

    @contextmanager
    def _task(self) -> Iterator[Tick]:
        def tick(done: int = 1, note: str = "") -> None:
            del done, note

        yield tick

    def task(self, label: str, total: int | None = None) -> AbstractTask:
        """A task that nobody watches."""
        del label, total
        return self._task()  # type: ignore[return-value]


QUIET: Progress = Quiet()
