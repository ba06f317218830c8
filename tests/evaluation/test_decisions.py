"""Thresholds, operating points, and promises about errors that are kept."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score

from medloop.evaluation import decisions
from medloop.evaluation.decisions import Decision
from medloop.types import Target, TargetKind

BINARY = Target(TargetKind.BINARY, ("no", "yes"))
THREE = Target(TargetKind.MULTICLASS, ("a", "b", "c"))
LABELS = Target(TargetKind.MULTILABEL, ("x", "y"))
NUMBER = Target(TargetKind.NUMBER)


def _binary(count=600, seed=0):
    draw = np.random.default_rng(seed)
    positive = draw.beta(0.6, 0.6, count)
    return (draw.random(count) < positive).astype(np.int64), np.stack([1 - positive, positive], axis=1)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 8)), min_size=2, max_size=40))
@settings(max_examples=150, deadline=None)
def test_the_plain_threshold_is_the_best_there_is(cases):
    truth, positive = np.array([yes for yes, _ in cases]), np.array([s for _, s in cases]) / 8
    if truth.all() or not truth.any():
        assert decisions.best_threshold(truth, positive, np.arange(len(cases)), rounds=0) == 0.5
        return

    def gain(cut):
        return np.mean(positive[truth] >= cut) + np.mean(positive[~truth] < cut)

    found = decisions.best_threshold(truth, positive, np.arange(len(cases)), rounds=0)
    assert gain(found) == pytest.approx(max(gain(cut) for cut in np.arange(-0.5, 10) / 8))


def test_the_steadied_threshold_is_nearly_the_best():
    values, chances = _binary(400)
    found = decisions.best_threshold(values == 1, chances[:, 1], np.arange(400))
    best = max(balanced_accuracy_score(values, chances[:, 1] >= cut) for cut in np.linspace(0, 1, 200))
    assert balanced_accuracy_score(values, chances[:, 1] >= found) >= best - 0.01
    assert found == decisions.best_threshold(values == 1, chances[:, 1], np.arange(400))


@pytest.mark.parametrize(("what", "least"), [("sensitivity", 0.95), ("specificity", 0.9)])
def test_operating_points_reach_what_they_name_and_give_no_more_away(what, least):
    values, chances = _binary(300)
    truth, positive = values == 1, chances[:, 1]
    point = decisions.operating_point(truth, positive, what, least)
    side = truth if what == "sensitivity" else ~truth

    def reached(cut):
        return np.mean((positive[side] >= cut) == (what == "sensitivity"))

    assert reached(point.threshold) >= least
    beyond = np.unique(positive[side])
    tighter = beyond[beyond > point.threshold].min() if what == "sensitivity" else beyond[beyond < point.threshold].max()
    assert reached(tighter) < least
    assert point.name == f"{what}_{int(100 * least)}"


def test_no_positive_case_gives_no_operating_point():
    point = decisions.operating_point(np.zeros(5, bool), np.linspace(0, 1, 5), "sensitivity", 0.95)
    assert point.threshold is None


def test_rare_classes_get_weight():
    draw = np.random.default_rng(0)
    values = draw.choice(3, 900, p=[0.8, 0.15, 0.05])
    likelihood = np.exp(draw.normal(size=(900, 3)) + 1.5 * np.eye(3)[values])
    chances = likelihood * np.array([0.8, 0.15, 0.05])
    chances /= chances.sum(axis=1, keepdims=True)
    found = decisions.choose(THREE, chances, values, np.arange(900))
    assert found.weights[2] > found.weights[1] > found.weights[0]
    weighted = decisions.decide(THREE, chances, found).choices
    assert balanced_accuracy_score(values, weighted) > balanced_accuracy_score(values, chances.argmax(axis=1)) + 0.05


def _broken_promises(rounds=150, risk=0.2, tail=0.1):
    """How often the true risk among accepted cases exceeds the bound: the wrong share at confidence c is ``1 - c``."""
    draw = np.random.default_rng(0)
    population = draw.beta(4, 1.5, 200_000)
    broken = 0
    for _ in range(rounds):
        confidence = draw.beta(4, 1.5, 150)
        mistakes = draw.random(150) > confidence
        below = decisions.bounded_threshold(confidence, mistakes, np.arange(150), risk, tail)
        if below is not None:
            broken += np.mean(1 - population[population >= below]) > risk
    return broken / rounds


def test_promises_about_errors_are_kept():
    assert _broken_promises() <= 0.1


def test_taking_the_observed_risk_for_the_bound_breaks_promises(monkeypatch):
    monkeypatch.setattr(decisions.intervals, "upper_bound", lambda share, size, tail: share)
    assert _broken_promises() > 0.2


def test_patients_with_many_cases_make_promises_harder():
    confidence = np.linspace(0.5, 1, 400)
    mistakes = np.zeros(400, bool)
    mistakes[[10, 60, 110, 160]] = True
    assert decisions.bounded_threshold(confidence, mistakes, np.arange(400), 0.05, 0.05) == 0.0
    few = decisions.bounded_threshold(confidence, mistakes, np.arange(400) // 20, 0.05, 0.05)
    assert few is None or few > 0.5


def test_a_sure_model_never_abstains_and_a_poor_one_promises_nothing():
    sure = decisions.abstention(np.full(500, 0.99), np.zeros(500, bool), np.arange(500))
    assert sure == (0.05, 0.0, 1.0)
    poor = decisions.abstention(np.linspace(0.5, 0.6, 500), np.arange(500) % 2 == 0, np.arange(500))
    assert poor == (None, None, 1.0)


def test_abstention_is_applied():
    values, chances = _binary(2000)
    decision = decisions.choose(BINARY, chances, values, np.arange(2000))
    decided = decisions.decide(BINARY, chances, decision)
    assert decision.risk is not None
    assert 1 - decided.abstain.mean() == pytest.approx(decision.coverage)
    assert decisions.wrong(values, decided)[~decided.abstain].mean() <= decision.risk
    assert f"at most {100 * decision.risk:.0f} %" in decision.promise
    assert decided.labels[0] in BINARY.classes


def test_multi_label_decisions_skip_unknown_labels():
    draw = np.random.default_rng(0)
    chances = draw.random((300, 2))
    values = (draw.random((300, 2)) < chances).astype(np.float32)
    values[:100, 1] = np.nan
    decision = decisions.choose(LABELS, chances, values, np.arange(300))
    decided = decisions.decide(LABELS, chances, decision)
    assert len(decision.thresholds) == 2
    assert decided.choices.shape == (300, 2)
    both = np.flatnonzero(decided.choices.all(axis=1))[0]
    assert decided.labels[both] == "x|y"
    unknown = decisions.wrong(values, decided)[:100]
    assert (unknown == ((values[:100, 0] == 1) != decided.choices[:100, 0])).all()


def test_numbers_are_told_as_they_are():
    decided = decisions.decide(
        NUMBER, np.array([[61.25], [7.0]]), decisions.choose(NUMBER, np.zeros((2, 1)), np.zeros(2), np.arange(2))
    )
    assert decided.labels == ("61.25", "7")
    assert decided.choices is None
    assert not decided.abstain.any()


def test_json_both_ways():
    values, chances = _binary(800)
    decision = decisions.choose(BINARY, chances, values, np.arange(800))
    assert Decision.from_json(json.loads(json.dumps(decision.to_json()))) == decision
