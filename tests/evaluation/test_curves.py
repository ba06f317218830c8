"""Curves and tables."""

import numpy as np
import pytest
from sklearn import metrics

from medloop.evaluation import curves


def _cases(count=200):
    draw = np.random.default_rng(0)
    truth = draw.random(count) < 0.4
    return truth, np.round(draw.normal(truth.astype(float), 1), 1)


def test_roc_is_scikit_learns_and_its_band_holds_it():
    truth, scores = _cases()
    line = curves.roc(truth, scores, np.arange(200))
    x, y, _ = metrics.roc_curve(truth, scores, drop_intermediate=False)
    assert line.x == pytest.approx(x)
    assert line.y == pytest.approx(y)
    inside = np.interp(line.band.x, line.x, line.y)
    assert np.mean((line.band.low - 1e-9 <= inside) & (inside <= line.band.high + 1e-9)) > 0.95


def test_precision_recall_is_scikit_learns():
    truth, scores = _cases()
    line = curves.precision_recall(truth, scores, np.arange(200))
    precision, recall, _ = metrics.precision_recall_curve(truth, scores)
    assert line.x[::-1] == pytest.approx(recall[:-1])
    assert line.y[::-1] == pytest.approx(precision[:-1])


def test_few_patients_have_no_band():
    truth, scores = _cases()
    assert curves.roc(truth, scores, np.arange(200) % 3).band is None


def test_reliability_covers_all_cases():
    truth, scores = _cases()
    bins = curves.reliability(truth, 1 / (1 + np.exp(-scores)), np.arange(200))
    assert sum(each.cases for each in bins) == 200
    assert all(each.seen.low <= each.seen.value <= each.seen.high for each in bins)
    assert [each.predicted for each in bins] == sorted(each.predicted for each in bins)


def test_confusion_is_scikit_learns():
    draw = np.random.default_rng(0)
    values, choices = draw.integers(0, 3, 50), draw.integers(0, 3, 50)
    assert (curves.confusion(values, choices, 4)[:3, :3] == metrics.confusion_matrix(values, choices)).all()


def test_risk_coverage_counts_ties_together():
    line = curves.risk_coverage(np.array([0.9, 0.9, 0.8, 0.5]), np.array([False, True, False, True]))
    assert line.x.tolist() == [0.5, 0.75, 1.0]
    assert line.y.tolist() == pytest.approx([0.5, 1 / 3, 0.5])
