"""The time of several trainings: as many epochs as it holds, and none that goes on when it is over."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest

from medloop.families import _trainings
from medloop.families._trainings import Work
from medloop.learning.lesson import Trained
from medloop.learning.plan import Plan
from medloop.progress import QUIET

CASES, BUDGET = 60, 1000.0
THIRDS, FIFTH = np.arange(CASES) % 3, np.where(np.arange(CASES) % 5 == 0, 0, -1)


@dataclass
class Pupil:
    """What learns by the clock alone: a case takes ``each`` seconds, ``later`` times as many after the first training, and was
    thought to take ``thought``."""

    each: float
    thought: float
    later: float = 1.0
    last: float = 1.0
    columns: int = 0
    now: float = 0.0
    trainings: list = field(default_factory=list)

    @property
    def settings(self):
        return SimpleNamespace(plan=Plan(epochs=500), epochs_open=True, last=self.last, watched=False, looks=1.0)

    @property
    def job(self):
        return SimpleNamespace(clock=lambda: self.now, deadline=BUDGET, tell=QUIET)

    def pace(self, plan, steps):
        return self.thought

    def scores(self, net, rows):
        return np.empty((len(rows), 0))

    def trained(self, seen, held, plan, folder, label, until=math.inf):
        pace, done = self.each * len(seen) * (self.later if self.trainings else 1.0), 0
        while done < plan.last and self.now + (pace if done else 0) <= until:
            self.now, done = self.now + pace, done + 1
        self.trainings.append(done)
        late = done < plan.last
        executed = dataclasses.replace(plan, stop_after=done) if late else plan
        return len(self.trainings), Trained({}, [{}] * done, done, "deadline" if late else "done", "", executed, 1, 0.0)


def worked(pupil, fold):
    work = Work(pupil, fold, None)
    work.cross_validated()
    work.finished()
    return work


@pytest.mark.parametrize(("fold", "last"), [(THIRDS, 1.0), (FIFTH, 0.25)], ids=["thirds", "one part"])
def test_most_of_the_time_is_learnt_in_and_nothing_begun_twice(fold, last):
    pupil = Pupil(each=0.1, thought=0.1, last=last)
    work = worked(pupil, fold)
    assert len(pupil.trainings) == work.count + 1
    assert 0.75 * BUDGET < pupil.now < 0.95 * BUDGET
    assert work.plan.stop_after == 0


def test_a_first_training_that_is_too_slow_is_ended_and_begun_again_shorter():
    pupil = Pupil(each=0.4, thought=0.1)
    work = worked(pupil, THIRDS)
    assert len(pupil.trainings) == work.count + 2
    assert set(pupil.trainings[1:]) == {work.plan.epochs}
    assert pupil.now <= BUDGET
    assert work.plan.stop_after == 0


def test_what_was_learnt_is_kept_where_too_little_time_is_left_to_begin_again():
    pupil = Pupil(each=0.4, thought=0.1, last=0.25)
    work = worked(pupil, FIFTH)
    assert len(pupil.trainings) == work.count + 1
    assert pupil.trainings[0] > work.plan.epochs / 4
    assert 0.8 * BUDGET < pupil.now <= BUDGET


@pytest.mark.parametrize(("fold", "last"), [(THIRDS, 1.0), (FIFTH, 0.25)], ids=["thirds", "one part"])
def test_a_later_training_ends_when_its_time_is_over_and_the_rest_learns_no_longer(fold, last):
    pupil = Pupil(each=0.1, thought=0.1, later=3.0, last=last)
    work = worked(pupil, fold)
    assert pupil.now <= BUDGET
    assert 0 < work.plan.stop_after < work.plan.epochs
    assert pupil.trainings[0] > pupil.trainings[1] >= pupil.trainings[-1] > 0


class Slow(Pupil):
    """Steps take three times as long until it is warm."""

    def pace(self, plan, steps):
        self.now += self.each * steps
        return self.each * (3.0 if steps < 16 else 1.0)


def test_a_pace_that_was_measured_in_no_time_is_measured_again(monkeypatch):
    pupil = Slow(each=0.1, thought=0.0)
    worked(pupil, THIRDS)
    assert 0.75 * BUDGET < pupil.now < 0.95 * BUDGET
    monkeypatch.setattr(_trainings, "_TASTING", 0.0)
    hasty = Slow(each=0.1, thought=0.0)
    worked(hasty, THIRDS)
    assert hasty.now < 0.5 * BUDGET


def test_trainings_that_are_not_ended_are_late(monkeypatch):
    monkeypatch.setattr(Work, "_until", lambda *_: math.inf)
    for slow in (Pupil(each=0.4, thought=0.1, last=0.25), Pupil(each=0.1, thought=0.1, later=3.0)):
        worked(slow, FIFTH if slow.last < 1 else THIRDS)
        assert slow.now > BUDGET


def test_an_epoch_is_learnt_however_long_it_takes():
    pupil = Pupil(each=100.0, thought=100.0)
    work = worked(pupil, THIRDS)
    assert work.plan.epochs == 1
    assert pupil.trainings == [1] * 4


def test_after_few_epochs_the_network_that_was_judged_is_the_one_that_is_kept():
    pupil = Pupil(each=5.0, thought=5.0, last=0.25)
    work = Work(pupil, FIFTH, None)
    work.cross_validated()
    assert work.plan.epochs == 3
    assert work.finished() == (1, [])
    assert pupil.trainings == [3]
    assert 0.7 * BUDGET < pupil.now <= BUDGET


def test_after_more_epochs_it_learns_on_from_all():
    pupil = Pupil(each=2.5, thought=2.5, last=0.25)
    work = Work(pupil, FIFTH, None)
    work.cross_validated()
    assert work.plan.epochs == 5
    assert work.finished() == (2, [{"fold": "all"}])
    assert pupil.trainings == [5, 1]
