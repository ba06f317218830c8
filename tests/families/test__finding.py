"""Answers of a network as findings in voxels as read, without holding the scores of all those voxels."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from medloop.families import _finding
from medloop.families._finding import Finder, findings
from medloop.prepared.back import map_as_read, mask_as_read
from medloop.prepared.geometry import Geometry
from medloop.targets import _cleaning, masks, reconstruction
from medloop.targets.reconstruction import Typical
from medloop.types import Target, TargetKind

MASKS = Target(TargetKind.MASKS, ("ball",), "masks")
READ, PREPARED = (240, 192, 192), (30, 24, 24)
TURN = np.diag([8.0, 8.0, 8.0, 1.0])
TURN[:3, 3] = 3.5
GEOMETRY = Geometry(TURN[None], np.array([READ]), np.ones((1, 3)))


def scores():
    """``(2, Z, Y, X)`` of a ball and of a speck."""
    grid = np.stack(np.meshgrid(*[np.arange(side) for side in PREPARED], indexing="ij"))
    ball = 1 / (1 + np.exp(np.linalg.norm(grid - np.array([12, 12, 10]).reshape(3, 1, 1, 1), axis=0) - 6))
    ball[28, 2, 2] = 0.9
    return np.stack([1 - ball, ball]).astype(np.float32)


def found(cleaning):
    finder = Finder((MASKS,), masks=cleaning)
    return findings(finder, "a", {"masks": scores()}, PREPARED, GEOMETRY, 0).mask


@pytest.mark.parametrize("smallest", [0, 3])
def test_a_few_slices_at_a_time_are_what_all_at_once_would_be(smallest, monkeypatch):
    monkeypatch.setattr(_cleaning, "_BLOCK", 3 * READ[1] * READ[2])
    mine = found(masks.Cleaning((0.4,), (smallest,)))
    whole = masks.clean(mask_as_read(scores(), GEOMETRY, 0), masks.Cleaning((0.4,), (smallest * 8**3,)))
    np.testing.assert_array_equal(mine, whole)
    assert mine.shape == READ
    assert bool(mine[220:].any()) == (smallest == 0), "the speck goes where it is too small"


def peak_mb():
    tracemalloc.start()
    try:
        found(masks.Cleaning((0.4,), (0,)))
        return tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()


def test_scores_of_all_voxels_are_never_there_at_once(monkeypatch):
    monkeypatch.setattr(_cleaning, "_BLOCK", 200_000)
    monkeypatch.setattr("medloop.families._finding.measures.measure", lambda *_: {})
    monkeypatch.setattr("medloop.families._finding.masks.part_scores", lambda *_: None)
    whole = 2 * 4 * np.prod(READ) / 2**20
    assert peak_mb() < whole / 2
    monkeypatch.setattr(_cleaning, "_BLOCK", 10**9)
    assert peak_mb() > whole, "all at once is noticed"


def test_a_map_comes_to_the_grid_as_read_a_few_slices_at_a_time(monkeypatch):
    errors = np.random.default_rng(0).uniform(0, 2, (1, *PREPARED)).astype(np.float32)
    finder = Finder((), typical=Typical(tuple(np.linspace(0, 2, 41).tolist())))
    seen, made = [], _finding.map_as_read
    monkeypatch.setattr(_cleaning, "_BLOCK", 3 * READ[1] * READ[2])
    monkeypatch.setattr(_finding, "map_as_read", lambda *given, slab: (seen.append(slab), made(*given, slab=slab))[1])
    told = findings(finder, "a", {"errors": errors}, PREPARED, GEOMETRY, 0)
    assert len(seen) == READ[0] / 3
    whole = reconstruction.STEP * told.anomaly
    np.testing.assert_allclose(whole, map_as_read(2 * errors[0], GEOMETRY, 0), atol=reconstruction.STEP)
    assert told.measures["reconstruction error"] == pytest.approx(errors.mean(), rel=1e-4)
    assert told.measures["highest anomaly"] == pytest.approx(whole.max())
    assert Finder.from_json(finder.to_json(), ()) == finder
    assert findings(Finder(()), "a", {"errors": errors}, PREPARED, GEOMETRY, 0).anomaly is None
