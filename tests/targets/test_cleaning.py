"""Cleaning: learnt on scores, never worse than none on them, the same after JSON, equal to trying every setting."""

import itertools
import json

import numpy as np
import pytest
from scipy import ndimage

from medloop.evaluation import overlap
from medloop.targets import _cleaning, masks
from medloop.targets.masks import Cleaning
from medloop.types import UNKNOWN


def dice(truth, mask):
    return 2 * ((truth == 1) & (mask == 1)).sum() / ((truth == 1).sum() + (mask == 1).sum())


def lesions(count=8, timid=2.0, specks=0.0, seed=0):
    """Scores of one class that are ``timid``: too low by so many units of log odds, with false ``specks``."""
    draw, cases = np.random.default_rng(seed), []
    for _ in range(count):
        truth = (ndimage.gaussian_filter(draw.normal(size=(3, 40, 40)), (1, 4, 4)) > 0.06).astype(np.uint8)
        logit = 4 * ndimage.gaussian_filter(truth * 2.0 - 1, (0, 1, 1)) + draw.normal(0, 0.5, truth.shape) - timid
        logit[draw.random(truth.shape) < specks] = 6
        chance = (1 / (1 + np.exp(-logit))).astype(np.float32)
        cases.append((np.stack([1 - chance, chance]), truth))
    return cases


def cells(count=8, seed=0):
    """Three classes whose scores are shifted against each other."""
    draw, cases = np.random.default_rng(seed), []
    row, column = np.mgrid[:48, :48]
    for _ in range(count):
        away = np.hypot(row - 24 + draw.normal(0, 2), column - 24 + draw.normal(0, 2))
        truth = np.select([away < 8, away < 17], [2, 1], 0).astype(np.uint8)[None]
        logits = ndimage.gaussian_filter(np.moveaxis(np.eye(3)[truth], -1, 0), (0, 0, 2, 2)) * 6
        logits += draw.normal(0, 0.8, logits.shape) + np.array([1.5, 0, -1]).reshape(3, 1, 1, 1)
        chances = np.exp(logits) / np.exp(logits).sum(axis=0)
        cases.append((masks.quantised(chances.astype(np.float32)), truth))
    return cases


def test_plain_cleaning_is_decoding():
    scores, _ = cells(1)[0]
    np.testing.assert_array_equal(masks.clean(scores, Cleaning.plain(2)), masks.decode(scores))


def test_a_threshold_is_that_of_the_probability():
    for scores, _ in lesions(3):
        np.testing.assert_array_equal(masks.clean(scores, Cleaning((0.3,), (0,))), scores[1] > 0.3)


def test_the_threshold_learnt_is_the_best_of_all():
    cases = lesions()
    learnt = masks.learn_cleaning(cases)
    tried = {t: np.mean([dice(truth, scores[1] > t) for scores, truth in cases]) for t in np.arange(0.0025, 1, 0.005)}
    assert learnt.thresholds[0] < 0.4
    assert learnt.after == pytest.approx(max(tried.values()), abs=0.002)
    assert learnt.before == pytest.approx(np.mean([dice(truth, masks.decode(scores)) for scores, truth in cases]))
    assert learnt.after > learnt.before + 0.05


def test_what_is_learnt_helps_on_cases_it_has_not_seen():
    learnt = masks.learn_cleaning(lesions(specks=0.01))
    fresh = lesions(seed=5, specks=0.01)
    plain = np.mean([dice(truth, masks.decode(scores)) for scores, truth in fresh])
    clean = np.mean([dice(truth, masks.clean(scores, learnt)) for scores, truth in fresh])
    assert learnt.smallest[0] > 1
    assert clean > plain + 0.1


def test_several_classes_are_weighed_against_each_other():
    cases = cells()
    learnt = masks.learn_cleaning(cases)
    assert learnt.after > learnt.before + 0.02
    grid = np.arange(0.05, 1, 0.05)
    tried = []
    for pair in itertools.product(grid, grid):
        matrices = [overlap.confusion(truth, masks.clean(scores, Cleaning(pair, (0, 0))), 2) for scores, truth in cases]
        tried.append(np.mean([overlap.dice(each) for each in matrices]))
    assert learnt.after > max(tried) - 0.005


def test_removed_parts_go_to_the_strongest_of_the_others():
    scores = np.zeros((3, 1, 9, 9), np.float32)
    scores[0] = 0.4
    scores[1, 0, 2:7, 2:7] = 0.6
    scores[2, 0, 4, 4] = 0.7
    scores[2, 0, 0, 0] = 0.7
    mask = masks.clean(scores, Cleaning((0.5, 0.5), (0, 2)))
    assert mask[0, 4, 4] == 1
    assert mask[0, 0, 0] == 0
    assert masks.clean(scores, Cleaning.plain(2))[0, 4, 4] == 2
    assert (masks.clean(scores, Cleaning((0.5, 0.5), (26, 0)))[0, 2:4] == 0).all()


def test_whole_numbers_do_as_well_as_fractions():
    cases = lesions()
    fine = masks.learn_cleaning(cases)
    coarse = masks.learn_cleaning([(masks.quantised(scores), truth) for scores, truth in cases])
    assert coarse.after == pytest.approx(fine.after, abs=0.003)


def test_good_scores_are_left_alone():
    learnt = masks.learn_cleaning(lesions(timid=0.0))
    assert learnt.thresholds[0] == pytest.approx(0.5, abs=0.1)
    assert learnt.after >= learnt.before
    assert learnt.after - learnt.before < 0.01


def test_unknown_voxels_teach_nothing():
    cases = lesions(4)
    spoilt = [(scores.copy(), truth.copy()) for scores, truth in cases]
    for scores, truth in spoilt:
        truth[:, :6] = UNKNOWN
        scores[0, :, :6], scores[1, :, :6] = 0, 1
    half = [(scores[:, :, 6:], truth[:, 6:]) for scores, truth in cases]
    assert masks.learn_cleaning(spoilt).thresholds == masks.learn_cleaning(half).thresholds


def test_classes_that_are_never_there_and_no_cases_at_all():
    scores, truth = cells(1)[0]
    assert masks.learn_cleaning([(scores, 0 * truth)]).smallest == (0, 0)
    assert masks.learn_cleaning([]) == Cleaning((), ())
    with pytest.raises(ValueError, match="iterated anew"):
        masks.learn_cleaning(iter([(scores, truth)]))


def test_json_both_ways():
    learnt = masks.learn_cleaning(lesions(2))
    assert Cleaning.from_json(json.loads(json.dumps(learnt.to_json()))) == learnt


def test_cases_pass_by_one_at_a_time():
    held = []

    class Stream:
        def __iter__(self):
            for scores, truth in lesions(5):
                held.append(1)
                yield scores, truth
                held.pop()

    assert masks.learn_cleaning(Stream()) == masks.learn_cleaning(lesions(5))
    assert len(held) <= 1


def test_the_check_of_the_threshold_sees_one_that_is_guessed(monkeypatch):
    monkeypatch.setattr(_cleaning, "_best", lambda means, settings, now: now)
    with pytest.raises(AssertionError):
        test_the_threshold_learnt_is_the_best_of_all()


def test_a_volume_is_learnt_from_and_cleaned_in_slabs(monkeypatch):
    cases = lesions(3, specks=0.01)
    whole = masks.learn_cleaning(cases)
    monkeypatch.setattr(_cleaning, "_BLOCK", 1)
    assert masks.learn_cleaning(cases) == whole
