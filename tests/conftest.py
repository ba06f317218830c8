"""Fixtures that every test may use."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.peers import peer

os.environ["OMP_NUM_THREADS"] = "1"
"""What tests learn is too small for more, and threads of several test processes would wait for one another at every step."""
PATIENCE_MS = 60_000
"""Of a browser."""
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real labelled images for development; the test skips where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("needs the development data beside the checkout (../shared/data)")
    return SHARED


@pytest.fixture(scope="session")
def chromium() -> Iterator[object]:
    """The system's Chromium; one a process, for the driver allows no second."""
    path = peer("chromium")
    api = pytest.importorskip("playwright.sync_api")
    api.expect.set_options(timeout=PATIENCE_MS)
    with api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks at test sets are counted in the user's data folder; tests count in one of their own."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data-home")))


@pytest.fixture
def stored_arrays(tmp_path: Path):
    """A function that writes pixels ``(N, C, Z, Y, X)`` as shards and gives them as prepared arrays."""
    from medloop.prepared.arrays import PreparedArrays, RowKind

    numbers = itertools.count()

    def store(pixels, *, colour=False, spacing_mm=None, shards=1):
        places = np.array_split(np.arange(len(pixels)), shards)
        paths = tuple(tmp_path / f"shard-{next(numbers)}.npy" for _ in places)
        for path, place in zip(paths, places, strict=True):
            np.save(path, pixels[place])
        values = np.unique(pixels)
        low, high = (float(values[0]), float(values[-1])) if len(values) == 2 else (None, None)
        digests = [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in pixels]
        return PreparedArrays(
            shape=pixels.shape[1:],
            dtype=pixels.dtype,
            paths=paths,
            shards=np.repeat(np.arange(shards), [len(place) for place in places]).astype(np.int32),
            rows=np.concatenate([np.arange(len(place)) for place in places]).astype(np.int32),
            kinds=np.zeros(len(pixels), np.int32),
            kind_list=(RowKind(spacing_mm, None, colour, low, high),),
            digests=np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 16),
            steps_key="test",
        )

    return store
