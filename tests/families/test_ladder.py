from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from medloop import families
from medloop.errors import InputError, Refused
from medloop.evaluation import calibration
from medloop.families import _averaged, _choice, _mixing, _rungs, classical, ladder
from medloop.families._rungs import Climbed, Rung
from medloop.types import TargetKind

HALF = np.arange(120) % 2
HARD = np.clip(0.5 + 0.25 * (HALF - 0.5) + np.random.default_rng(0).normal(0, 0.15, 120), 0, 1)
"""Where the square lies: it tells the classes apart, but not surely."""
HOG = {"features": [{"name": "hog", "params": {"grids": [3]}}], "estimators": ["logistic"], "trials": 1}
GREY = {"features": [{"name": "intensity", "params": {"regions": 3}}], "estimators": ["extra-trees"], "trials": 1}


def two(**more):
    """A ladder of generation 1 on gradients, then on brightness."""
    rungs = [{"family": "classical", "parameters": HOG}, {"family": "classical", "parameters": GREY}]
    return {"rungs": rungs, "features": None, "trials": None} | more


@pytest.fixture
def climb(make_job):
    """A function that makes a job for the ladder."""

    def make(kind=TargetKind.BINARY, values=HALF, **parameters):
        job = make_job(kind, values, **({"where": HARD} | parameters))
        kept = {key: value for key, value in (two() | dict(parameters)).items() if key in ladder.WANTED and value is not None}
        return dataclasses.replace(job, recipe=dataclasses.replace(job.recipe, family="ladder", parameters=kept))

    return make


def noisy(seed, strength, fold_seed=0, n=200):
    """Scores of a rung that knows so much of `n` cases, with their folds."""
    draw = np.random.default_rng(seed)
    values = np.arange(n) % 2
    return values, strength * (values - 0.5)[:, None] + draw.normal(size=(n, 1)), np.arange(n) // 2 % 5


def test_every_rung_has_its_row_and_one_is_chosen(climb):
    job = climb()
    fitted = ladder.fit(job)
    assert [row["family"] for row in fitted.ladder[:2]] == ["classical", "classical"]
    assert sum(row["chosen"] for row in fitted.ladder) == 1
    assert all(row["reason"] for row in fitted.ladder)
    assert json.loads(json.dumps(fitted.ladder)) == list(fitted.ladder)
    for row in fitted.ladder:
        assert row["validation"]["low"] <= row["validation"]["value"] <= row["validation"]["high"]
        assert row["size_mb"] > 0
        assert row["seconds"] >= 0
    assert {trial["rung"] for trial in fitted.trials} == {"classical"}
    assert len(fitted.trials) == 2
    assert fitted.cheapest.model.family == "classical"


def test_the_executed_recipe_of_one_rung_is_that_family_s_own(climb, tmp_path):
    job = climb(rungs=[{"family": "classical", "parameters": HOG}])
    fitted = ladder.fit(job)
    assert fitted.recipe.family == "classical"
    again = classical.fit(dataclasses.replace(job, recipe=fitted.recipe))
    same(families.save(fitted.model, tmp_path / "a"), families.save(again.model, tmp_path / "b"))


def same(one, two):
    assert sorted(path.name for path in one.iterdir()) == sorted(path.name for path in two.iterdir())
    for path in one.iterdir():
        assert path.read_bytes() == (two / path.name).read_bytes(), path.name


KINDS = {
    "two classes": (TargetKind.BINARY, HALF, HALF),
    "three classes": (TargetKind.MULTICLASS, np.arange(120) % 3, np.arange(120) % 3 / 2),
    "labels": (TargetKind.MULTILABEL, np.stack([HALF, 1.0 - HALF], axis=1), HALF),
    "a number": (TargetKind.NUMBER, 100 + 7.0 * HALF, HALF),
}


@pytest.mark.parametrize("what", KINDS)
def test_an_average_is_a_model_like_any_other(climb, what, tmp_path):
    kind, values, where = KINDS[what]
    members = [
        {"family": "classical", "parameters": HOG | {"estimators": None}},
        {"family": "classical", "parameters": GREY, "weight": 0.5},
    ]
    for member in members:
        member["parameters"] = {key: value for key, value in member["parameters"].items() if key != "estimators"}
    job = climb(kind, values, where=where, classes=3 if kind is TargetKind.MULTICLASS else 2, members=members, rungs=None)
    fitted = ladder.fit(job)
    assert fitted.model.family == "ladder"
    assert len(fitted.recipe.parameters["members"]) == 2
    folder = families.save(fitted.model, tmp_path / "a")
    answer = fitted.model.predict(job.arrays, [3, 50, 1])
    np.testing.assert_array_equal(families.load(folder).predict(job.arrays, [3, 50, 1]).probabilities, answer.probabilities)
    again = ladder.fit(dataclasses.replace(job, recipe=fitted.recipe, deadline=job.clock()))
    same(folder, families.save(again.model, tmp_path / "b"))
    assert again.recipe == fitted.recipe
    held = fitted.out_of_fold
    np.testing.assert_allclose(calibration.apply(fitted.model.calibrator, held.raw), held.probabilities)
    if kind is TargetKind.BINARY:
        assert roc_auc_score(values, held.raw[:, 0]) > 0.9
    if kind is TargetKind.NUMBER:
        assert np.corrcoef(values, held.raw[:, 0])[0, 1] > 0.8
        assert 95 < held.raw.mean() < 112


def climbed(job, name, strength, seed):
    """A rung as if climbed, whose out-of-fold scores know so much."""
    values, raw, fold = noisy(seed, strength)
    del values
    out = families.OutOfFold(job.train, fold, raw, raw)
    fitted = families.Fitted(None, out, (), job.recipe, {})
    return Climbed(Rung(name, {}), 1.0, "", fitted, _rungs.qualities(job, raw, fold))


@pytest.fixture
def judged(make_job):
    """Which of made-up rungs are chosen: a function of ``(strength, seed)`` pairs, simple first."""
    return lambda *strengths: [each.rung.name for each in mixed(make_job, *strengths).climbed]


def mixed(make_job, *strengths):
    job = make_job(TargetKind.BINARY, np.arange(200) % 2)
    return _mixing.chosen(job, [climbed(job, f"rung-{n}", *each) for n, each in enumerate(strengths)])[0]


def test_the_clearly_better_is_taken_however_dear(judged):
    assert "rung-1" in judged((0.5, 0), (5.0, 1))
    assert judged((0.0, 0), (9.0, 1)) == ["rung-1"]


def test_of_equals_the_simpler_is_taken(judged):
    assert judged((3.0, 0), (3.0, 0), (3.0, 0)) == ["rung-0"]


def test_different_kinds_that_are_equally_good_are_averaged(judged):
    assert judged((2.0, 0), (2.0, 1)) == ["rung-0", "rung-1"]


def test_what_is_weaker_counts_less(make_job, monkeypatch):
    """Counted as much as the better rung it would spoil the average; counted less it helps."""
    assert mixed(make_job, (2.0, 0), (2.0, 1)).weights == (1.0, 1.0)
    assert mixed(make_job, (3.0, 0), (1.4, 1)).weights in {(1.0, 1 / 2), (1.0, 1 / 3)}
    monkeypatch.setattr(_mixing, "WEIGHTS", (1.0,))
    assert mixed(make_job, (3.0, 0), (1.4, 1)).weights == (1.0,)


def test_an_average_that_saves_less_than_its_error_is_not_taken(judged, monkeypatch):
    """Beside a strong rung a hopeless one is of no use; were errors not heeded, it would sometimes come in by luck."""

    def taken():
        return sum(len(judged((3.0, seed), (0.05, seed + 50))) - 1 for seed in range(8))

    kept = taken()
    monkeypatch.setattr(_mixing._quality, "gain", lambda costs, less, groups: (1.0, 0.0))
    assert kept <= 1 < taken()


def test_without_the_rule_luck_would_choose(judged, monkeypatch):
    """Twenty pairs of rungs that are equally good, one of them a slightly disturbed copy: the rule keeps the simpler one."""

    def dear(choose):
        return sum("rung-1" in choose((1.5, seed), (1.5 + 0.02, seed)) for seed in range(8))

    kept = dear(judged)
    monkeypatch.setattr(_mixing, "beats", lambda scores, others: bool(np.mean(scores) >= np.mean(others)))
    assert kept < dear(judged)


def test_a_rung_that_fails_is_left_out_by_name(climb, monkeypatch):
    honest = classical.fit

    def fails(job):
        if job.recipe.parameters["features"] == GREY["features"]:
            raise InputError("no-weights", got="The weights are not here.", allowed="-", fix="Name a file.")
        return honest(job)

    monkeypatch.setattr(classical, "fit", fails)
    fitted = ladder.fit(climb())
    assert fitted.ladder[0]["chosen"]
    assert "The weights are not here. Name a file." in fitted.ladder[1]["reason"]
    assert not fitted.ladder[1]["chosen"]
    assert fitted.ladder[1]["validation"] is None


def test_where_no_rung_can_be_climbed_the_first_reason_is_told(climb):
    with pytest.raises(Refused, match="'b' has 1"):
        ladder.fit(climb(values=np.array([0] * 119 + [1])))


def test_what_cannot_end_in_time_is_not_begun(climb, monkeypatch):
    monkeypatch.setattr(classical, "least_seconds", lambda job: 500.0 * (job.recipe.parameters["features"] == GREY["features"]))
    fitted = ladder.fit(climb(seconds=100.0))
    assert "at least 500 s" in fitted.ladder[1]["reason"]
    assert len(fitted.trials) == 1


def test_a_rung_that_gets_all_that_is_left_is_asked_what_it_needs(make_job, monkeypatch):
    """Its share of the time was too little to ask; what is left when it comes to it is more, and still not enough."""
    monkeypatch.setattr(classical, "least_seconds", lambda job: 500.0 * (job.recipe.parameters["trials"] == 3))
    job = make_job(TargetKind.BINARY, HALF, clock=lambda: 0.0, seconds=40.0)
    plan = _rungs._Plan(job, [Rung("classical", {"trials": 2}, 0.7), Rung("classical", {"trials": 3}, 0.3, 20.0)])
    assert plan.against(1) == "Too little time: it takes at least 500 s, and 40 s were left for it."


@pytest.fixture
def given(make_job, monkeypatch):
    """What three rungs are given of 100 s, of shares 1, 1 and 2, where the last takes so many seconds at the very least."""

    def shares(least, **last):
        found = []

        def fit(job):
            found.append(round(job.deadline - job.clock()))
            raise InputError("stop", got="", allowed="", fix="")

        monkeypatch.setattr(classical, "fit", fit)
        monkeypatch.setattr(classical, "least_seconds", lambda job: least if job.recipe.parameters["trials"] == 3 else 0.0)
        job = make_job(TargetKind.BINARY, HALF, clock=lambda: 0.0, seconds=100.0)
        rungs = [Rung("classical", {"trials": 1}, 1.0), Rung("classical", {"trials": 2}, 1.0)]
        with pytest.raises(InputError):
            _rungs.climb(job, [*rungs, Rung("classical", {"trials": 3}, 2.0, **last)])
        return found

    return shares


def test_what_a_rung_cannot_use_goes_to_the_others(given):
    """Made-up rungs take no time: each has its share of all of it among those that may still fit."""
    assert given(40.0) == [25, 33, 100]
    assert given(60.0) == [50, 33, 100], "the third cannot fit into half of the time, but into two thirds"
    assert given(80.0) == [50, 100, 100]


def test_a_rung_is_given_as_much_as_makes_it_worth_while(given):
    """Time for one epoch of many is no time for a network: what it would take is better spent on the rungs before it."""
    assert given(20.0, times=3.0) == given(60.0)
    assert given(20.0, times=3.0) != given(20.0)


def test_climbing_ends_where_nothing_is_left_to_gain(climb):
    fitted = ladder.fit(climb(noise=0.0, where=HALF))
    assert fitted.ladder[0]["chosen"]
    if fitted.ladder[0]["validation"]["value"] == 1.0:
        assert "Not worth it" in fitted.ladder[1]["reason"]


def test_a_network_far_behind_is_not_trained_further(make_job):
    job = make_job(TargetKind.BINARY, np.arange(200) % 2)
    first, second = climbed(job, "classical", 3.0, 0), climbed(job, "transfer", 0.1, 1)
    networks = dataclasses.replace(second, rung=Rung("transfer", {"how": "frozen"}))
    assert "transfer (frozen), from which it starts" in _rungs._not_worth_it([first, networks])
    assert _rungs._not_worth_it([first, second]) == "", "generation 1 says nothing of networks"
    assert _rungs._not_worth_it([networks, first]) == ""


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"rungs": []}, "rungs"),
        ({"rungs": [{"family": "ladder"}]}, "none a ladder"),
        ({"rungs": [{"family": "clasical"}]}, "classical"),
        ({"members": [{"family": "classical", "parameters": {"foldz": 3}}]}, "folds"),
        ({"members": [{"family": "classical", "weight": 0}]}, "weight"),
        ({"members": [{"family": "classical", "share": 0.3}]}, "weight"),
        ({"rungs": [{"family": "classical", "share": 0}]}, "share"),
        ({"folds": 1}, "2 or more"),
        ({"rung": []}, "rungs"),
    ],
)
def test_a_recipe_that_cannot_be_followed_is_refused(parameters, says):
    with pytest.raises(InputError) as caught:
        ladder.check(parameters)
    assert says in f"{caught.value.got} {caught.value.allowed} {caught.value.fix}"


def test_units_matter_in_an_average():
    """A member whose scores are a thousand times as large must not drown the other."""
    values, raw, _ = noisy(0, 3.0)
    _, other, _ = noisy(1, 3.0)
    target = families.FitJob  # any target but a number is scaled
    del target
    from medloop.types import Target

    binary = Target(TargetKind.BINARY, ("a", "b"))
    one, two = (_averaged.averaged_raw(binary, raws, [1, 1]) for raws in ([raw, other], [1000 * raw, other]))
    np.testing.assert_allclose(one, two)
    np.testing.assert_allclose(one, raw / raw.std() / 2 + other / other.std() / 2)
    np.testing.assert_allclose(
        _averaged.averaged_raw(binary, [raw, other], [3, 1]), raw / raw.std() * 0.75 + other / other.std() / 4
    )
    assert roc_auc_score(values, _choice.averaged([1000 * raw, other])[:, 0]) < roc_auc_score(values, two[:, 0])
