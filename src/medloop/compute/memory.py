"""The highest sum of private pages over the process tree; file cache (memory-mapped arrays, libraries) is not counted."""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType

import psutil


def private_bytes(process: psutil.Process) -> int:
    """Pages of one process that no file backs; 0 for a process that has ended."""
    try:
        status = Path(f"/proc/{process.pid}/status")  # the kernel's own counts: smaps walks all pages, and holds up the process
        if status.exists():
            lines = status.read_text().splitlines()
            return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(("RssAnon:", "VmSwap:")))
        return int(process.memory_full_info().uss)
    except (psutil.Error, OSError):
        return 0


class PeakMemory:
    """Watches the process tree while used as a context manager; ``peak_mb`` is the highest sum seen."""

    def __init__(self, every_s: float = 0.25) -> None:
        self._every_s = every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._peak = 0

    @property
    def peak_mb(self) -> float:
        """Megabytes (10^6 bytes) at the highest moment so far."""
        self._look()
        return self._peak / 1e6

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(self._every_s):
            self._look()

    def _look(self) -> None:
        me = psutil.Process()
        try:
            tree = [me, *me.children(recursive=True)]
        except psutil.Error:
            tree = [me]
        self._peak = max(self._peak, sum(map(private_bytes, tree)))
