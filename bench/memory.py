"""Peak private memory of learn and predict on 50,000 generated pictures of 224 by 224, and what each further picture costs."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from bench.core import Row
from medloop.compute import Compute
from medloop.compute.memory import PeakMemory

_FEW, _MANY = 10_000, 50_000
_SIDE = 224
_BUDGET, _LADDER = "4m", "14m"
_RECIPE = """name = "same"
family = "classical"

[parameters]
estimators = ["logistic"]
trials = 1

[[parameters.features]]
name = "intensity"
"""


def write(job: tuple[str, int, int]) -> int:
    """Write pictures ``first`` to ``last``: smooth noise, every other one with a bright spot."""
    folder, first, last = job
    for number in range(first, last):
        rng = np.random.default_rng(number)
        small = rng.normal(110, 25, (14, 14)).astype(np.float32)
        picture = cv2.resize(small, (_SIDE, _SIDE), interpolation=cv2.INTER_CUBIC) + rng.normal(0, 3, (_SIDE, _SIDE))
        if number % 2:
            y, x = rng.integers(40, _SIDE - 40, 2)
            cv2.circle(picture, (int(x), int(y)), int(rng.integers(6, 14)), float(rng.uniform(150, 220)), -1)
        shown = np.clip(picture, 0, 255).astype(np.uint8)
        cv2.imwrite(f"{folder}/{number:06}.jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, 85])
    return last - first


def pictures(folder: Path, count: int) -> None:
    """``count`` pictures under ``scans-COUNT`` and their table."""
    source = folder / f"scans-{count}"
    source.mkdir()
    jobs = [(str(source), first, min(first + 500, count)) for first in range(0, count, 500)]
    with Compute() as compute:
        assert sum(done for done in compute.map(write, jobs) if isinstance(done, int)) == count
    rows = "".join(f"{number:06}.jpg,{'yes' if number % 2 else 'no'}\n" for number in range(count))
    (folder / f"labels-{count}.csv").write_text("image,spot\n" + rows)


def learn(folder: Path, count: int, *more: str) -> dict[str, Any]:
    """One ``learn`` in a process of its own and a fresh workspace, on ``count`` pictures."""
    words = [sys.executable, "-m", "medloop", "learn", folder / f"scans-{count}", "--labels", folder / f"labels-{count}.csv"]
    words += ["--json", "--workspace", tempfile.mkdtemp(dir=folder), *more]
    said = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False)
    if said.returncode:
        raise RuntimeError(said.stdout + said.stderr)
    found: dict[str, Any] = json.loads(said.stdout)
    return found


def rows() -> list[Row]:
    """The peak of the usual search on the many; what one more picture costs, with the same feature and head for few and many."""
    with tempfile.TemporaryDirectory() as place:
        for count in (_FEW, _MANY):
            pictures(Path(place), count)
        return [classical(Path(place)), *ladder(Path(place)), further(Path(place))]


def classical(folder: Path) -> Row:
    """Generation 1's usual search on the many."""
    many = learn(folder, _MANY, "--recipe", "classical", "--budget", _BUDGET)
    notes = f"{many['seconds']:.0f} s, budget {_BUDGET}"
    return _peak("learn --recipe classical", many["peak_private_mb"], 2000.0, notes)


def ladder(folder: Path) -> list[Row]:
    """Learn without a recipe on the many, and predict them all with the model."""
    many = learn(folder, _MANY, "--budget", _LADDER)
    start = time.monotonic()
    with PeakMemory() as memory:
        words = ["predict", many["model"], folder / f"scans-{_MANY}", "--out", folder / "p.csv", "--workspace", folder / "other"]
        subprocess.run([sys.executable, "-m", "medloop", *map(str, words)], capture_output=True, check=True)
    chosen = ", ".join(str(row.get("how") or row["family"]) for row in many["ladder"] if row["chosen"])
    return [
        _peak("learn", many["peak_private_mb"], 3000.0, f"{many['seconds']:.0f} s, budget {_LADDER}; {chosen} chosen"),
        _peak("predict", memory.peak_mb, 3000.0, f"{time.monotonic() - start:.0f} s, files read anew"),
    ]


def _peak(verb: str, figure: float, allowed: float, notes: str) -> Row:
    return Row(
        what=f"peak private memory of {verb}, {_MANY} pictures of {_SIDE} by {_SIDE}",
        figure=figure,
        unit="MB",
        baseline="allowed",
        baseline_figure=allowed,
        ratio=allowed / figure,
        notes=notes,
    )


def further(folder: Path) -> Row:
    """One recipe on few and on many: searches of different length would be compared otherwise."""
    recipe = folder / "same.toml"
    recipe.write_text(_RECIPE)
    few, many = (learn(folder, count, "--recipe", str(recipe), "--budget", _BUDGET) for count in (_FEW, _MANY))
    each_kb = (many["peak_private_mb"] - few["peak_private_mb"]) * 1000 / (_MANY - _FEW)
    return Row(
        what="private memory for each further picture",
        figure=each_kb,
        unit="kB",
        notes=f"promised: at most 10 kB; {few['peak_private_mb']:.0f} MB for {_FEW}, {many['peak_private_mb']:.0f} MB for {_MANY}",
    )
