"""Intervals hold what they promise, and would not if patients were forgotten."""

import numpy as np
import pytest
from scipy import stats

from medloop.evaluation import intervals, weighted

TRUE_SHARE = 0.8
AGREE = 0.9


def _clustered(draw, patients=40, each=6):
    """Cases of one patient are right or wrong together nine times in ten; the true share right is 0.8."""
    of_patient = draw.random(patients) < TRUE_SHARE
    own = draw.random((patients, each)) < TRUE_SHARE
    shared = draw.random((patients, each)) < AGREE
    return np.where(shared, of_patient[:, None], own).ravel(), np.repeat(np.arange(patients), each)


def _coverage(interval, rounds=120):
    draw = np.random.default_rng(0)
    inside = 0
    for _ in range(rounds):
        metric = interval(*_clustered(draw))
        inside += metric.low <= TRUE_SHARE <= metric.high
    return inside / rounds


def _by_bootstrap(right, patients):
    return intervals.bootstrap({"share": weighted.mean(right)}, patients, seed=0)["share"]


def test_clopper_pearson_is_scipys():
    right = np.r_[np.ones(17, bool), np.zeros(3, bool)]
    found = intervals.proportion(right, np.arange(20))
    expected = stats.binomtest(17, 20).proportion_ci()
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_intervals_cover_the_truth_where_patients_have_several_cases():
    assert _coverage(_by_bootstrap) >= 0.88
    assert _coverage(intervals.proportion) >= 0.92


def test_resampling_cases_instead_of_patients_fails_the_coverage_check(monkeypatch):
    whole = intervals.weights
    monkeypatch.setattr(intervals, "weights", lambda patients, seed, rounds=1000: whole(np.arange(len(patients)), seed, rounds))
    monkeypatch.setattr(intervals, "effective_cases", lambda right, patients: float(len(right)))
    assert _coverage(_by_bootstrap) < 0.75
    assert _coverage(intervals.proportion) < 0.75


def test_auc_interval_covers_the_truth():
    draw = np.random.default_rng(1)
    truth = np.repeat([True, False], 40)
    expected = stats.norm.cdf(1 / np.sqrt(2))
    inside = 0
    for _ in range(100):
        found = intervals.bootstrap({"auc": weighted.auc(truth, draw.normal(truth.astype(float), 1))}, np.arange(80), seed=0)["auc"]
        inside += found.low <= expected <= found.high
    assert inside >= 88


def test_patients_are_drawn_whole():
    patients = np.array([7, 7, 7, 3, 3, 9])
    block = next(intervals.weights(patients, seed=0, rounds=50))
    assert block.shape == (6, 50)
    assert (block[0] == block[1]).all()
    assert (block[3] == block[4]).all()
    assert (block[[0, 3, 5]].sum(axis=0) == 3).all()


def test_blocks_do_not_change_the_draw_count(monkeypatch):
    monkeypatch.setattr(intervals, "_BLOCK", 60)
    blocks = list(intervals.weights(np.arange(20), seed=0, rounds=10))
    assert [block.shape[1] for block in blocks] == [3, 3, 3, 1]


def test_effective_cases():
    right = np.tile([True, False], 20)
    assert intervals.effective_cases(right, np.arange(40)) == 40
    copies = np.repeat(np.arange(20), 2)
    together = np.repeat(np.tile([True, False], 10), 2)
    assert intervals.effective_cases(together, copies) == pytest.approx(20, rel=0.15)
    assert intervals.effective_cases(np.ones(40, bool), copies) == 20


def test_a_class_of_one_patient_has_no_interval():
    truth = np.arange(30) == 4
    found = intervals.bootstrap({"auc": weighted.auc(truth, np.linspace(0, 1, 30))}, np.arange(30), seed=0)["auc"]
    assert found.value is not None
    assert found.low is None
    assert found.reason == intervals.RARE
