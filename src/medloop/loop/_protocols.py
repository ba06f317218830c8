"""How a model is judged: on a held-out test split that is scored once, or out of fold with every choice inside each fold."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from medloop import registry
from medloop.compute import Compute
from medloop.dataset import folds as split_folds
from medloop.dataset import leaks, taught
from medloop.evaluation.evidence import StructuredEvidence
from medloop.families import Finder, FitJob, Fitted, Further
from medloop.loop._clock import Clock
from medloop.loop._structured import Judge
from medloop.prepared import PreparedArrays
from medloop.prepared.geometry import Geometry
from medloop.progress import QUIET, Progress
from medloop.targets.rules import Rules
from medloop.types import Dataset, Findings, Floats, Integers, Json, Prediction, Recipe

SEARCH_SHARE = 0.78
"""The part of the budget after which the model should be there; the rest is for predicting, the learning curve and the report."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Lesson:
    """Everything that learning needs: the dataset, row ``i`` of ``arrays`` prepared from its case ``i``, and where to work.

    ``further``: by the names of the structured targets what is known of them in prepared voxels; ``geometry``: where those lie.
    """

    dataset: Dataset
    arrays: PreparedArrays
    recipe: Recipe
    cache: Path
    compute: Compute
    tell: Progress = QUIET
    device: str = "auto"
    further: Mapping[str, Further] = field(default_factory=dict)
    geometry: Geometry | None = None

    def job(self, train: Integers, deadline: float) -> FitJob:
        """What a family is asked for."""
        return FitJob(
            dataset=self.dataset,
            arrays=self.arrays,
            train=train,
            recipe=self.recipe,
            deadline=deadline,
            cache=self.cache,
            compute=self.compute,
            tell=self.tell,
            device=self.device,
            further=self.further,
            geometry=self.geometry,
        )

    def fit(self, train: Integers, deadline: float) -> Fitted:
        """Fit the recipe's family on these cases, as far as their labels may be learnt from."""
        dataset, rows = taught(self.dataset, train)
        fitted: Fitted = registry.load("families", self.recipe.family).fit(replace(self, dataset=dataset).job(rows, deadline))
        return fitted

    def ready(self, rows: Integers, deadline: float) -> bool:
        """Whether the family computes what fits on parts of these cases share, before any of them. It looks at no label."""
        shared = getattr(registry.load("families", self.recipe.family), "ready", None)
        if shared is not None:
            dataset, known = taught(self.dataset, rows)
            shared(replace(self, dataset=dataset).job(known, deadline))
        return shared is not None

    def predict(self, fitted: Fitted, rows: Integers) -> Prediction:
        """The model's answers for these cases: their classes or numbers, empty where none are learnt."""
        names = self._names(rows)
        if self.dataset.target.kind.structured:
            return unsaid(names)
        return fitted.model.predict(self.arrays, rows, cases=names, compute=self.compute, cache=self.cache, tell=self.tell)

    def answer(self, fitted: Fitted, rows: Integers, judge: Judge) -> Prediction:
        """`predict`; and ``judge`` hears what else the same look finds (masks, boxes, anomalies), one case after another."""
        if not (self.dataset.further or getattr(fitted.model, "further", ())) or len(rows) == 0:
            return self.predict(fitted, rows)
        model, raw = cast(Finder, fitted.model), list[Floats]()
        for row, found in zip(rows.tolist(), self._find(model, rows), strict=True):
            judge.hear(row, found)
            raw += [] if found.raw is None else [found.raw]
        return model.answered(np.stack(raw), self._names(rows)) if raw else self.predict(fitted, rows)

    def _find(self, model: Finder, rows: Integers) -> Iterator[Findings]:
        names = self._names(rows)
        return model.find(self.arrays, self.geometry, rows, cases=names, compute=self.compute, cache=self.cache, tell=self.tell)

    def _names(self, rows: Integers) -> list[str]:
        return [self.dataset.cases[row].name for row in rows]


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcome:
    """A model to keep, and answers for cases that no choice had seen: ``prediction`` row ``j`` is for case ``judged[j]``.

    ``fold`` is ``(N,)`` where the protocol is out-of-fold. ``structured``: how good masks, boxes and measures are.
    """

    protocol: str
    fitted: Fitted
    judged: Integers
    prediction: Prediction
    fold: Integers | None
    trials: Sequence[Mapping[str, Json]]
    structured: tuple[StructuredEvidence, ...] = ()


def held_out(lesson: Lesson, clock: Clock) -> Outcome:
    """Tune, calibrate and fit on training and validation cases; answer the test cases once."""
    with clock.stage("learn"):
        fitted = lesson.fit(lesson.dataset.indices("train", "val"), clock.deadline(SEARCH_SHARE))
    judged = lesson.dataset.indices("test")
    with clock.stage("predict"), Judge(lesson.dataset, lesson.cache) as judge:
        prediction = lesson.answer(fitted, judged, judge)
        structured = judge.tell(lesson.recipe.seed, rules_of(fitted))
    return Outcome(
        protocol="held-out",
        fitted=fitted,
        judged=judged,
        prediction=prediction,
        fold=None,
        trials=list(fitted.trials),
        structured=structured,
    )


def out_of_fold(lesson: Lesson, clock: Clock, count: int) -> Outcome:
    """Answer each fold by a model that was tuned, calibrated and fitted on the others; then fit the model to keep on all."""
    fold = split_folds(lesson.dataset, count, lesson.recipe.seed)
    leaks.check_folds(lesson.dataset, fold)
    everyone = np.arange(len(lesson.dataset.cases))
    parts: list[tuple[Integers, Prediction]] = []
    trials: list[dict[str, Json]] = []
    last = clock.deadline(SEARCH_SHARE)
    with clock.stage("learn"):
        shared = lesson.ready(everyone, last)
    with lesson.tell.task("Folds", count + 1) as tick, Judge(lesson.dataset, lesson.cache) as judge:
        for number in range(count):
            with clock.stage("learn"):
                first = 1 if number == 0 and not shared else 0  # it also computes the features that the others use
                fitted = lesson.fit(np.flatnonzero(fold != number), _share(last, 1 + first, count + 1 - number + first))
            rows = np.flatnonzero(fold == number)
            with clock.stage("predict"):
                parts.append((rows, lesson.answer(fitted, rows, judge)))
            trials += [{"fold": number + 1, **trial} for trial in fitted.trials]
            tick(1)
        with clock.stage("learn"):
            fitted = lesson.fit(everyone, last)
        tick(1)
        with clock.stage("predict"):
            structured = judge.tell(lesson.recipe.seed, rules_of(fitted))
    trials += [{"fold": "all", **trial} for trial in fitted.trials]
    return Outcome(
        protocol="out-of-fold",
        fitted=fitted,
        judged=everyone,
        prediction=_in_order(parts),
        fold=fold,
        trials=trials,
        structured=structured,
    )


def rules_of(fitted: Fitted) -> Rules | None:
    """What the model's answers are held against."""
    found: Rules | None = getattr(fitted.model, "rules", None)
    return found


def unsaid(names: Sequence[str]) -> Prediction:
    """What a model without classes says of the classes of these cases: nothing."""
    count = len(names)
    nothing = np.full(count, np.nan)
    return Prediction(tuple(names), np.zeros((count, 0)), ("",) * count, nothing, np.zeros(count, np.bool_))


def _share(last: float, mine: int, parts: int) -> float:
    """The moment at which ``mine`` of ``parts`` equal parts of what is left until ``last`` are spent."""
    now = time.monotonic()
    return now + max(0.0, last - now) * mine / parts


def _in_order(parts: Sequence[tuple[Integers, Prediction]]) -> Prediction:
    """The folds' answers, in the order of the cases."""
    order = np.argsort(np.concatenate([rows for rows, _ in parts]), kind="stable")

    def joined(name: str) -> Any:
        return np.concatenate([np.asarray(getattr(each, name)) for _, each in parts])[order]

    return Prediction(
        cases=tuple(map(str, joined("cases"))),
        probabilities=joined("probabilities"),
        labels=tuple(map(str, joined("labels"))),
        confidence=joined("confidence"),
        abstain=joined("abstain"),
    )


def again(lesson: Lesson, executed: Recipe) -> Lesson:
    """The same lesson with the recipe as executed, so that fitting does what was done and searches no more."""
    return replace(lesson, recipe=executed, tell=QUIET)
