"""Prepared arrays: any order of indices gives the images in that order; nothing is writable."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medloop.prepared import PreparedArrays, RowKind, open_shard

N = 23


def arrays(folder: Path, kinds: list[RowKind] | None = None) -> tuple[PreparedArrays, np.ndarray]:
    """23 random images scattered over three shards."""
    rng = np.random.default_rng(4)
    images = rng.integers(0, 255, (N, 2, 1, 4, 5), dtype=np.uint8)
    shards = rng.integers(0, 3, N).astype(np.int32)
    rows = np.zeros(N, np.int32)
    paths = []
    for shard in range(3):
        mine = rng.permutation(np.flatnonzero(shards == shard))
        rows[mine] = np.arange(len(mine))
        paths.append(folder / f"{shard}.npy")
        np.save(paths[-1], images[mine])
    kinds = kinds or [RowKind((1.0, 2.0, 3.0), "MR", False, None, None)]
    which = (np.arange(N) % len(kinds)).astype(np.int32)
    digests = rng.integers(0, 255, (N, 16), dtype=np.uint8)
    return PreparedArrays((2, 1, 4, 5), images.dtype, tuple(paths), shards, rows, which, tuple(kinds), digests, "steps"), images


@pytest.fixture(scope="module")
def some(tmp_path_factory: pytest.TempPathFactory) -> tuple[PreparedArrays, np.ndarray]:
    return arrays(tmp_path_factory.mktemp("shards"))


INDICES = st.lists(st.integers(0, N - 1), max_size=40)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(indices=INDICES, size=st.integers(1, 9), stored=st.booleans())
def test_any_indices_in_any_order(some, indices: list[int], size: int, stored: bool) -> None:
    made, images = some
    np.testing.assert_array_equal(made.take(indices), images[np.array(indices, int)])
    for at, pixels in made.batches(indices, size, stored=stored):
        assert len(at) <= size
        np.testing.assert_array_equal(pixels, images[at])
    every = [at for part, _ in made.batches(indices, size, stored=stored) for at in part.tolist()]
    assert (sorted(every) == sorted(indices)) if stored else (every == indices)
    located = [np.load(path, mmap_mode="r")[rows] for path, rows in made.locate(indices)]
    np.testing.assert_array_equal(np.concatenate([np.zeros((0, *made.shape), np.uint8), *located]), images[np.array(indices, int)])
    part = made.select(indices)
    assert len(part) == len(indices)
    np.testing.assert_array_equal(part.take(np.arange(len(indices))), images[np.array(indices, int)])


def test_a_mask_selects(some) -> None:
    made, images = some
    mask = np.arange(N) % 3 == 0
    np.testing.assert_array_equal(made.take(mask), images[mask])


def test_stored_order_gives_one_run_a_shard(some) -> None:
    made, _ = some
    assert len(made.locate(made.stored_order(np.arange(N)))) == 3


def test_maps_are_read_only(some) -> None:
    made, _ = some
    mapped = open_shard(made.paths[0])
    with pytest.raises(ValueError, match="read-only"):
        mapped[0] = 0


def test_it_travels_without_pixels(some) -> None:
    made, images = some
    sent = pickle.dumps(made)
    assert len(sent) < 3000
    np.testing.assert_array_equal(pickle.loads(sent).take([3, 1]), images[[3, 1]])  # noqa: S301


def test_keys_name_content_and_order(some) -> None:
    made, _ = some
    assert made.key == made.select(np.arange(N)).key
    assert made.key != made.select(np.arange(N)[::-1]).key
    assert made.key != made.select(np.arange(N - 1)).key


def test_what_all_share(tmp_path: Path) -> None:
    binary = [RowKind((2.0, 1.0, 1.0), "CT", False, 0.0, 255.0), RowKind((2.01, 1.0, 1.0), "CT", False, 0.0, 255.0)]
    made, _ = arrays(tmp_path, binary)
    assert made.binary
    assert made.modality == "CT"
    assert made.spacing_mm == (2.005, 1.0, 1.0)
    mixed, _ = arrays(tmp_path, [*binary, RowKind((4.0, 1.0, 1.0), "MR", False, 0.0, 1.0)])
    assert (mixed.binary, mixed.modality, mixed.spacing_mm, mixed.colour) == (False, None, None, False)
    assert mixed.select([0, 1]).binary
    unknown, _ = arrays(tmp_path, [binary[0], RowKind(None, "CT", True, None, None)])
    assert unknown.spacing_mm is None


def test_kinds_travel_as_text() -> None:
    for kind in (RowKind((1.0, 0.5, 0.25), "CT", True, None, None), RowKind(None, None, False, 0.0, 1.0)):
        assert RowKind.from_text(kind.to_text()) == kind
