"""Would more labels help? A recipe as executed, learnt from parts of the training patients and judged on others of them.

A quarter of the training groups is held back and judged by models learnt from growing parts of the rest; the test split is
never touched. The quarters take turns while time remains. No fit is begun that cannot end in time: where the model itself takes
too long, the quickest family that was tried stands in for it, and that is told.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from medloop.dataset import folds as split_folds
from medloop.errors import MedloopError
from medloop.evaluation import decisions, scores
from medloop.evaluation.evidence import CurvePoint
from medloop.families import Fitted
from medloop.loop._protocols import Lesson, again
from medloop.types import Dataset, Floats, Integers, Metric, TargetKind

_PARTS = (0.15, 0.35, 0.65, 1.0)
_QUARTERS = 4
_FEWEST = 20


@dataclass(frozen=True, slots=True)
class Curve:
    """``points``: perhaps none. ``stand_in``: the family that was learnt instead of the model itself, empty where it was that."""

    points: tuple[CurvePoint, ...] = ()
    stand_in: str = ""


def learning_curve(lesson: Lesson, fitted: Fitted, train: Integers, deadline: float) -> Curve:
    """The curve of what was fitted, or of the quickest family beside it, as far as it ends before ``deadline``."""
    left = deadline - time.monotonic()
    for each in (fitted, fitted.cheapest):
        if each is not None and _round_seconds(each) <= left:
            points = _points(again(lesson, each.recipe), train, deadline, again_seconds(each) / len(train))
            return Curve(points, "" if each is fitted or each.recipe == fitted.recipe else each.model.family)
    return Curve()


def again_seconds(fitted: Fitted) -> float:
    """About how long learning from the executed recipe takes: what was chosen, without the search for it."""
    if fitted.members:
        return sum(map(again_seconds, fitted.members))
    kept = len(fitted.recipe.parameters.get("heads") or [None])
    return fitted.timings["fit"] + kept * fitted.timings["search"] / max(1, len(fitted.trials))


def _round_seconds(fitted: Fitted) -> float:
    """About how long one quarter's turn takes."""
    return again_seconds(fitted) * sum(_PARTS) * (1 - 1 / _QUARTERS)


def _points(lesson: Lesson, train: Integers, deadline: float, each_s: float) -> tuple[CurvePoint, ...]:
    """Points from whole turns only. ``each_s``: expected seconds a training case; what is measured takes its place."""
    dataset = lesson.dataset
    quarter = split_folds(dataset, _QUARTERS, lesson.recipe.seed)
    rng = np.random.default_rng(lesson.recipe.seed)
    turns: list[dict[float, _Answer]] = []
    for number in range(_QUARTERS):
        pupils = train[quarter[train] != number]
        groups = rng.permutation(np.unique(dataset.groups[pupils]))
        if turns and time.monotonic() + each_s * len(pupils) * sum(_PARTS) > deadline:
            break
        answers: dict[float, _Answer] = {}
        for part in _PARTS:
            chosen = pupils[np.isin(dataset.groups[pupils], groups[: round(part * len(groups))])]
            begun = time.monotonic()
            if len(chosen) < _FEWEST or begun + each_s * len(chosen) > deadline:
                continue
            found = _answer(lesson, chosen, train[quarter[train] == number], deadline)
            if found is not None:
                answers[part] = found
                each_s = (time.monotonic() - begun) / len(chosen)
        turns.append(answers)
    whole = [part for part in _PARTS if all(part in answers for answers in turns)]
    return tuple(_point(dataset, [answers[part] for answers in turns]) for part in whole)


@dataclass(frozen=True, slots=True, eq=False)
class _Answer:
    judges: Integers
    predicted: Floats
    cases: int
    patients: int


def _answer(lesson: Lesson, pupils: Integers, judges: Integers, deadline: float) -> _Answer | None:
    try:
        fitted = lesson.fit(pupils, deadline)
    except MedloopError:  # too few cases of a class among so few patients
        return None
    predicted = lesson.predict(fitted, judges).probabilities
    return _Answer(judges, predicted, len(pupils), len(np.unique(lesson.dataset.patients[pupils])))


def _point(dataset: Dataset, answers: list[_Answer]) -> CurvePoint:
    rows = np.concatenate([each.judges for each in answers])
    probabilities = np.concatenate([each.predicted for each in answers])
    name = "r2" if dataset.target.kind is TargetKind.NUMBER else "auc"
    bare = decisions.choose(dataset.target, probabilities, dataset.values[rows], dataset.patients[rows])
    choices = decisions.decide(dataset.target, probabilities, bare).choices
    found = scores.score(dataset.target, dataset.values[rows], probabilities, choices, dataset.patients[rows])
    return CurvePoint(
        cases=round(float(np.mean([each.cases for each in answers]))),
        patients=round(float(np.mean([each.patients for each in answers]))),
        metric=name,
        value=found.get(name, Metric(None, reason="not defined here")),
    )
