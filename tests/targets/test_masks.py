"""Masks: decoding, parts, tallies and pictures."""

import numpy as np
import pytest

from medloop.targets import masks
from medloop.types import UNKNOWN, Findings, Target, TargetKind

CELLS = Target(TargetKind.MASKS, ("cytoplasm", "nucleus"), "masks")


def test_the_highest_score_wins_whatever_scores_are():
    scores = np.random.default_rng(0).dirichlet(np.ones(3), (2, 6, 5)).transpose(3, 0, 1, 2).astype(np.float32)
    mask = masks.decode(scores)
    assert mask.dtype == np.uint8
    assert mask.shape == (2, 6, 5)
    np.testing.assert_array_equal(mask, scores.argmax(axis=0))
    small = masks.quantised(scores)
    assert small.dtype == np.uint8
    np.testing.assert_allclose(small / 255, scores, atol=0.5 / 255 + 1e-6)
    assert (masks.decode(small) == mask).mean() > 0.95


def test_parts_touch_by_corners_and_come_by_class_and_size():
    mask = np.zeros((1, 8, 10), np.uint8)
    mask[0, 0, 0] = mask[0, 1, 1] = 1
    mask[0, 4:7, 4:7] = 1
    mask[0, 5, 5] = 2
    mask[0, 0, 9] = 2
    mask[0, 7] = UNKNOWN
    found = masks.instances(mask)
    np.testing.assert_array_equal(found.classes, [1, 1, 2, 2])
    np.testing.assert_array_equal(found.sizes, [8, 2, 1, 1])
    assert found.labels.max() == 4
    assert found.labels[0, 4, 4] == 1
    assert found.labels[0, 0, 0] == found.labels[0, 1, 1] == 2
    assert (found.labels[0, 7] == 0).all()
    np.testing.assert_array_equal(np.bincount(found.labels.ravel())[1:], found.sizes)
    assert len(masks.instances(np.zeros((1, 4, 4), np.uint8)).sizes) == 0


def pair(shift=2):
    truth = np.zeros((1, 30, 30), np.uint8)
    truth[0, 5:20, 5:20] = 1
    truth[0, 8:15, 8:15] = 2
    return truth, np.roll(truth, shift, axis=2)


def test_a_tally_is_small_and_gives_the_figures():
    truth, answer = pair()
    cases = [masks.tally(CELLS, Findings("a", mask=answer), Findings("a", mask=truth), (1.0, 1.0, 0.5)) for _ in range(5)]
    figures = masks.metrics(CELLS, cases, np.arange(5))
    dice = 2 * ((truth == 2) & (answer == 2)).sum() / ((truth == 2).sum() + (answer == 2).sum())
    assert figures["dice_nucleus"].value == pytest.approx(dice)
    assert figures["hd95_mm_nucleus"].value == pytest.approx(1.0)
    assert figures["surface_dice"].value == 1
    assert masks.merit(cases[0]) == pytest.approx(figures["dice"].value)
    assert cases[0].confusion.sum() == truth.size


def test_sizes_and_diameters_stand_beside_their_truth():
    truth, answer = pair(0)
    answer[0, 8:15, 8:11] = 1
    short = [masks.tally(CELLS, Findings("a", mask=answer), Findings("a", mask=truth), (1.0, 0.5, 0.5)) for _ in range(5)]
    none = masks.tally(CELLS, Findings("a", mask=np.minimum(truth, 1)), Findings("a", mask=truth), (1.0, 0.5, 0.5))
    pixels = masks.tally(CELLS, Findings("a", mask=answer), Findings("a", mask=truth), None)
    figures = masks.metrics(CELLS, [*short, none, pixels], np.arange(7))
    long, less = np.hypot(7, 6), np.hypot(7, 3)
    assert figures["diameter_error_mm_nucleus"].value == pytest.approx((long - less) / 2, abs=0.1)
    assert figures["diameter_error_mm_cytoplasm"].value == 0
    assert "1 of 6 cases" in figures["diameter_error_mm_nucleus"].reason
    assert figures["diameter_error_px_nucleus"].value == pytest.approx(long - less, abs=0.2)
    told = {(each.name, each.unit): each for each in masks.compared(CELLS, [*short, none, pixels])}
    areas = told["nucleus area", "mm2"]
    np.testing.assert_allclose(areas.truth, [49 / 4] * 5)
    np.testing.assert_allclose(areas.found, [28 / 4] * 5)
    assert len(told["cytoplasm longest diameter", "mm"].truth) == 6
    assert set(told) >= {("nucleus longest diameter", "px"), ("cytoplasm area", "px2")}
    hidden = truth.copy()
    hidden[0, :, 12:] = 255
    assert masks.tally(CELLS, Findings("a", mask=truth), Findings("a", mask=hidden), None).found.size[1] == 28


def test_without_an_answer_nothing_was_found_and_without_truth_nothing_is_judged():
    truth, answer = pair()
    assert masks.merit(masks.tally(CELLS, Findings("a"), Findings("a", mask=truth), None)) == 0
    with pytest.raises(ValueError, match="true mask"):
        masks.tally(CELLS, Findings("a", mask=answer), Findings("a"), None)


def test_the_answer_is_filled_and_the_truth_a_contour():
    truth, answer = pair(8)
    rgb = np.full((30, 30, 3), 100, np.uint8)
    plain, drawn = masks.overlay(rgb, answer[0]), masks.overlay(rgb, answer[0], truth[0])
    assert (rgb == 100).all()
    orange, blue = masks.colour(0), masks.colour(1)
    np.testing.assert_array_equal(plain[answer[0] == 0], 100)
    inside = plain[answer[0] == 1]
    assert (inside == inside[0]).all()
    assert np.abs(inside[0].astype(int) - orange).max() < np.abs(np.full(3, 100) - orange).max()
    assert tuple(drawn[5, 10]) == orange
    assert tuple(drawn[8, 10]) == blue
    assert tuple(drawn[2, 2]) == (100, 100, 100)
    assert (drawn != plain).any(axis=-1).sum() < 0.4 * truth.size


def test_unknown_voxels_are_not_drawn():
    rgb = np.full((4, 4, 3), 100, np.uint8)
    mask = np.full((4, 4), UNKNOWN, np.uint8)
    np.testing.assert_array_equal(masks.overlay(rgb, mask, mask), rgb)


def test_the_slice_with_most_of_the_truth_is_shown():
    truth, answer = np.zeros((5, 9, 9), np.uint8), np.zeros((5, 9, 9), np.uint8)
    truth[3, :4], truth[4] = 1, UNKNOWN
    answer[1, :6] = 1
    assert masks.slice_of(Findings("a", mask=answer), Findings("a", mask=truth)) == 3
    assert masks.slice_of(Findings("a", mask=answer), Findings("a", mask=0 * truth)) == 1
    assert masks.slice_of(Findings("a", mask=answer)) == 1


def test_colours_differ_in_brightness_or_in_blue_against_yellow():
    """People who do not tell red from green see these two differences."""
    seen = [(0.299 * r + 0.587 * g + 0.114 * b, b - (r + g) / 2) for r, g, b in map(masks.colour, range(7))]
    for first in range(7):
        for second in range(first):
            assert np.abs(np.subtract(seen[first], seen[second])).max() > 20
    assert masks.colour(7) == masks.colour(0)
