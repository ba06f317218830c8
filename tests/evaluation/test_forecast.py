import numpy as np
import pytest

from medloop.evaluation.forecast import Point, forecast


def _points(rng, labels, scatter):
    truth = [0.95 - 1.2 * each**-0.5 for each in labels]
    return [Point(each, value + scatter * float(rng.standard_normal()), scatter) for each, value in zip(labels, truth, strict=True)]


def test_a_power_law_is_found_again():
    found = forecast(_points(np.random.default_rng(0), (50, 100, 200, 400, 800), 1e-4), 1600)
    assert found.figure == pytest.approx(0.95 - 1.2 * 1600**-0.5, abs=0.01)
    assert found.best == pytest.approx(0.95, abs=0.03)
    assert found.low <= found.figure <= found.high


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    truth = 0.95 - 1.2 * 500**-0.5
    found = [forecast(_points(rng, (50, 100, 200, 400), 0.01), 500) for _ in range(150)]
    assert np.mean([each.low <= truth <= each.high for each in found]) > 0.88


def test_an_interval_without_the_figures_errors_would_not(monkeypatch):
    rng = np.random.default_rng(1)
    truth = 0.95 - 1.2 * 500**-0.5
    bare = [[Point(each.labels, each.figure, 1e-9) for each in _points(rng, (50, 100, 200, 400), 0.01)] for _ in range(150)]
    found = [forecast(each, 500) for each in bare]
    assert np.mean([each.low <= truth <= each.high for each in found]) < 0.6


def test_too_few_numbers_of_labels_show_no_curve():
    assert forecast([Point(50, 0.8), Point(100, 0.85), Point(100, 0.84)], 200) is None
    assert forecast([], 100) is None


def test_more_labels_are_never_said_to_harm_and_no_figure_is_above_one():
    falling = forecast([Point(50, 0.9, 0.01), Point(100, 0.88, 0.01), Point(200, 0.86, 0.01)], 300)
    assert falling.figure == pytest.approx(0.88, abs=0.015)
    rising = forecast([Point(50, 0.5, 0.01), Point(100, 0.8, 0.01), Point(200, 0.99, 0.01)], 10_000)
    assert rising.high <= 1.0
    assert rising.best <= 1.0
