import numpy as np
import pytest

from medloop.evaluation import drift
from medloop.evaluation.drift import Check

NAMES = ("brightness", "sharpness")
PLACES = ("everywhere", "site: north", "scanner: A")


def _checks(rng, changed=0.0, place="scanner: A", size=60):
    """One run of the monitor: three places, everything drawn anew; at ``place`` things have changed by so much."""
    found = []
    for where in PLACES:
        by = changed if where == place else 0.0
        labels = [rng.choice(["a", "b", "c"], size, p=[0.6 - each, 0.3 + each, 0.1]) for each in (0.0, 0.5 * by)]
        sure = rng.beta(6, 2, size), rng.beta(6, 2 + 6 * by, size)
        agreed = rng.random(size) < 0.9, rng.random(size) < 0.9 - 0.5 * by
        found += [
            drift.of_labels(where, *map(list, labels)),
            drift.of_confidence(where, *sure),
            drift.of_shares("agreement", where, *agreed, "readers agree with"),
            drift.of_shares(
                "unlike", where, rng.random(size) < 0.05, rng.random(size) < 0.05 + 0.4 * by, "unlike the training data:"
            ),
        ]
    images = rng.normal(0, 1, (size, 4)), rng.normal(changed * 2, 1, (size, 4))
    return [*found, drift.of_images(place, *images, NAMES, 13)]


@pytest.fixture(scope="module")
def quiet_runs():
    rng = np.random.default_rng(0)
    return [_checks(rng) for _ in range(120)]


def test_where_nothing_changed_hardly_any_run_raises_an_alarm(quiet_runs):
    alarms = [any(each.alarm for each in drift.settle(run)) for run in quiet_runs]
    assert np.mean(alarms) <= 0.09  # 5 % promised; above 9 % of 120 runs would happen by luck once in 40


def test_without_holm_many_would(quiet_runs, monkeypatch):
    monkeypatch.setattr(drift, "holm", list)
    assert np.mean([any(each.alarm for each in drift.settle(run)) for run in quiet_runs]) > 0.2


def test_what_changed_is_named_and_where():
    found = drift.settle(_checks(np.random.default_rng(1), changed=0.8, size=120))
    alarms = [each for each in found if each.alarm]
    assert {each.where for each in alarms} == {"scanner: A"}
    assert {each.what for each in alarms} == {"images", "proposals", "confidence", "agreement", "unlike"}
    assert found[0].alarm
    told = {each.what: each.says for each in alarms}
    assert "brightness" in told["images"]
    assert "‘b’ is proposed for" in told["proposals"] or "‘a’ is proposed for" in told["proposals"]
    assert "instead of 9" in told["agreement"] or "instead of 8" in told["agreement"]


def test_a_change_too_small_to_matter_is_no_alarm():
    many = Check("proposals", "everywhere", 90_000, 90_000, 0.02, 1e-9, "")
    assert not drift.settle([many])[0].alarm


def test_too_few_rows_tell_nothing():
    rng = np.random.default_rng(2)
    assert drift.of_images("x", rng.random((9, 3)), rng.random((99, 3)), NAMES, 1) is None
    assert drift.of_labels("x", ["a"] * 99, ["b"] * 9) is None
    assert drift.of_confidence("x", rng.random(9), rng.random(99)) is None
    assert drift.of_shares("agreement", "x", np.ones(9, bool), np.ones(99, bool), "") is None


def test_holm_is_as_published():
    assert drift.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert drift.holm([]) == []


def test_rare_labels_are_put_together_and_one_label_is_no_change():
    rng = np.random.default_rng(3)
    names = [f"rare {number}" for number in range(12)]
    sides = [list(rng.choice(["common", *names], 200, p=[0.88, *[0.01] * 12])) for _ in range(2)]
    assert 0 < drift.of_labels("x", *sides).p <= 1
    assert drift.of_labels("x", ["a"] * 30, ["a"] * 30).p == 1.0
