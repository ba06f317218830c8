"""Paired comparison."""

import numpy as np
import pytest
from scipy import stats

from medloop.evaluation import comparison
from medloop.evaluation.comparison import Side
from medloop.types import Target, TargetKind

BINARY = Target(TargetKind.BINARY, ("no", "yes"))
THREE = Target(TargetKind.MULTICLASS, ("a", "b", "c"))
LABELS = Target(TargetKind.MULTILABEL, ("x", "y"))


def _side(values, noise, seed):
    positive = 1 / (1 + np.exp(-(2 * values - 1 + noise * np.random.default_rng(seed).normal(size=len(values)))))
    return Side(np.stack([1 - positive, positive], axis=1), (positive >= 0.5).astype(int))


def _values(count=300):
    return (np.random.default_rng(9).random(count) < 0.4).astype(int)


def _delong_by_loops(truth, first, second):
    def components(scores):
        pairs = (scores[truth][:, None] > scores[~truth]) + 0.5 * (scores[truth][:, None] == scores[~truth])
        return pairs.mean(axis=1), pairs.mean(axis=0)

    (one_a, zero_a), (one_b, zero_b) = components(first), components(second)
    variance = np.var(one_b - one_a, ddof=1) / truth.sum() + np.var(zero_b - zero_a, ddof=1) / (~truth).sum()
    return 2 * stats.norm.sf(abs(one_b.mean() - one_a.mean()) / np.sqrt(variance))


def test_delong_equals_its_definition():
    values = _values(120)
    first, second = (np.round(_side(values, 2, seed).probabilities[:, 1], 2) for seed in (0, 1))
    found = comparison.delong(values == 1, first, second, np.arange(120))
    assert found == pytest.approx(_delong_by_loops(values == 1, first, second), abs=1e-12)


def test_mcnemar_counts_disagreements_only():
    first, second = np.repeat([True, True, False, False], [50, 4, 14, 32]), np.repeat([True, False, True, False], [50, 4, 14, 32])
    assert comparison.mcnemar(first, second, np.arange(100)) == pytest.approx(stats.binomtest(4, 18).pvalue)


def test_copies_of_patients_do_not_make_a_difference_surer():
    values = _values(100)
    a, b = _side(values, 2.5, 0), _side(values, 2, 1)
    alone = comparison.paired(BINARY, a, b, values, np.arange(100))
    twice = [Side(np.repeat(side.probabilities, 8, axis=0), np.repeat(side.choices, 8)) for side in (a, b)]
    copied = comparison.paired(BINARY, *twice, np.repeat(values, 8), np.repeat(np.arange(100), 8))
    for one, many in zip(alone, copied, strict=True):
        assert many.difference == pytest.approx(one.difference)
        assert many.high - many.low == pytest.approx(one.high - one.low, rel=0.25)
        if one.p is not None:
            assert many.p == pytest.approx(one.p, abs=0.1)
    forgotten = comparison.paired(BINARY, *twice, np.repeat(values, 8), np.arange(800))
    assert forgotten[0].high - forgotten[0].low < 0.5 * (alone[0].high - alone[0].low)


def test_a_better_model_is_said_to_be_better():
    values = _values()
    rows = {
        row.metric: row for row in comparison.paired(BINARY, _side(values, 3, 0), _side(values, 0.5, 1), values, np.arange(300))
    }
    assert rows["auc"].says == rows["brier"].says == "b is better."
    assert rows["brier"].difference < 0
    assert rows["auc"].p < 0.001
    assert rows["auc"].test == "DeLong"
    assert rows["accuracy"].test == "McNemar"
    assert rows["auc"].low <= rows["auc"].difference <= rows["auc"].high


def test_a_model_against_itself_is_no_different():
    values = _values()
    side = _side(values, 1, 0)
    for row in comparison.paired(BINARY, side, side, values, np.arange(300)):
        assert row.difference == 0
        assert row.says == "No clear difference."
        assert row.p in (1.0, None)


def test_other_targets():
    draw = np.random.default_rng(0)
    values = draw.integers(0, 3, 90)
    sides = [Side(chances, chances.argmax(axis=1)) for chances in (draw.dirichlet(np.ones(3), 90) for _ in range(2))]
    assert {row.metric for row in comparison.paired(THREE, *sides, values, np.arange(90))} >= {"auc", "accuracy", "kappa", "brier"}
    known = np.where(draw.random((90, 2)) < 0.2, np.nan, draw.random((90, 2)) < 0.5)
    sides = [Side(chances, chances > 0.5) for chances in (draw.random((90, 2)) for _ in range(2))]
    assert {row.metric for row in comparison.paired(LABELS, *sides, known, np.arange(90))} >= {"auc", "accuracy", "brier"}
    truth = draw.normal(size=90)
    sides = [Side((truth + spread * draw.normal(size=90))[:, None], None) for spread in (1.0, 0.1)]
    rows = {row.metric: row.says for row in comparison.paired(Target(TargetKind.NUMBER), *sides, truth, np.arange(90))}
    assert rows == dict.fromkeys(("mae", "rmse", "r2"), "b is better.")


def test_few_patients():
    values = _values(40)
    rows = comparison.paired(BINARY, _side(values, 1, 0), _side(values, 1, 1), values, np.arange(40) % 3)
    assert all(row.low is None and row.says == "Too few patients to say." for row in rows)


def test_figures_of_cases_are_paired_where_both_runs_have_them():
    draw = np.random.default_rng(2)
    hard = draw.uniform(0.3, 0.9, 60)
    one = np.stack([hard, draw.uniform(2, 9, 60), np.full(60, np.nan)], axis=1)
    two = one + np.array([0.02, -1.0, 0.0]) + draw.normal(0, 0.01, (60, 3))
    two[:5, 0] = np.nan
    dice, far = comparison.paired_means(["dice", "hd95_mm", "dice_absent"], one, two, np.arange(60))
    assert dice.difference == pytest.approx(np.mean((two - one)[5:, 0]))
    assert dice.low < 0.02 < dice.high
    assert dice.high - dice.low < 0.02, "cases differ by far more than the runs do on one case"
    assert dice.says == far.says == "b is better."
