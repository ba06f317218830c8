import numpy as np
import pytest
from scipy import stats

from medloop.evaluation import gains, weighted
from medloop.types import Target, TargetKind

TWO = Target(TargetKind.BINARY, ("well", "sick"))
THREE = Target(TargetKind.MULTICLASS, ("a", "b", "c"))


def _scores(values, classes, sharpness, rng):
    return sharpness * np.eye(classes)[values] + rng.standard_normal((len(values), classes))


def test_the_figures_are_aucs_and_their_gain_is_what_lies_between():
    rng = np.random.default_rng(0)
    values = rng.integers(0, 3, 90)
    a, b = _scores(values, 3, 1, rng), _scores(values, 3, 2, rng).round(1)
    gain = gains.of_aucs(THREE, values, a, b, np.arange(90))
    for found, side in ((gain.a, a), (gain.b, b)):
        whole = weighted.macro([weighted.auc(values == k, side[:, k]) for k in range(3)])
        assert found == pytest.approx(float(whole(np.ones((90, 1)))[0]))
    assert gain.difference == pytest.approx(gain.b - gain.a)


@pytest.mark.parametrize("copies", [1, 4])
def test_the_variance_is_what_is_seen_among_many_test_sets(copies):
    """Three classes, both models alike in quality; with 4 near copies of each patient's case the truth scatters no less."""
    rng = np.random.default_rng(1)
    differences, variances = [], []
    for _ in range(400):
        values = np.repeat(rng.integers(0, 3, 80), copies)
        patients = np.repeat(np.arange(80), copies)
        common = np.repeat(rng.standard_normal((80, 3)), copies, axis=0)
        a, b = (
            1.5 * np.eye(3)[values] + common + np.repeat(rng.standard_normal((80, 3)), copies, axis=0)
            + 0.1 * rng.standard_normal((len(values), 3))
            for _ in range(2)
        )  # fmt: skip
        gain = gains.of_aucs(THREE, values, a, b, patients)
        differences.append(gain.difference)
        variances.append(gain.variance)
    assert np.mean(variances) == pytest.approx(np.var(differences), rel=0.2)


def test_classes_without_cases_are_left_out_and_none_at_all_is_no_gain():
    values = np.repeat([0, 1], 20)
    scores = np.random.default_rng(2).standard_normal((40, 3))
    assert gains.of_aucs(THREE, values, scores, scores, np.arange(40)).difference == 0
    assert gains.of_aucs(TWO, np.zeros(40, int), scores, scores, np.arange(40)) is None
    assert gains.of_means(np.zeros(0), np.zeros(0), np.zeros(0, int)) is None


def test_unknown_labels_are_left_out():
    target = Target(TargetKind.MULTILABEL, ("a", "b"))
    rng = np.random.default_rng(3)
    values = rng.integers(0, 2, (60, 2)).astype(float)
    values[:10, 1] = np.nan
    a, b = rng.random((60, 2)), rng.random((60, 2))
    one = gains.of_aucs(target, values, a, b, np.arange(60))
    b[:10, 1] = 0
    assert gains.of_aucs(target, values, a, b, np.arange(60)) == one


def test_the_gain_of_means_is_a_paired_t_test():
    rng = np.random.default_rng(4)
    a, b = rng.normal(0, 1, 30), rng.normal(0.3, 1, 30)
    gain = gains.of_means(a, b, np.arange(30))
    test = stats.ttest_rel(b, a)
    low, high = gain.between()
    assert (low, high) == pytest.approx(tuple(test.confidence_interval(0.95)))
    fewer = gains.of_means(a, b, np.arange(30), less_is_better=True)
    assert fewer.difference == -gain.difference


def test_where_nothing_scatters_the_number_of_patients_bounds_the_gain():
    few, many = (gains.of_means(np.zeros(count), np.full(count, 0.5), np.arange(count)).bound(0.025) for count in (5, 200))
    assert few < 0 < many < 0.5
    errors = gains.of_means(np.ones(20), np.zeros(20), np.arange(20), less_is_better=True)
    assert errors.bound(0.025) is None
    assert errors.between() is None
    assert gains.of_means(np.zeros(20), np.zeros(20), np.arange(20)).bound(0.025) == 0
