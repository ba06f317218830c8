"""Overlap of masks against sets counted by hand."""

import numpy as np
import pytest

from medloop.evaluation import overlap
from medloop.types import UNKNOWN

CLASSES = ("cytoplasm", "nucleus")


def masks(seed=0, shape=(2, 9, 11)):
    draw = np.random.default_rng(seed)
    truth = draw.integers(0, 3, shape).astype(np.uint8)
    return truth, np.where(draw.random(shape) < 0.7, truth, draw.integers(0, 3, shape)).astype(np.uint8)


def by_sets(truth, answer, k):
    real, said = {*zip(*np.nonzero(truth == k), strict=True)}, {*zip(*np.nonzero(answer == k), strict=True)}
    return 2 * len(real & said) / (len(real) + len(said)), len(real & said) / len(real | said)


def test_figures_are_those_of_sets():
    truth, answer = masks()
    counts = overlap.confusion(truth, answer, 2)
    for k in (1, 2):
        dice, iou = by_sets(truth, answer, k)
        assert overlap.dice(counts)[k - 1] == pytest.approx(dice)
        assert overlap.iou(counts)[k - 1] == pytest.approx(iou)
    dice, iou = by_sets(truth > 0, answer > 0, 1)
    assert overlap.dice(overlap.joined(counts)) == pytest.approx(dice)
    assert overlap.iou(overlap.joined(counts)) == pytest.approx(iou)


def test_what_is_unknown_is_not_judged():
    truth, answer = masks()
    hidden = truth.copy()
    hidden[:, 4:] = UNKNOWN
    counts = overlap.confusion(hidden, answer, 2)
    np.testing.assert_array_equal(counts, overlap.confusion(truth[:, :4], answer[:, :4], 2))
    answer[:, :2] = UNKNOWN
    nothing = np.where(answer == UNKNOWN, 0, answer)
    np.testing.assert_array_equal(overlap.confusion(truth, answer, 2), overlap.confusion(truth, nothing, 2))


def test_absent_classes():
    truth, answer = np.zeros((1, 4, 4), np.uint8), np.zeros((1, 4, 4), np.uint8)
    assert np.isnan(overlap.dice(overlap.confusion(truth, answer, 2))).all()
    answer[0, 0, 0] = 1
    counts = overlap.confusion(truth, answer, 2)
    np.testing.assert_array_equal(overlap.dice(counts), [0, np.nan])
    np.testing.assert_array_equal(overlap.iou(counts), [0, np.nan])


def test_means_leave_out_cases_that_say_nothing_and_resample_patients():
    cells = np.array([[[50, 2, 0], [3, 20, 1], [0, 2, 9]], [[60, 0, 0], [5, 30, 0], [0, 0, 0]]])
    confusions = np.concatenate([cells] * 5)
    found = overlap.score(CLASSES, confusions, np.arange(10))
    dice = overlap.dice(cells)
    assert np.isnan(dice[1, 1])
    assert found["dice_cytoplasm"].value == pytest.approx(dice[:, 0].mean())
    assert found["dice_nucleus"].value == pytest.approx(dice[0, 1])
    assert found["dice"].value == pytest.approx((dice[:, 0].mean() + dice[0, 1]) / 2)
    assert found["dice_cytoplasm"].low < found["dice_cytoplasm"].value < found["dice_cytoplasm"].high
    assert overlap.score(CLASSES, confusions, np.repeat([0, 1], 5))["dice"].reason.startswith("fewer than 5 patients")


def test_names_of_figures():
    counts = np.ones((5, 2, 2), np.int64)
    assert set(overlap.score(("lesion",), counts, np.arange(5))) == {"dice", "iou", "dice_lesion", "iou_lesion"}
    both = overlap.score(CLASSES, np.ones((5, 3, 3), np.int64), np.arange(5))
    assert {"dice_whole", "iou_whole"} < set(both)
    own = overlap.score(("whole", "part"), np.ones((5, 3, 3), np.int64), np.arange(5))
    assert own["dice_whole"].value == pytest.approx(1 / 3)


def test_a_class_that_no_case_has_is_told():
    counts = np.zeros((6, 3, 3), np.int64)
    counts[:, 1, 1] = 4
    found = overlap.score(CLASSES, counts, np.arange(6))
    assert found["dice_nucleus"].value is None
    assert "nucleus" in found["dice_nucleus"].reason
    assert found["dice"].value == 1


def test_the_check_sees_rows_taken_for_columns(monkeypatch):
    """Dice and IoU are symmetric, a joined matrix is not: the cell of what was missed is not that of what was wrong."""
    counts = np.array([[7, 2, 1], [5, 3, 0], [4, 1, 6]])
    expected = np.array([[7, 3], [9, 10]])
    np.testing.assert_array_equal(overlap.joined(counts), expected)
    honest = overlap.joined
    monkeypatch.setattr(overlap, "joined", lambda matrix: honest(matrix).swapaxes(-1, -2))
    with pytest.raises(AssertionError):
        np.testing.assert_array_equal(overlap.joined(counts), expected)


def test_two_answers_to_one_case_are_judged_by_the_same_classes():
    truth = np.array([0, 0, 1, 1])
    exact, missed = overlap.confusion(truth, truth, 2), overlap.confusion(truth, np.zeros(4, int), 2)
    one, two = overlap.rivals(exact, missed)
    assert (one[0], two[0]) == (1.0, 0.0)
    assert np.isnan(one[2])
    assert np.isnan(two[2])
    extra = overlap.confusion(truth, np.array([2, 0, 1, 1]), 2)  # what is not there is found: the other is right about it
    one, two = overlap.rivals(exact, extra)
    assert (one[0], two[0]) == (1.0, 0.5)
    assert two[1] == 1.0


def test_who_finds_something_where_nothing_is_loses_to_who_finds_nothing():
    nothing = np.zeros(4, int)
    clean, false = overlap.confusion(nothing, nothing, 1), overlap.confusion(nothing, np.array([1, 0, 0, 0]), 1)
    one, two = overlap.rivals(clean, false)
    assert (one[0], two[0]) == (1.0, 0.0)
    assert overlap.rivals(clean, clean)[0][0] == 1.0
