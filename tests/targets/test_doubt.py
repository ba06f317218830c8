"""Parts of a mask are ranked by the highest score inside; what nearly is a part is told with a score below that of any part."""

import tracemalloc

import numpy as np
import pytest

from medloop.evaluation.detection import SHOWN
from medloop.targets import _doubt, masks
from medloop.targets.masks import Cleaning

ONE = Cleaning((0.5,), (0,))
SURE, SMALL = (slice(2, 8), slice(2, 8)), (slice(2, 3), slice(20, 22))
WEAK, WEAKEST = (slice(14, 18), slice(4, 9)), (slice(25, 28), slice(25, 28))


def scores(noise=0.02):
    """A sure part, one of two voxels, and two places below the threshold."""
    own = np.full((1, 30, 30), noise, np.float32)
    for place, level in ((SURE, 0.9), (SMALL, 0.7), (WEAK, 0.4), (WEAKEST, 0.2)):
        own[0][place] = level
    return np.stack([1 - own, own])


def corners(boxes):
    return [tuple(each) for each in boxes.edges[:, [1, 2, 4, 5]].astype(int).tolist()]


def test_what_nearly_is_a_part_is_told_best_first_and_below_every_part():
    found = _doubt.doubtful(scores(), ONE)
    assert corners(found) == [(14, 4, 18, 9), (25, 25, 28, 28)]
    assert found.scores == pytest.approx([0.2, 0.1], abs=1e-6)
    parts = _doubt.part_scores(masks.clean(scores(), ONE), scores())
    assert parts == pytest.approx([0.95, 0.85], abs=1e-6)
    assert found.scores.max() < SHOWN <= parts.min()


def test_a_part_that_is_too_small_is_doubtful():
    found = _doubt.doubtful(scores(), Cleaning((0.5,), (10,)))
    assert corners(found)[0] == (2, 20, 3, 22)
    assert found.scores[0] == pytest.approx(0.35)


def test_the_border_of_a_part_is_no_place_of_its_own(monkeypatch):
    given = scores()
    given[1, 0, 1:9, 1:9] = np.maximum(given[1, 0, 1:9, 1:9], 0.3)
    assert len(_doubt.doubtful(given, ONE)) == 2
    monkeypatch.setattr(_doubt, "clean", lambda scores, cleaning: np.zeros(scores.shape[1:], np.uint8))
    assert len(_doubt.doubtful(given, ONE)) == 4


def test_a_place_inside_another_class_is_told():
    organ, lesion = np.full((1, 20, 20), 0.6, np.float32), np.full((1, 20, 20), 0.0, np.float32)
    lesion[0, 8:12, 8:12] = 0.3
    found = _doubt.doubtful(np.stack([1 - organ - lesion, organ, lesion]), Cleaning.plain(2))
    assert corners(found) == [(8, 8, 12, 12)]
    assert found.classes.tolist() == [1]


def test_bytes_say_the_same():
    a, b = _doubt.doubtful(scores(), ONE), _doubt.doubtful(masks.quantised(scores()), ONE)
    np.testing.assert_array_equal(a.edges, b.edges)
    assert a.scores == pytest.approx(b.scores, abs=0.002)


def test_scores_are_found_through_the_geometry():
    given, twice = scores(), np.diag([0.5, 0.5, 1.0, 1.0])
    large = masks.clean(given, ONE).repeat(2, axis=1).repeat(2, axis=2)
    np.testing.assert_allclose(_doubt.part_scores(large, given, twice), [0.95, 0.85], atol=1e-6)
    assert _doubt.part_scores(np.zeros((1, 4, 4), np.uint8), given).shape == (0,)


def test_nothing_is_nothing():
    assert len(_doubt.doubtful(np.stack([np.ones((2, 5, 5)), np.zeros((2, 5, 5))]), ONE)) == 0


def test_parts_are_scored_in_little_more_memory_than_their_labels():
    mask = np.ones((60, 100, 100), np.uint8)
    whole = np.stack([1 - mask, mask])[:, ::10, ::10, ::10] * np.uint8(255)
    back = np.diag([0.1, 0.1, 0.1, 1.0])
    np.testing.assert_allclose(masks.part_scores(mask, whole, back), 1.0)
    labels = peak(lambda: masks.instances(mask))
    assert peak(lambda: masks.part_scores(mask, whole, back)) < 1.2 * labels
    assert peak(lambda: np.argwhere(mask)) > 1.2 * labels, "the places of all voxels at once are noticed"


def peak(work):
    """Bytes, at most."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
