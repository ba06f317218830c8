"""Overlap of boxes by their edges."""

import numpy as np
import pytest

from medloop.evaluation import rectangles
from medloop.evaluation.rectangles import Boxes

SQUARE = np.array([[0, 0, 0, 1, 10, 10]], float)


def _overlap(*edges):
    return float(rectangles.overlaps(SQUARE, np.array([edges], float))[0, 0])


def _counts_by_edges():
    """10 by 10 and the same moved by 5: 50 common of 150. Side by side: nothing."""
    return _overlap(0, 0, 5, 1, 10, 15) == pytest.approx(1 / 3) and _overlap(0, 0, 10, 1, 10, 20) == 0


def test_overlap_counts_by_edges():
    assert _counts_by_edges()
    assert _overlap(0, 0, 0, 1, 10, 10) == 1
    assert _overlap(2, 0, 0, 3, 10, 10) == 0
    assert _overlap(0, 0, 0, 2, 10, 10) == pytest.approx(0.5)
    assert _overlap(0, 3, 3, 1, 3, 3) == 0


def test_an_edge_too_many_is_seen(monkeypatch):
    whole = rectangles.overlaps
    wider = np.array([0, 0, 0, 0, 1, 1])
    monkeypatch.setattr(rectangles, "overlaps", lambda first, second: whole(first + wider, second + wider))
    assert not _counts_by_edges()


def test_centres_inside():
    second = np.array([[0, 0, 0, 1, 6, 6], [0, 6, 6, 1, 9, 9]], float)
    assert rectangles.centred(SQUARE, second).tolist() == [[True, False]]
    assert rectangles.centred(second, SQUARE).tolist() == [[True], [True]]


def test_which_boxes_are_valid():
    edges = np.array(
        [
            [0, 1, 1, 1, 5, 5],
            [0, 5, 1, 1, 5, 5],
            [0, 8, 1, 1, 3, 5],
            [0, 1, -4, 1, 5, 0],
            [0, 1, 15, 1, 5, 30],
            [0, np.nan, 1, 1, 5, 5],
        ]
    )
    assert rectangles.valid(edges, (1, 10, 20)).tolist() == [True, False, False, False, True, False]


def test_suppression_keeps_the_better_of_each_class():
    edges = np.array([[0, 0, 0, 1, 10, 10], [0, 0, 1, 1, 10, 11], [0, 0, 1, 1, 10, 11], [0, 0, 20, 1, 10, 30]], float)
    boxes = Boxes.of(edges, np.array([0, 0, 1, 0]), np.array([0.6, 0.9, 0.5, 0.7]))
    assert rectangles.kept(boxes, 0.5).tolist() == [1, 3, 2]
    assert rectangles.kept(boxes, 0.95).tolist() == [1, 3, 0, 2]
    assert rectangles.kept(Boxes.none(), 0.5).tolist() == []
