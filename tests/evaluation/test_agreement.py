"""Agreement of measurements against textbook formulas."""

import numpy as np
import pytest

from medloop.evaluation import agreement


def measured(count=40, bias=1.5, noise=2.0):
    draw = np.random.default_rng(0)
    truth = draw.uniform(5, 60, count)
    return truth, truth + bias + draw.normal(0, noise, count)


def icc_by_anova(first, second):
    """McGraw and Wong (1996), ICC(A,1), by the two-way table of variances."""
    table = np.stack([first, second], axis=1)
    count, raters = table.shape
    grand = table.mean()
    rows = raters * ((table.mean(axis=1) - grand) ** 2).sum() / (count - 1)
    columns = count * ((table.mean(axis=0) - grand) ** 2).sum() / (raters - 1)
    rest = ((table - table.mean(axis=1, keepdims=True) - table.mean(axis=0) + grand) ** 2).sum() / ((count - 1) * (raters - 1))
    return (rows - rest) / (rows + (raters - 1) * rest + raters / count * (columns - rest))


def test_figures_are_those_of_the_papers():
    truth, found = measured()
    difference = found - truth
    figures = agreement.agree(truth, found, np.arange(len(truth)))
    assert figures["mae"].value == pytest.approx(np.abs(difference).mean())
    assert figures["bias"].value == pytest.approx(difference.mean())
    assert figures["limit_low"].value == pytest.approx(difference.mean() - 1.96 * difference.std(ddof=1))
    assert figures["limit_high"].value == pytest.approx(difference.mean() + 1.96 * difference.std(ddof=1))
    assert figures["icc"].value == pytest.approx(icc_by_anova(truth, found))
    for metric in figures.values():
        assert metric.low < metric.value < metric.high


def test_the_interval_of_the_bias_is_about_that_of_bland_and_altman():
    truth, found = measured(count=200)
    bias = agreement.agree(truth, found, np.arange(200))["bias"]
    expected = 1.96 * (found - truth).std(ddof=1) / np.sqrt(200)
    assert (bias.high - bias.low) / 2 == pytest.approx(expected, rel=0.15)


def test_a_bias_lowers_the_intraclass_correlation_and_not_the_usual_one():
    truth, _ = measured()
    figures = agreement.agree(truth, truth + 10, np.arange(len(truth)))
    assert np.corrcoef(truth, truth + 10)[0, 1] == pytest.approx(1)
    assert figures["icc"].value < 0.9
    assert agreement.agree(truth, truth, np.arange(len(truth)))["icc"].value == pytest.approx(1)


def test_unknown_values_are_left_out():
    truth, found = measured()
    whole = agreement.bland_altman(truth, found, np.arange(40))
    truth, found = np.r_[truth, np.nan, 3.0], np.r_[found, 4.0, np.nan]
    part = agreement.bland_altman(truth, found, np.arange(42))
    np.testing.assert_array_equal(part.difference, whole.difference)
    np.testing.assert_array_equal(part.mean, whole.mean)
    assert part.bias == whole.bias
    assert agreement.agree(np.full(6, np.nan), found[:6], np.arange(6))["mae"].value is None


def test_names_carry_units():
    values = np.stack(measured(count=8), axis=1)
    found = agreement.score(("longest diameter", "elongation"), ("mm", ""), (values, values + 1), np.arange(8))
    assert {"mae_longest_diameter_mm", "icc_longest_diameter", "bias_elongation"} < set(found)


def test_errors_of_classes_leave_out_what_only_one_has():
    truth = np.array([[10.0, np.nan], [12.0, 5.0], [14.0, np.nan]] * 3)
    found = np.array([[11.0, np.nan], [9.0, 6.0], [np.nan, np.nan]] * 3)
    figures = agreement.errors("diameter_error", "mm", ("tumour", "cyst"), (truth, found), np.arange(9))
    assert figures["diameter_error_mm_tumour"].value == pytest.approx(2)
    assert figures["diameter_error_mm_cyst"].value == pytest.approx(1)
    assert figures["diameter_error_mm"].value == pytest.approx(1.5)
    assert "3 of 9 cases" in figures["diameter_error_mm_tumour"].reason
    assert "without" not in (figures["diameter_error_mm_cyst"].reason or "")


def test_the_check_of_intervals_sees_patients_taken_for_cases():
    """Ten readings of each of twenty patients are not two hundred cases."""
    truth, found = measured(count=20)
    truth, found = np.repeat(truth, 10), np.repeat(found, 10)
    honest = agreement.agree(truth, found, np.repeat(np.arange(20), 10))["bias"]
    broken = agreement.agree(truth, found, np.arange(200))["bias"]
    assert honest.high - honest.low > 2 * (broken.high - broken.low)
