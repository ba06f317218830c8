"""What a benchmark is made of: rows, and where they are kept."""

from __future__ import annotations

import json
import platform
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
RESULTS = Path(__file__).resolve().parent / "results"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One figure beside its baseline. ``ratio``: how many times better than the baseline (None where a ratio says nothing)."""

    what: str
    figure: float
    unit: str
    baseline: str = ""
    baseline_figure: float | None = None
    ratio: float | None = None
    seeds: list[int] = field(default_factory=list)
    notes: str = ""


class Skipped(Exception):
    """This benchmark cannot run here; the text says what it needs."""


def seconds(function: Callable[[], Any], repeat: int = 1) -> float:
    """The best wall time of ``repeat`` calls."""
    best = float("inf")
    for _ in range(repeat):
        start = time.perf_counter()
        function()
        best = min(best, time.perf_counter() - start)
    return best


def shared(name: str) -> Path:
    """A file or folder of the development data, or `Skipped`."""
    path = SHARED / name
    if not path.exists():
        raise Skipped(f"needs the development data {name} beside the checkout")
    return path


def cpu() -> str:
    """The processor's name."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"


def commit() -> str:
    """The commit measured, with ``+`` where the tree had changes."""
    root = Path(__file__).resolve().parents[1]
    head = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=root, capture_output=True, text=True, check=False)
    dirty = subprocess.run(["git", "status", "--porcelain", "src", "bench"], cwd=root, capture_output=True, text=True, check=False)
    return (head.stdout.strip() or "unknown") + ("+" if dirty.stdout.strip() else "")


def keep(name: str, rows: list[Row]) -> Path:
    """Add the rows to ``bench/results/NAME.jsonl`` with commit, processor and time."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}.jsonl"
    record = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "commit": commit(),
        "cpu": cpu(),
        "rows": [asdict(row) for row in rows],
    }
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")
    return path
