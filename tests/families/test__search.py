from __future__ import annotations

import numpy as np
import pytest

from medloop.families import _search, classical
from medloop.families._heads import Spec
from medloop.types import TargetKind

LABELS = np.arange(60) % 2


class Watch:
    """A clock that goes on by a second whenever it is looked at."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        self.now += 1.0
        return self.now


def _timed(make_job, seconds, **parameters):
    watch = Watch()
    job = make_job(TargetKind.BINARY, LABELS, seconds=seconds, clock=watch, trials=12, estimators=["logistic"], **parameters)
    fitted = classical.fit(job)
    return fitted, watch.now - job.deadline


def test_more_time_more_trials_and_the_deadline_is_kept(make_job):
    few, late = _timed(make_job, 50)
    many, later = _timed(make_job, 100)
    assert 1 <= len(few.trials) < len(many.trials) <= 12
    assert late <= 0
    assert later <= 0


def test_a_deadline_that_has_passed_still_gives_a_model(make_job):
    fitted, _ = _timed(make_job, -5)
    assert [trial["state"] for trial in fitted.trials] == ["complete"]


def test_the_deadline_is_kept_because_trials_are_refused(make_job, monkeypatch):
    monkeypatch.setattr(_search.Search, "_unaffordable", lambda self, spec: False)
    monkeypatch.setattr(_search.Search, "_used_up", lambda self: False)
    monkeypatch.setattr(_search.Search, "_late", lambda self, seconds: False)
    _, late = _timed(make_job, 50)
    assert late > 0


def test_no_deadline_ends_all_the_same(make_job):
    fitted = classical.fit(make_job(TargetKind.BINARY, LABELS, seconds=float("inf"), estimators=["logistic"], trials=5))
    assert len(fitted.trials) == 5


def test_each_trial_is_recorded_and_one_of_them_is_chosen(make_job):
    fitted = classical.fit(make_job(TargetKind.BINARY, LABELS, trials=8, estimators=["logistic", "rbf-svm"]))
    complete = [trial for trial in fitted.trials if trial["state"] == "complete"]
    assert [trial["trial"] for trial in fitted.trials] == list(range(8))
    for trial in complete:
        assert trial["score"] == pytest.approx(np.mean(trial["fold_scores"]))
        assert trial["seconds"] > 0
    head = fitted.recipe.parameters["heads"][0]
    assert (head["estimator"], head["params"]) in [(trial["estimator"], trial["params"]) for trial in complete]


def test_the_search_is_the_same_with_the_same_seed(make_job):
    job = make_job(TargetKind.BINARY, LABELS, trials=8, estimators=["logistic", "rbf-svm"])
    first, second = classical.fit(job), classical.fit(job)
    told = [[{k: v for k, v in trial.items() if k != "seconds"} for trial in each.trials] for each in (first, second)]
    assert told[0] == told[1]


def test_what_a_fit_costs_is_learnt():
    costs = _search.Costs()
    spec = Spec((0,), "extra-trees", {"trees": 200})
    costs.learn(spec, 1000, 50, 1, 2.0)
    assert costs.expected(spec, 1000, 50, 1) == pytest.approx(2.6)
    assert costs.expected(spec, 10_000, 50, 1) > 20
    assert costs.expected(Spec((0,), "extra-trees", {"trees": 100}), 1000, 50, 1) < 2.6


def test_too_wide_a_feature_is_left_out(make_job, monkeypatch):
    monkeypatch.setattr(_search, "WIDEST", 80)
    pair = [{"name": "hog"}, {"name": "intensity", "params": {"regions": 2}}]
    job = make_job(TargetKind.BINARY, LABELS, trials=4, estimators=["logistic"], features=pair)
    fitted = classical.fit(job)
    assert [each["name"] for each in fitted.recipe.parameters["features"]] == ["intensity"]
