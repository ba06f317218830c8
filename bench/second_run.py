"""Time in reading and preparing: a second run against the first, on 10,000 PNG files and on the CT phantom."""

from __future__ import annotations

import gc
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from bench.core import Row
from medloop import prep, readers
from medloop.compute import Compute
from medloop.loop.sample import sample
from medloop.prepared import survey
from medloop.requests import SampleRequest
from medloop.workspace import Workspace

PICTURES = 10_000
SIDE = 224
SEED = 0


def rows() -> list[Row]:
    """Two rows; ``ratio`` is how many times quicker the second run is."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_pictures(folder / "png")
        sample(Workspace(folder / "unused"), SampleRequest(name="phantom-ct", out=str(folder / "phantom"), seed=SEED))
        return [
            _row(folder / "png", folder / "png-cache", f"second run, {PICTURES} PNG of {SIDE}²"),
            _row(folder / "phantom", folder / "phantom-cache", "second run, phantom CT"),
        ]


def _row(src: Path, cache: Path, what: str) -> Row:
    cache.mkdir()
    first = _read_and_prepare(src, cache)
    second = sorted(_read_and_prepare(src, cache) for _ in range(3))[1]
    share = 100 * second[0] / first[0]
    notes = f"{second[0]:.3f} s of {first[0]:.2f} s: {share:.2f} %; {first[1]} images; median of three, new workers in each"
    return Row(
        what=what,
        figure=second[0],
        unit="s",
        baseline="first run",
        baseline_figure=first[0],
        ratio=first[0] / second[0],
        seeds=[SEED],
        notes=notes,
    )


def _read_and_prepare(src: Path, cache: Path) -> tuple[float, int]:
    """Seconds from the folder's name to arrays that can be taken from, and the number of images.

    What earlier runs left behind is put out of the collector's sight: a command starts in a process of its own.
    """
    gc.collect()
    gc.freeze()
    with Compute() as compute:
        start = time.perf_counter()
        found = readers.collect(src, cache=cache, compute=compute)
        refs = [found.refs[at] for at in prep.main_kind(found.refs).kept]
        made = survey(refs, cache=cache, steps=prep.plan(refs), compute=compute)
        took = time.perf_counter() - start
    return took, len(made.refs)


def _write_pictures(folder: Path) -> None:
    """Smooth random pictures with some noise: they compress about as well as radiographs."""
    folder.mkdir()
    rng = np.random.default_rng(SEED)
    for at in range(PICTURES):
        coarse = rng.integers(20, 235, (14, 14), dtype=np.uint8)
        smooth = cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC).astype(np.int16)
        picture = np.clip(smooth + rng.integers(-4, 5, (SIDE, SIDE), dtype=np.int16), 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"{at:05}.png"), picture)
