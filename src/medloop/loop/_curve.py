"""Would more labels help? The recipe as executed, learnt from parts of the training patients and judged on others of them.

A quarter of the training groups is held back and judged by models learnt from growing parts of the rest; the test split is
never touched. The quarters take turns while time remains.
"""

from __future__ import annotations

import time

import numpy as np

from medloop.dataset import folds as split_folds
from medloop.errors import MedloopError
from medloop.evaluation import decisions, scores
from medloop.evaluation.evidence import CurvePoint
from medloop.loop._protocols import Lesson
from medloop.types import Dataset, Floats, Integers, Metric, TargetKind

_PARTS = (0.15, 0.35, 0.65, 1.0)
_QUARTERS = 4
_FEWEST = 20


def learning_curve(lesson: Lesson, train: Integers, deadline: float) -> tuple[CurvePoint, ...]:
    """Points of the learning curve; ``lesson`` carries the executed recipe. As many as fit before ``deadline``, perhaps none."""
    dataset = lesson.dataset
    quarter = split_folds(dataset, _QUARTERS, lesson.recipe.seed)
    answers: dict[float, list[tuple[Integers, Floats, int, int]]] = {part: [] for part in _PARTS}
    rng = np.random.default_rng(lesson.recipe.seed)
    for number in range(_QUARTERS):
        lap = time.monotonic()
        judges = train[quarter[train] == number]
        pupils = train[quarter[train] != number]
        groups = rng.permutation(np.unique(dataset.groups[pupils]))
        for part in _PARTS:
            chosen = pupils[np.isin(dataset.groups[pupils], groups[: round(part * len(groups))])]
            if len(chosen) < _FEWEST or time.monotonic() >= deadline:
                continue
            try:
                fitted = lesson.fit(chosen, deadline)
            except MedloopError:  # too few cases of a class among so few patients
                continue
            predicted = lesson.predict(fitted, judges).probabilities
            answers[part].append((judges, predicted, len(chosen), len(np.unique(dataset.patients[chosen]))))
        if 2 * time.monotonic() - lap > deadline:  # another quarter would end too late
            break
    rounds = max(map(len, answers.values()))
    return tuple(_point(dataset, each) for part in _PARTS if (each := answers[part]) and len(each) == rounds)


def _point(dataset: Dataset, answers: list[tuple[Integers, Floats, int, int]]) -> CurvePoint:
    rows = np.concatenate([judges for judges, *_ in answers])
    probabilities = np.concatenate([predicted for _, predicted, *_ in answers])
    name = "r2" if dataset.target.kind is TargetKind.NUMBER else "auc"
    bare = decisions.choose(dataset.target, probabilities, dataset.values[rows], dataset.patients[rows])
    choices = decisions.decide(dataset.target, probabilities, bare).choices
    found = scores.score(dataset.target, dataset.values[rows], probabilities, choices, dataset.patients[rows])
    return CurvePoint(
        cases=round(float(np.mean([count for *_, count, _ in answers]))),
        patients=round(float(np.mean([count for *_, count in answers]))),
        metric=name,
        value=found.get(name, Metric(None, reason="not defined here")),
    )
