"""Peak private memory of learn on 50,000 generated pictures of 224 by 224, and what each further picture costs."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

from bench.core import Row
from medloop.compute import Compute

_FEW, _MANY = 10_000, 50_000
_SIDE = 224
_BUDGET = "4m"


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


def learn(folder: Path, count: int) -> dict[str, float]:
    """One ``learn`` in a process of its own, on the first ``count`` pictures."""
    source = folder / f"scans-{count}"
    source.mkdir()
    jobs = [(str(source), first, min(first + 500, count)) for first in range(0, count, 500)]
    with Compute() as compute:
        assert sum(done for done in compute.map(write, jobs) if isinstance(done, int)) == count
    table = folder / f"labels-{count}.csv"
    table.write_text("image,spot\n" + "".join(f"{number:06}.jpg,{'yes' if number % 2 else 'no'}\n" for number in range(count)))
    words = [sys.executable, "-m", "medloop", "learn", source, "--labels", table, "--budget", _BUDGET, "--json"]
    words += ["--workspace", folder / f"w-{count}"]
    said = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False)
    if said.returncode:
        raise RuntimeError(said.stdout + said.stderr)
    found: dict[str, float] = json.loads(said.stdout)
    return found


def rows() -> list[Row]:
    """Both sizes, each in a fresh workspace."""
    with tempfile.TemporaryDirectory() as place:
        few, many = (learn(Path(place), count) for count in (_FEW, _MANY))
    each_kb = (many["peak_private_mb"] - few["peak_private_mb"]) * 1000 / (_MANY - _FEW)
    told = f"{many['seconds']:.0f} s, budget {_BUDGET}"
    return [
        Row(
            what=f"peak private memory of learn, {_MANY} pictures of {_SIDE} by {_SIDE}",
            figure=many["peak_private_mb"],
            unit="MB",
            baseline=f"the same on {_FEW} pictures",
            baseline_figure=few["peak_private_mb"],
            ratio=few["peak_private_mb"] / many["peak_private_mb"],
            notes=f"promised: at most 2000 MB; {told}",
        ),
        Row(
            what="private memory for each further picture",
            figure=each_kb,
            unit="kB",
            notes=f"promised: at most 10 kB; between {_FEW} and {_MANY} pictures",
        ),
    ]
