"""Progress on standard error: bars on a terminal, one plain line a task elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from medloop.progress import AbstractTask, Tick


class Bars:
    """Draws what the core tells."""

    def __init__(self, stream: TextIO) -> None:
        self._console = Console(file=stream, highlight=False)

    def say(self, text: str) -> None:
        """One plain sentence."""
        self._console.print(text, markup=False, soft_wrap=True)

    def task(self, label: str, total: int | None = None) -> AbstractTask:
        """A bar, or on a file or pipe one line when the task ends."""
        if not label:
            return self._silent()  # type: ignore[return-value]
        return self._bar(label, total) if self._console.is_terminal else self._line(label)  # type: ignore[return-value]

    @contextmanager
    def _silent(self) -> Iterator[Tick]:
        yield lambda done=1, note="": None

    @contextmanager
    def _bar(self, label: str, total: int | None) -> Iterator[Tick]:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
        with Progress(*columns, TextColumn("{task.fields[note]}"), console=self._console) as drawn:
            row = drawn.add_task(label, total=total, note="")

            def tick(done: int = 1, note: str = "") -> None:
                if note:
                    drawn.update(row, advance=done, note=note)
                else:
                    drawn.update(row, advance=done)

            yield tick
            if total is None:
                drawn.update(row, total=drawn.tasks[0].completed)

    @contextmanager
    def _line(self, label: str) -> Iterator[Tick]:
        begun, count, last = time.monotonic(), 0, ""

        def tick(done: int = 1, note: str = "") -> None:
            nonlocal count, last
            count, last = count + done, note or last

        yield tick
        if count:
            self.say(f"{label}: {count} in {time.monotonic() - begun:.1f} s{', ' + last if last else ''}")
