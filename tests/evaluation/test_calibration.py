"""Probabilities that can be taken at their word."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special
from sklearn.linear_model import LogisticRegression

from medloop.evaluation import calibration, intervals, weighted
from medloop.evaluation.calibration import Calibrator
from medloop.types import Target, TargetKind

BINARY = Target(TargetKind.BINARY, ("no", "yes"))
THREE = Target(TargetKind.MULTICLASS, ("a", "b", "c"))
LABELS = Target(TargetKind.MULTILABEL, ("x", "y"))


def _binary(count=2000, seed=0, shape=lambda logit: logit):
    draw = np.random.default_rng(seed)
    logit = draw.normal(0.5, 2, count)
    return shape(logit), (draw.random(count) < special.expit(logit)).astype(np.int64)


def _three(count=1500, seed=0, sharp=3.0):
    draw = np.random.default_rng(seed)
    logits = draw.normal(0, 1.5, (count, 3))
    chances = special.softmax(logits, axis=1)
    return sharp * logits, np.array([draw.choice(3, p=row) for row in chances])


def _ece(positive, values):
    return intervals.point(weighted.calibration_error(values == 1, positive), len(values))


def test_calibrated_scores_are_left_alone():
    scores, values = _binary()
    assert calibration.fit(BINARY, scores, values, np.arange(2000)).methods == ("identity",)


def test_overconfident_margins_are_mended_by_platt():
    scores, values = _binary(shape=lambda logit: 4 * logit + 3)
    found = calibration.fit(BINARY, scores, values, np.arange(2000))
    assert found.methods == ("platt",)
    fresh, truth = _binary(seed=1, shape=lambda logit: 4 * logit + 3)
    before, after = special.expit(fresh), calibration.apply(found, fresh)[:, 1]
    assert _ece(after, truth) < 0.04 < _ece(before, truth)


def test_platt_is_unpenalised_logistic_regression_on_smoothed_targets():
    scores, values = _binary(400, shape=lambda logit: 3 * logit)
    ones, zeros = values.sum(), len(values) - values.sum()
    twice = np.repeat(scores, 2)[:, None]
    weight = np.where(values == 1, (ones + 1) / (ones + 2), 1 / (zeros + 2))
    peer = LogisticRegression(C=1e10, tol=1e-10, max_iter=1000).fit(
        twice, np.tile([1, 0], len(scores)), sample_weight=np.stack([weight, 1 - weight], axis=1).ravel()
    )
    curve = calibration._platt(scores, values == 1)
    assert (curve.slope, curve.offset) == pytest.approx((peer.coef_[0, 0], peer.intercept_[0]), abs=1e-3)


def test_a_bent_curve_needs_isotonic_and_keeps_the_order():
    bend = lambda logit: np.where(logit > 0.5, logit * 0.05 + 0.5, logit)  # noqa: E731
    scores, values = _binary(6000, shape=bend)
    found = calibration.fit(BINARY, scores, values, np.arange(6000))
    assert found.methods == ("isotonic",)
    positive = calibration.apply(found, scores)[:, 1]
    order = np.argsort(scores)
    assert (np.diff(positive[order])[np.diff(scores[order]) > 1e-9] > 0).all()


def test_temperature_is_found():
    scores, values = _three()
    found = calibration.fit(THREE, scores, values, np.arange(1500))
    assert found.methods == ("temperature",)
    assert found.temperature == pytest.approx(3.0, rel=0.15)


def test_shifted_classes_need_offsets():
    scores, values = _three()
    found = calibration.fit(THREE, scores + np.array([0.0, 6.0, -6.0]), values, np.arange(1500))
    assert found.methods == ("temperature and offsets",)
    chances = calibration.apply(found, scores + np.array([0.0, 6.0, -6.0]))
    assert chances.mean(axis=0) == pytest.approx(np.bincount(values) / 1500, abs=0.01)


def test_unknown_labels_do_not_enter():
    draw = np.random.default_rng(0)
    scores, first = _binary()
    values = np.stack([first, np.where(draw.random(2000) < 0.5, np.nan, first)], axis=1)
    found = calibration.fit(LABELS, np.stack([scores, 5 * scores], axis=1), values, np.arange(2000))
    assert found.methods == ("identity", "platt")
    chances = calibration.apply(found, np.stack([scores, 5 * scores], axis=1))
    assert np.abs(chances[:, 0] - chances[:, 1]).max() < 0.1


def test_two_columns_are_their_difference():
    scores, values = _binary(300)
    single = calibration.fit(BINARY, scores, values, np.arange(300))
    double = calibration.fit(BINARY, np.stack([-scores / 2, scores / 2], axis=1), values, np.arange(300))
    assert single == double
    column = calibration.apply(single, scores[:, None])
    assert column.sum(axis=1) == pytest.approx(np.ones(300))


@pytest.mark.parametrize("count", [0, 1, 3, 12])
def test_few_or_one_sided_cases_still_give_probabilities(count):
    scores = np.linspace(-1, 1, count)
    found = calibration.fit(BINARY, scores, np.ones(count, int), np.arange(count))
    positive = calibration.apply(found, np.array([-5.0, 0.0, 5.0]))[:, 1]
    assert ((positive > 0) & (positive < 1)).all()


@pytest.mark.parametrize("method", ["identity", "platt", "isotonic", "temperature"])
def test_json_both_ways(method):
    scores, values = _binary(500)
    three, classes = _three(500)
    made = {
        "identity": Calibrator("binary", ("identity",), (calibration.Curve(),)),
        "platt": Calibrator("binary", ("platt",), (calibration._platt(scores, values == 1),)),
        "isotonic": Calibrator("binary", ("isotonic",), (calibration._isotonic(scores, values == 1),)),
        "temperature": calibration.fit(THREE, three, classes, np.arange(500)),
    }[method]
    again = Calibrator.from_json(json.loads(json.dumps(made.to_json())))
    assert again == made
    given_scores = three if method == "temperature" else scores
    assert (calibration.apply(again, given_scores) == calibration.apply(made, given_scores)).all()


@given(st.integers(0, 10_000), st.integers(2, 60), st.floats(1e-3, 1e3))
@settings(max_examples=25, deadline=None)
def test_probabilities_always_sum_to_one_and_follow_the_scores(seed, count, scale):
    draw = np.random.default_rng(seed)
    scores, values = scale * draw.normal(size=(count, 3)), draw.integers(0, 3, count)
    chances = calibration.apply(calibration.fit(THREE, scores, values, np.arange(count)), scores)
    assert np.isfinite(chances).all()
    assert chances.sum(axis=1) == pytest.approx(np.ones(count))
    binary = calibration.fit(BINARY, scores[:, 0], values % 2, np.arange(count) // 2)
    positive = calibration.apply(binary, np.sort(scores[:, 0]))[:, 1]
    assert (np.diff(positive) >= -1e-12).all()


def test_groups_stay_in_one_fold_and_rare_classes_are_spread():
    groups = np.repeat(np.arange(50), 3)
    values = np.repeat((np.arange(50) < 10).astype(int), 3)
    fold = calibration._folds(values, groups, seed=3)
    assert all(len(np.unique(fold[groups == g])) == 1 for g in range(50))
    assert [int(values[fold == f].sum()) for f in range(5)] == [6] * 5


def test_choosing_on_fitted_scores_would_be_noticed(monkeypatch):
    """Copies of a case on both sides of a fold make isotonic look better than it is."""
    draw = np.random.default_rng(0)
    base = draw.normal(size=300)
    truth = (draw.random(300) < special.expit(base)).astype(int)
    scores, values, groups = np.repeat(base, 8), np.repeat(truth, 8), np.repeat(np.arange(300), 8)
    assert calibration.fit(BINARY, scores, values, groups).methods[0] != "isotonic"
    whole = calibration._folds
    monkeypatch.setattr(calibration, "_folds", lambda v, g, seed: whole(v, np.arange(len(v)), seed))
    assert calibration.fit(BINARY, scores, values, groups).methods[0] == "isotonic"
