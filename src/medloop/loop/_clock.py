"""The budget of a command: wall time from its start, shared out to its stages, and what each of them took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Clock:
    """Counts from its making. ``budget_s`` None: no limit."""

    def __init__(self, budget_s: float | None = None) -> None:
        self.begun = time.monotonic()
        self.budget_s = budget_s
        self.timings: dict[str, float] = {}

    @property
    def seconds(self) -> float:
        """Wall time so far."""
        return time.monotonic() - self.begun

    def deadline(self, share: float) -> float:
        """The moment (`time.monotonic`) at which this share of the budget is spent; endless without a budget."""
        return float("inf") if self.budget_s is None else self.begun + share * self.budget_s

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the wall time of a block under ``name`` (added up when used again)."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.timings[name] = self.timings.get(name, 0.0) + time.monotonic() - start
