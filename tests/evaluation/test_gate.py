import numpy as np
import pytest
from scipy import stats

from medloop.evaluation import gate
from medloop.evaluation.comparison import Side
from medloop.evaluation.gains import Gain
from medloop.evaluation.gate import Decision, Drawn, Rules, Trial
from medloop.types import Target, TargetKind

TWO = Target(TargetKind.BINARY, ("well", "sick"))


def _side(positive, threshold=0.5):
    return Side(np.stack([1 - positive, positive], axis=1), (positive >= threshold).astype(int))


def _trial(rng, aucs, count=300, correlation=0.8, copies=1, **more):
    """Two binormal models of the given AUCs whose scores are correlated; ``copies`` near copies of each patient's case."""
    values = np.repeat(np.arange(count) % 2, copies)
    common = rng.standard_normal(count)
    sides = []
    for auc in aucs:
        own = np.sqrt(correlation) * common + np.sqrt(1 - correlation) * rng.standard_normal(count)
        gap = np.sqrt(2) * stats.norm.ppf(auc)
        sides.append(_side(stats.norm.cdf(np.repeat(own, copies) + gap * (values - 0.5))))
    return Trial(
        target=TWO, values=values, champion=sides[0], challenger=sides[1], patients=np.repeat(np.arange(count), copies), **more
    )


def _promoted(aucs, rounds=300, rules=None, **more):
    rng = np.random.default_rng(7)
    return np.mean([gate.judge(_trial(rng, aucs, **more), rules).decision is Decision.PROMOTED for _ in range(rounds)])


def test_a_challenger_that_is_no_better_is_kept_out():
    assert _promoted((0.9, 0.9)) <= 0.05


def test_without_the_bound_it_would_get_in(monkeypatch):
    monkeypatch.setattr(Gain, "bound", lambda self, tail: self.difference)
    assert _promoted((0.9, 0.9)) > 0.3


def test_pictures_of_one_patient_are_no_new_evidence():
    assert _promoted((0.85, 0.85), rounds=150, count=100, copies=8) <= 0.06
    rng = np.random.default_rng(8)
    wrong = 0
    for _ in range(150):
        trial = _trial(rng, (0.85, 0.85), count=100, copies=8)
        alone = Trial(
            target=TWO, values=trial.values, champion=trial.champion, challenger=trial.challenger, patients=np.arange(800)
        )
        wrong += gate.gain_of(alone).bound(0.025) > 0
    assert wrong / 150 > 0.15


def test_a_better_challenger_is_promoted_and_why_is_said():
    verdict = gate.judge(_trial(np.random.default_rng(1), (0.85, 0.95), count=600))
    assert verdict.decision is Decision.PROMOTED
    assert verdict.gain.low > 0
    assert "97.5 % confidence (look 1 of 20)" in verdict.reasons[0]
    assert [each.group for each in verdict.groups] == ["class=well", "class=sick"]


def test_all_looks_together_err_at_most_twice_alpha():
    rules = Rules(looks_allowed=20)
    tails = [rules.tail(look) for look in range(1, 30)]
    assert tails[0] == 0.025
    assert sum(tails) == pytest.approx(0.05)
    assert tails[20:] == [0.0] * 9
    assert Rules(looks_allowed=1).tail(2) == 0


def test_later_looks_need_more_and_a_used_up_set_decides_nothing():
    trials = [_trial(np.random.default_rng(3), (0.9, 0.93), count=800, look=look) for look in (1, 2, 21)]
    first, second, beyond = (gate.judge(each) for each in trials)
    assert first.gain.low > second.gain.low
    assert second.confidence == pytest.approx(1 - 0.025 / 19)
    assert beyond.decision is Decision.NEEDS_PERSON
    assert "draw a new one" in beyond.reasons[0]
    assert beyond.gain.low is None


def test_looks_that_are_not_counted_would_let_one_in_sooner_or_later():
    """Twenty no-better challengers in the life of one test set: counted, few sets err; each taken for the first look, many."""
    rng = np.random.default_rng(5)
    counted = forgotten = 0
    for _ in range(40):
        gains = [gate.gain_of(_trial(rng, (0.8, 0.8), count=120)) for _ in range(20)]
        counted += any(gain.bound(Rules().tail(look)) > 0 for look, gain in enumerate(gains, 1))
        forgotten += any(gain.bound(0.025) > 0 for gain in gains)
    assert counted / 40 <= 0.1
    assert forgotten / 40 > 0.25


def _with_group(harm, size, count=600):
    """A better challenger that is worse for the first ``size`` cases by turning the scores of ``harm`` of them round."""
    trial = _trial(np.random.default_rng(2), (0.8, 0.95), count=count)
    scores = trial.challenger.probabilities[:, 1].copy()
    scores[: round(harm * size)] = 1 - scores[: round(harm * size)]
    attributes = [{"site": "north" if row < size else "south"} for row in range(count)]
    return Trial(
        target=TWO, values=trial.values, champion=trial.champion, challenger=_side(scores), patients=trial.patients,
        attributes=attributes,
    )  # fmt: skip


def test_who_is_worse_for_a_group_waits_for_a_person():
    assert gate.judge(_with_group(0.0, 60)).decision is Decision.PROMOTED
    verdict = gate.judge(_with_group(0.6, 60))
    assert verdict.decision is Decision.NEEDS_PERSON
    assert "worse for site=north (60 cases)" in verdict.reasons[0]
    assert [each.group for each in verdict.groups if each.worse] == ["site=north"]


def test_a_group_of_fewer_than_thirty_cannot_veto_and_margins_can_be_set():
    assert gate.judge(_with_group(0.6, 28)).decision is Decision.PROMOTED
    assert gate.judge(_with_group(0.6, 30)).decision is Decision.NEEDS_PERSON
    assert gate.judge(_with_group(0.6, 60), Rules(margins={"site=north": 0.9})).decision is Decision.PROMOTED


def test_a_class_that_is_found_less_often_waits_for_a_person():
    trial = _trial(np.random.default_rng(4), (0.8, 0.95), count=600)
    timid = Side(trial.challenger.probabilities, (trial.challenger.probabilities[:, 1] > 0.97).astype(int))
    verdict = gate.judge(Trial(target=TWO, values=trial.values, champion=trial.champion, challenger=timid, patients=trial.patients))
    assert verdict.decision is Decision.NEEDS_PERSON
    assert "class=sick" in verdict.reasons[0]
    assert "share found" in verdict.reasons[0]


def test_too_few_cases_and_no_difference_are_said():
    few = gate.judge(_trial(np.random.default_rng(0), (0.8, 0.99), count=14))
    assert few.decision is Decision.NEEDS_PERSON
    assert "Too few test cases" in few.reasons[0]
    trial = _trial(np.random.default_rng(0), (0.8, 0.8))
    same = gate.judge(
        Trial(target=TWO, values=trial.values, champion=trial.champion, challenger=trial.champion, patients=trial.patients)
    )
    assert same.decision is Decision.REFUSED
    nobody = np.zeros(0, int)
    empty = Trial(target=TWO, values=nobody, champion=_side(np.zeros(0)), challenger=_side(np.zeros(0)), patients=nobody)
    assert gate.judge(empty).decision is Decision.NEEDS_PERSON


def test_numbers_are_judged_by_their_error():
    rng = np.random.default_rng(6)
    truth = rng.normal(50, 10, 200)
    sides = [Side((truth + rng.normal(0, spread, 200))[:, None], None) for spread in (5, 3)]
    target = Target(TargetKind.NUMBER, name="age", unit="years")
    trial = Trial(target=target, values=truth, champion=sides[0], challenger=sides[1], patients=np.arange(200))
    verdict = gate.judge(trial)
    assert verdict.decision is Decision.PROMOTED
    assert verdict.gain.metric == "mae"
    assert verdict.gain.challenger < verdict.gain.champion


def test_several_labels_are_judged_with_what_is_known():
    rng = np.random.default_rng(9)
    target = Target(TargetKind.MULTILABEL, ("mass", "fluid"))
    truth = rng.integers(0, 2, (400, 2)).astype(float)
    truth[:40, 1] = np.nan
    known = np.nan_to_num(truth)
    sides = []
    for spread in (1.5, 0.5):
        scores = known + rng.normal(0, spread, known.shape)
        sides.append(Side(scores, scores > 0.5))
    attributes = [{"sex": "F" if row % 2 else "M"} for row in range(400)]
    trial = Trial(
        target=target, values=truth, champion=sides[0], challenger=sides[1], patients=np.arange(400), attributes=attributes
    )
    verdict = gate.judge(trial)
    assert verdict.decision is Decision.PROMOTED
    assert {each.group for each in verdict.groups} == {"class=mass", "class=fluid", "sex=F", "sex=M"}


CELL = Target(TargetKind.MASKS, ("rim", "core"), "masks")


def _drawn(rng, gain=0.0, count=120, correlation=0.8, copies=1, harm=0.0, **more):
    """Dice of two models whose errors are correlated; the challenger is better by ``gain``, and worse by ``harm`` in the core."""
    common = rng.normal(0, 0.1, (count, 1))
    sides = []
    for shift in ((0.0, 0.0), (gain, gain - harm)):
        each = 0.7 + np.sqrt(correlation) * common + np.sqrt(1 - correlation) * rng.normal(0, 0.1, (count, 2)) + shift
        each = np.clip(each, 0, 1)
        each[: count // 2, 1] = np.nan  # half of the cases have no core
        sides.append(np.repeat(np.column_stack([np.nanmean(each, axis=1), each]), copies, axis=0))
    champion, challenger = sides
    return Drawn(target=CELL, champion=champion, challenger=challenger, patients=np.repeat(np.arange(count), copies), **more)


def _outlined(rounds=200, rules=None, **more):
    rng = np.random.default_rng(11)
    return np.mean([gate.judge(_drawn(rng, **more), rules).decision is Decision.PROMOTED for _ in range(rounds)])


def test_a_challenger_that_outlines_no_better_is_kept_out_also_where_a_patient_has_several_cases():
    assert _outlined() <= 0.05
    assert _outlined(count=40, copies=6) <= 0.05


def test_without_the_bound_it_would_get_in_with_its_outlines(monkeypatch):
    monkeypatch.setattr(Gain, "bound", lambda self, tail: self.difference)
    assert _outlined() > 0.3


def test_outlines_that_are_better_are_promoted_and_later_looks_ask_for_more():
    assert _outlined(gain=0.03) > 0.9
    assert _outlined(gain=0.015, look=2) < _outlined(gain=0.015) - 0.2
    verdict = gate.judge(_drawn(np.random.default_rng(1), gain=0.05))
    assert verdict.gain.metric == "dice"
    assert "Better: Dice" in verdict.reasons[0]
    assert [each.group for each in verdict.groups] == ["class=rim", "class=core"]
    assert [each.cases for each in verdict.groups] == [120, 60]


def test_a_class_that_is_outlined_worse_waits_for_a_person():
    verdict = gate.judge(_drawn(np.random.default_rng(1), gain=0.1, harm=0.2))
    assert verdict.decision is Decision.NEEDS_PERSON
    assert "worse for class=core (60 cases): Dice" in verdict.reasons[0]


def test_of_several_targets_the_main_one_must_be_better_and_no_other_worse():
    rng = np.random.default_rng(3)
    better, same = _trial(rng, (0.85, 0.95), count=600), _trial(rng, (0.85, 0.85), count=600)
    as_good, worse, far_better = (_drawn(np.random.default_rng(2), gain=gain) for gain in (-0.02, -0.1, 0.2))
    verdict = gate.judge(better, beside=[as_good])
    assert verdict.decision is Decision.PROMOTED
    assert "target=masks" in [each.group for each in verdict.groups]
    assert "masks class=core" in [each.group for each in verdict.groups]
    refused = gate.judge(better, beside=[worse])
    assert refused.decision is Decision.NEEDS_PERSON
    assert refused.reasons[0].startswith("It is worse for target=masks (120 cases): Dice")
    assert gate.judge(same, beside=[far_better]).decision is Decision.REFUSED
    assert gate.judge(better, Rules(margins={"target=masks": 0.3}, fewest=200), [worse]).decision is Decision.PROMOTED


def test_the_veto_of_other_targets_is_what_keeps_a_worse_one_out(monkeypatch):
    """The guarantee is broken on purpose: nobody looks at the outlines."""
    better = _trial(np.random.default_rng(3), (0.85, 0.95), count=600)
    worse = _drawn(np.random.default_rng(2), gain=-0.1)
    monkeypatch.setattr(gate, "_beside", lambda trial, rules: iter(()))
    assert gate.judge(better, beside=[worse]).decision is Decision.PROMOTED


def test_a_target_of_too_few_test_cases_leaves_it_to_a_person():
    better = _trial(np.random.default_rng(3), (0.85, 0.95), count=600)
    verdict = gate.judge(better, beside=[_drawn(np.random.default_rng(2), count=8)])
    assert verdict.decision is Decision.NEEDS_PERSON
    assert verdict.reasons[0] == "Too few test cases to tell of masks: 8 patients, at least 10 are needed."
