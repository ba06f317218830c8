"""Replaying the loop: what it says, and what the order of asking must not see."""

from __future__ import annotations

import numpy as np
import pytest

from medloop.errors import InputError
from medloop.families import _quick
from medloop.loop import simulate as simulating
from medloop.loop.simulate import needed, simulate, steps
from medloop.progress import QUIET
from medloop.requests import SimulateRequest
from medloop.types import Target, TargetKind
from medloop.workspace import Workspace
from tests.loop.command import Command

BINARY = Target(TargetKind.BINARY, ("well", "sick"))


def _study(seed=0, flip_test=False, classes=2):
    """Rows in which one direction tells the classes, with many easy cases and few near the border."""
    draw = np.random.default_rng(5)
    values = draw.integers(0, classes, 500)
    rows = draw.normal(0, 0.5, (500, 8))
    rows[:, 0] += 2.5 * values * (draw.random(500) < 0.85)
    test = np.arange(400, 500)
    if flip_test:
        values[test] = classes - 1 - values[test]
    target = BINARY if classes == 2 else Target(TargetKind.MULTICLASS, tuple("abc"))
    places = (rows / np.sqrt((rows**2).sum(axis=1).mean())).astype(np.float32)
    return simulating._Study(target, places, values, np.arange(400), test, seed)


def _asked(study, batches=(10, 20, 30, 45)):
    for count in batches:
        study.asked.go_to(count)
    return study.asked.known.tolist()


def test_the_order_of_asking_never_sees_the_test_split():
    one, other = _study(), _study(flip_test=True)
    assert _asked(one) == _asked(other)
    assert one.asked.points != other.asked.points, "the scores do"


def test_the_check_sees_an_order_that_peeps(monkeypatch):
    def peeping(learner, count):
        study = learner.study
        left = np.setdiff1d(np.arange(len(study.pool)), learner.known)
        return left[
            np.argsort(study.rows[left, 0] * study.values[study.test].mean(), kind="stable")[:count]
            if study.values[study.test[0]]
            else slice(0, count)
        ]

    monkeypatch.setattr(simulating._Learner, "_next", peeping)
    assert _asked(_study()) != _asked(_study(flip_test=True))


def test_the_same_seed_asks_the_same_and_another_differently():
    assert _asked(_study(1)) == _asked(_study(1))
    assert _asked(_study(1)) != _asked(_study(2))


@pytest.mark.parametrize("classes", [2, 3])
def test_nobody_is_told_a_label_twice_and_all_reach_the_goal(classes):
    study = _study(classes=classes)
    simulating._replayed([study], SimulateRequest(src="x"), QUIET)
    for learner in (study.asked, study.random):
        assert len(set(learner.known.tolist())) == len(learner.known)
        assert 0 < learner.needed() <= 1
        assert [count for count, _ in learner.points] == sorted({count for count, _ in learner.points})


def test_where_a_curve_reaches_its_goal():
    points = [(10, 0.5), (20, 0.9), (30, 0.7), (40, 0.8), (50, 0.9), (60, 0.95)]
    assert needed(points, 0.85, 100) == pytest.approx(0.45), "once is luck: it must hold"
    assert needed(points, 0.96, 100) is None
    assert needed([*points, (100, 0.97)], 0.96, 100) == pytest.approx(0.8)
    assert needed(points[4:], 0.85, 100) == pytest.approx(0.5)


def test_batches_grow():
    counts = list(steps(20, 10, 1000))
    assert counts[:4] == [20, 30, 40, 50]
    gaps = np.diff(counts)
    assert (gaps >= 10).all()
    assert counts[-1] < 1000
    assert len(counts) < 40
    assert list(steps(5, 1, 5)) == []


def test_one_class_alone_is_learnt_later():
    assert not _quick.learnable(BINARY, np.zeros(4, int))
    assert _quick.learnable(BINARY, np.array([0, 1]))
    study = _study()
    study.values[study.pool[:395]] = 0
    study.random._order = np.arange(400)
    study.random.go_to(10)
    assert study.random.points == [(10, 0.5)]


@pytest.mark.parametrize("name", ["pngs", "npz"])
def test_the_verb_writes_its_report(name, request, tmp_path, capsys):
    source = request.getfixturevalue(name)
    command = Command(tmp_path / "w", capsys)
    said = command(
        "simulate", *source.words, "--seeds", 2, "--batch", 12, "--reading-seconds", 30, "--out", tmp_path / "s", "--json"
    ).json
    assert 0.6 < said["full_auc"] <= 1
    assert 0 < said["labels_needed"] <= 1
    assert 0 < said["labels_needed_random"] <= 1
    assert len(said["seeds"]) == 2
    assert said["curve"][-1]["labels"] == said["labels"]
    assert said["curve"][-1]["asked"] == pytest.approx(said["full_auc"])
    assert all(row["asked_low"] <= row["asked"] <= row["asked_high"] for row in said["curve"])
    assert said["hours"]["all"] == pytest.approx(said["labels"] * 30 / 3600, abs=0.01)
    assert any("to study the loop" in line for line in said["warnings"])
    page = (tmp_path / "s" / "report.html").read_text()
    assert "What asking for the right labels saves" in page
    assert "<svg" in page


def test_what_cannot_be_simulated_is_told(pngs, tmp_path):
    table = tmp_path / "numbers.csv"
    lines = pngs.labels.read_text().splitlines()[1:]
    rows = [f"{line.split(',')[0]},{number * 1.37:.2f}" for number, line in enumerate(lines)]
    table.write_text("\n".join(["image,age", *rows]))
    with pytest.raises(InputError, match="The labels are number"):
        simulate(Workspace(tmp_path / "w"), SimulateRequest(src=str(pngs.src), labels=str(table), label_columns="age"))


@pytest.mark.parametrize(
    ("flag", "value"), [("seeds", 0), ("start", 1), ("batch", 0), ("reading_seconds", 0.0), ("reading_seconds", float("nan"))]
)
def test_senseless_numbers_are_refused(flag, value):
    with pytest.raises(InputError):
        SimulateRequest(src="x", **{flag: value})
