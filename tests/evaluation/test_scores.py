"""Figures against scikit-learn and against plain loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics

from medloop.evaluation import intervals, scores, weighted
from medloop.types import Target, TargetKind

BINARY = Target(TargetKind.BINARY, ("normal", "pneumonia"))
FOUR = Target(TargetKind.MULTICLASS, ("a", "b", "c", "d"))
LABELS = Target(TargetKind.MULTILABEL, ("mass", "nodule", "effusion"))
NUMBER = Target(TargetKind.NUMBER, name="age", unit="years")


def _binary(seed=0, count=120):
    draw = np.random.default_rng(seed)
    values = (draw.random(count) < 0.4).astype(np.int64)
    positive = np.round(np.clip(draw.normal(0.35 + 0.3 * values, 0.2), 0, 1), 2)
    return values, np.stack([1 - positive, positive], axis=1), (positive >= 0.5).astype(np.int64), np.arange(count)


def test_binary_figures_are_those_of_scikit_learn():
    values, chances, chosen, patients = _binary()
    found = scores.score(BINARY, values, chances, chosen, patients)
    expected = {
        "auc": metrics.roc_auc_score(values, chances[:, 1]),
        "average_precision": metrics.average_precision_score(values, chances[:, 1]),
        "accuracy": metrics.accuracy_score(values, chosen),
        "balanced_accuracy": metrics.balanced_accuracy_score(values, chosen),
        "sensitivity": metrics.recall_score(values, chosen),
        "specificity": metrics.recall_score(values, chosen, pos_label=0),
        "f1": metrics.f1_score(values, chosen, average="macro"),
        "kappa": metrics.cohen_kappa_score(values, chosen),
        "brier": metrics.brier_score_loss(values, chances[:, 1]),
        "log_loss": metrics.log_loss(values, chances[:, 1]),
    }
    assert {name: found[name].value for name in expected} == pytest.approx(expected, abs=1e-12)
    for metric in found.values():
        assert metric.low <= metric.value <= metric.high
        assert metric.reason is None


def test_multi_class_figures_are_those_of_scikit_learn():
    draw = np.random.default_rng(1)
    values = draw.choice(4, 200, p=[0.5, 0.25, 0.15, 0.1])
    chances = draw.dirichlet(np.ones(4), 200) * 0.6 + 0.4 * np.eye(4)[values]
    chosen = chances.argmax(axis=1)
    found = scores.score(FOUR, values, chances, chosen, np.arange(200))
    onehot = np.eye(4)[values]
    assert found["auc"].value == pytest.approx(metrics.roc_auc_score(values, chances, multi_class="ovr"), abs=1e-12)
    assert found["auc_c"].value == pytest.approx(metrics.roc_auc_score(values == 2, chances[:, 2]), abs=1e-12)
    assert found["average_precision"].value == pytest.approx(metrics.average_precision_score(onehot, chances), abs=1e-12)
    assert found["kappa"].value == pytest.approx(metrics.cohen_kappa_score(values, chosen), abs=1e-12)
    assert found["f1"].value == pytest.approx(metrics.f1_score(values, chosen, average="macro"), abs=1e-12)
    assert found["sensitivity_d"].value == pytest.approx(metrics.recall_score(values == 3, chosen == 3), abs=1e-12)
    assert found["specificity_d"].value == pytest.approx(metrics.recall_score(values != 3, chosen != 3), abs=1e-12)
    assert found["brier"].value == pytest.approx(((chances - onehot) ** 2).sum() / 200, abs=1e-12)
    assert found["log_loss"].value == pytest.approx(metrics.log_loss(values, chances), abs=1e-9)


def test_unknown_labels_are_left_out_of_multi_label_figures():
    draw = np.random.default_rng(2)
    values = (draw.random((150, 3)) < 0.3).astype(np.float32)
    chances = np.clip(draw.random((150, 3)) * 0.7 + 0.3 * values, 0, 1)
    values[draw.random((150, 3)) < 0.2] = np.nan
    found = scores.score(LABELS, values, chances, chances > 0.5, np.arange(150))
    known = [np.isfinite(values[:, k]) for k in range(3)]
    aucs = [metrics.roc_auc_score(values[keep, k], chances[keep, k]) for k, keep in enumerate(known)]
    f1s = [metrics.f1_score(values[keep, k], chances[keep, k] > 0.5) for k, keep in enumerate(known)]
    assert found["auc"].value == pytest.approx(np.mean(aucs), abs=1e-12)
    assert found["auc_nodule"].value == pytest.approx(aucs[1], abs=1e-12)
    assert found["f1"].value == pytest.approx(np.mean(f1s), abs=1e-12)


def test_numbers():
    draw = np.random.default_rng(3)
    truth = np.round(draw.normal(50, 12, 90))
    predicted = np.round(truth + draw.normal(2, 5, 90))
    found = scores.score(NUMBER, truth, predicted[:, None], None, np.arange(90))
    difference = predicted - truth
    expected = {
        "mae": metrics.mean_absolute_error(truth, predicted),
        "rmse": metrics.root_mean_squared_error(truth, predicted),
        "r2": metrics.r2_score(truth, predicted),
        "pearson": stats.pearsonr(truth, predicted).statistic,
        "spearman": stats.spearmanr(truth, predicted).statistic,
        "bias": difference.mean(),
        "limit_low": difference.mean() - 1.96 * difference.std(ddof=1),
        "limit_high": difference.mean() + 1.96 * difference.std(ddof=1),
    }
    assert {name: found[name].value for name in expected} == pytest.approx(expected, abs=1e-10)


def test_weights_are_repeated_cases():
    """Every weighted statistic with weights 0, 1, 2, ... equals the plain one on cases repeated as often."""
    values, chances, chosen, _ = _binary(4, 60)
    positive, truth = chances[:, 1], values == 1
    counts = np.random.default_rng(5).integers(0, 4, (60, 3)).astype(np.float64)
    plain = {
        "auc": (weighted.auc(truth, positive), lambda i: metrics.roc_auc_score(values[i], positive[i])),
        "ap": (weighted.average_precision(truth, positive), lambda i: metrics.average_precision_score(values[i], positive[i])),
        "kappa": (
            weighted.from_confusion(values, chosen, 2, weighted.kappa),
            lambda i: metrics.cohen_kappa_score(values[i], chosen[i]),
        ),
        "spearman": (weighted.spearman(values, positive), lambda i: stats.spearmanr(values[i], positive[i]).statistic),
        "pearson": (weighted.pearson(values, positive), lambda i: stats.pearsonr(values[i], positive[i]).statistic),
        "r2": (weighted.r2(values, positive), lambda i: metrics.r2_score(values[i], positive[i])),
        "limit": (
            weighted.limit_of_agreement(positive - values, 1),
            lambda i: np.mean((positive - values)[i]) + 1.96 * np.std((positive - values)[i], ddof=1),
        ),
    }
    for name, (statistic, loop) in plain.items():
        expected = [loop(np.repeat(np.arange(60), counts[:, r].astype(int))) for r in range(3)]
        assert statistic(counts) == pytest.approx(expected, abs=1e-10), name


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=1, max_size=40))
@settings(max_examples=200, deadline=None)
def test_auc_is_the_share_of_pairs_in_order(cases):
    truth, positive = np.array([yes for yes, _ in cases]), np.array([s for _, s in cases], dtype=float)
    pairs = [float(a > b) + 0.5 * float(a == b) for a in positive[truth] for b in positive[~truth]]
    expected = float(np.mean(pairs)) if pairs else None
    assert intervals.point(weighted.auc(truth, positive), len(cases)) == (expected if expected is None else pytest.approx(expected))


def test_calibration_error_by_loop():
    values, chances, _, _ = _binary(6, 200)
    positive = chances[:, 1]
    numbers = weighted.equal_mass_bins(positive)
    assert len(np.unique(numbers)) <= 15
    for probability in np.unique(positive):
        assert len(np.unique(numbers[positive == probability])) == 1
    expected = sum(
        abs(values[numbers == b].mean() - positive[numbers == b].mean()) * np.mean(numbers == b) for b in np.unique(numbers)
    )
    assert intervals.point(weighted.calibration_error(values == 1, positive), 200) == pytest.approx(expected, abs=1e-12)


def test_equal_mass_bins_are_of_equal_size():
    sizes = np.bincount(weighted.equal_mass_bins(np.random.default_rng(0).random(1500)))
    assert sizes.tolist() == [100] * 15


def test_one_class_only_has_no_auc_and_says_why():
    found = scores.score(BINARY, np.ones(20, int), np.tile([0.3, 0.7], (20, 1)), np.ones(20, int), np.arange(20))
    assert found["auc"].value is None
    assert found["auc"].reason == "only one class has cases here"
    assert found["specificity"].value is None
    assert found["accuracy"].value == 1.0
    assert found["sensitivity"].low == pytest.approx(0.025 ** (1 / 20))


def test_an_absent_class_is_left_out_of_the_mean_and_named():
    draw = np.random.default_rng(7)
    values = draw.integers(0, 3, 60)
    chances = draw.dirichlet(np.ones(4), 60)
    found = scores.score(FOUR, values, chances, chances.argmax(axis=1), np.arange(60))
    assert found["auc_d"].value is None
    assert found["auc_d"].reason == "no case here is 'd'"
    assert found["auc"].value == pytest.approx(np.mean([found[f"auc_{name}"].value for name in "abc"]))
    assert found["auc"].reason.endswith(": d")


def test_fewer_than_five_patients_give_no_interval_and_say_why():
    values, chances, chosen, _ = _binary(8, 40)
    found = scores.score(BINARY, values, chances, chosen, np.arange(40) % 4)
    for metric in found.values():
        assert metric.low is None
        assert metric.high is None
        assert "fewer than 5 patients" in metric.reason


def test_perfect_separation_is_not_certainty():
    values = np.repeat([0, 1], [30, 10])
    chances = np.stack([1 - values, values], axis=1).astype(float)
    found = scores.score(BINARY, values, chances, values, np.arange(40))
    assert found["auc"].value == 1.0
    assert found["auc"].low == pytest.approx(0.025 ** (1 / 10))
    assert found["accuracy"].low == pytest.approx(0.025 ** (1 / 40))


def test_constant_numbers_have_no_correlation():
    found = scores.score(NUMBER, np.full(12, 3.0), np.linspace(1, 4, 12)[:, None], None, np.arange(12))
    assert found["pearson"].value is None
    assert found["r2"].value is None
    assert found["mae"].low is not None


def test_the_seed_decides_the_interval():
    values, chances, chosen, patients = _binary()
    first, again, other = (scores.score(BINARY, values, chances, chosen, patients, seed)["auc"] for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_no_cases_at_all():
    empty = np.zeros(0, dtype=np.int64)
    found = scores.score(BINARY, empty, np.zeros((0, 2)), empty, empty)
    assert all(metric.value is None and metric.reason for metric in found.values())


def test_one_figure_alone_is_the_same_figure():
    values, chances, chosen, patients = _binary()
    assert scores.score_one(BINARY, "auc", values, chances) == scores.score(BINARY, values, chances, chosen, patients)["auc"].value
    draw = np.random.default_rng(11)
    known = np.where(draw.random((80, 3)) < 0.2, np.nan, draw.random((80, 3)) < 0.4)
    likely = draw.random((80, 3))
    every = scores.score(LABELS, known, likely, likely > 0.5, np.arange(80))
    assert scores.score_one(LABELS, "auc", known, likely) == every["auc"].value
    truth, predicted = draw.normal(size=30), draw.normal(size=(30, 1))
    assert (
        scores.score_one(NUMBER, "r2", truth, predicted) == scores.score(NUMBER, truth, predicted, None, np.arange(30))["r2"].value
    )
    assert scores.score_one(BINARY, "auc", np.ones(4, int), np.full((4, 2), 0.5)) is None
