from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from sklearn.svm import SVC

from medloop.families import _estimators
from medloop.families._estimators import Task, fit
from medloop.families._scorers import Growing, Kernel, rbf
from medloop.types import TargetKind


def _unit(count, width=12, seed=0):
    rows = np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)
    return rows / np.sqrt(width).astype(np.float32)


def test_the_kernel_machine_is_scikit_learns():
    rows = _unit(150)
    labels = (rows[:, 0] + rows[:, 1] ** 2 > 0.1).astype(int)
    found = fit("rbf-svm", Task({"C": 2.0, "gamma": 0.7, "balanced": False}, TargetKind.BINARY, rows, labels, 2))
    expected = SVC(C=2.0, gamma=0.7).fit(rows, labels).decision_function(rows)
    np.testing.assert_allclose(found.raw(rows)[:, 0], expected, atol=1e-3)


def test_the_kernel_is_exact_where_it_matters():
    rows = _unit(30)
    exact = np.exp(-0.5 * ((rows[:, None].astype(float) - rows[None].astype(float)) ** 2).sum(-1))
    np.testing.assert_allclose(rbf(rows, rows, 0.5), exact, atol=1e-6)


@pytest.mark.parametrize("kind", [TargetKind.BINARY, TargetKind.NUMBER])
def test_landmarks_learn_a_ring_that_no_line_can(monkeypatch, kind):
    monkeypatch.setattr(_estimators, "KERNEL_ROWS", 100)
    monkeypatch.setattr(_estimators, "LANDMARKS", 80)
    rows = np.random.default_rng(0).normal(size=(600, 2)).astype(np.float32)
    inside = ((rows**2).sum(1) < 1.4).astype(int)
    task = Task({"C": 10.0, "gamma": 0.5}, kind, rows[:400], inside[:400], 2)
    found = fit("rbf-svm", task)
    assert isinstance(found, Kernel)
    assert len(found.vectors) == 80
    assert roc_auc_score(inside[400:], found.raw(rows[400:])[:, 0]) > 0.97


@pytest.mark.parametrize("name", ["logistic", "linear-svm", "rbf-svm", "extra-trees", "random-forest"])
def test_weights_meet_a_rare_class(name):
    draw = np.random.default_rng(1)
    labels = (draw.random(500) < 0.06).astype(int)
    rows = (_unit(500, 6) + 0.25 * labels[:, None]).astype(np.float32)
    even, uneven = (
        fit(name, Task({"balanced": each, "leaf": 15}, TargetKind.BINARY, rows[:350], labels[:350], 2)) for each in (True, False)
    )
    cut = [balanced_accuracy_score(labels[350:], each.raw(rows[350:])[:, 0] > 0) for each in (even, uneven)]
    assert cut[0] > cut[1] + 0.02


@pytest.mark.parametrize("name", ["extra-trees", "random-forest", "boosting"])
@pytest.mark.parametrize("kind", [TargetKind.BINARY, TargetKind.MULTICLASS, TargetKind.MULTILABEL, TargetKind.NUMBER])
def test_trees_are_the_same_in_onnx(name, kind):
    rows, fresh = _unit(200), _unit(300, seed=1)
    target = np.digitize(rows[:, 0], [-0.2, 0.2])
    values = {
        TargetKind.BINARY: (target > 0).astype(int),
        TargetKind.MULTICLASS: target,
        TargetKind.MULTILABEL: np.stack([target > 0, np.zeros(200)], 1).astype(float),
        TargetKind.NUMBER: rows[:, 0].astype(float),
    }[kind]
    classes = {TargetKind.MULTICLASS: 3, TargetKind.NUMBER: 1}.get(kind, 2)
    grown = fit(name, Task({"trees": 20, "steps": 20}, kind, rows, values, classes))
    assert isinstance(grown, Growing)
    trees = grown.finished(rows)
    np.testing.assert_allclose(trees.raw(fresh), grown.raw(fresh), atol=1e-4)
    if kind is TargetKind.MULTILABEL:
        assert np.ptp(trees.raw(fresh)[:, 1]) == 0, "a class without a case is one answer for all"


def test_trees_on_the_very_thresholds_are_the_same_in_onnx():
    rows = np.random.default_rng(0).integers(0, 4, (300, 3)).astype(np.float32) / 3
    values = (rows.sum(1) > 1.5).astype(int)
    grown = fit("random-forest", Task({"trees": 10, "leaf": 1}, TargetKind.BINARY, rows, values, 2))
    grid = np.concatenate([rows, np.nextafter(rows, np.float32(2)), rows + np.float32(1 / 6)])
    for model in grown.models[0].estimators_:
        edges = model.tree_.threshold[model.tree_.feature >= 0].astype(np.float32)
        grid = np.concatenate([grid, np.repeat(edges[:, None], 3, axis=1)])
    np.testing.assert_allclose(grown.finished(rows).raw(grid), grown.raw(grid), atol=1e-4)


def test_the_check_at_the_end_sees_trees_that_differ(monkeypatch):
    rows = _unit(100)
    grown = fit("extra-trees", Task({"trees": 5}, TargetKind.BINARY, rows, (rows[:, 0] > 0).astype(int), 2))
    monkeypatch.setattr("medloop.families._trees.round_down", lambda threshold: (threshold + 0.1).astype(np.float32))
    with pytest.raises(RuntimeError, match="differ"):
        grown.finished(rows)


def test_a_class_that_a_fold_does_not_have():
    rows = _unit(60)
    values = np.where(rows[:, 0] > 0, 2, 0)
    for name in ("logistic", "linear-svm", "rbf-svm", "extra-trees", "boosting"):
        raw = fit(name, Task({}, TargetKind.MULTICLASS, rows, values, 3)).raw(rows)
        assert raw.shape == (60, 3)
        assert set(raw.argmax(axis=1)) == {0, 2}
