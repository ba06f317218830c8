"""Of what is judged only the part that may be learnt from reaches a family."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from medloop.compute import Compute
from medloop.loop import _protocols
from medloop.types import Case, Dataset, Recipe, Target, TargetKind, Truth

ROWS = np.arange(4)


@pytest.fixture
def lesson(tmp_path, monkeypatch):
    """Of six cases, of which every other may be learnt from; fitting gives the job back."""
    every = np.ones(6, bool)
    truth = Truth(Target(TargetKind.MASKS, ("disc",), "masks"), every)
    cases = tuple(Case(f"case-{number}", ()) for number in range(6))
    values, groups = np.arange(6) % 2, np.arange(6)
    target, split = Target(TargetKind.BINARY, ("a", "b")), np.array(["train"] * 6)
    taught = np.arange(6) % 3 != 1
    dataset = Dataset(cases, target, values, groups, groups, split, "f", further=(truth,), taught=taught)
    monkeypatch.setattr(_protocols.registry, "load", lambda *_: SimpleNamespace(fit=lambda job: job))
    return _protocols.Lesson(dataset=dataset, arrays=None, recipe=Recipe("r", "x"), cache=tmp_path, compute=Compute(0))


def test_classes_beside_masks_are_forgotten_and_the_cases_stay(lesson):
    job = lesson.fit(ROWS, 0.0)
    assert job.train.tolist() == [0, 1, 2, 3]
    assert job.class_known.tolist() == [True, False, True, True]
    assert job.values.tolist() == [0, -1, 0, 1]
    assert lesson.dataset.values.tolist() == [0, 1, 0, 1, 0, 1], "what is judged is as it was"


def test_of_classes_alone_the_other_cases_are_left_out(lesson):
    alone = dataclasses.replace(lesson, dataset=dataclasses.replace(lesson.dataset, further=()))
    assert alone.fit(ROWS, 0.0).train.tolist() == [0, 2, 3]


def test_what_folds_share_is_computed_once_before_them(lesson, monkeypatch):
    asked = []
    assert not lesson.ready(ROWS, 0.0), "this family shares nothing"
    monkeypatch.setattr(_protocols.registry, "load", lambda *_: SimpleNamespace(ready=lambda job: asked.append(job.train.tolist())))
    assert lesson.ready(np.arange(6), 0.0)
    assert asked == [[0, 1, 2, 3, 4, 5]]


def test_labels_that_may_not_be_learnt_from_are_noticed(lesson, monkeypatch):
    monkeypatch.setattr(_protocols, "taught", lambda dataset, rows: (dataset, rows))
    with pytest.raises(AssertionError):
        test_classes_beside_masks_are_forgotten_and_the_cases_stay(lesson)
