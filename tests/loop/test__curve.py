"""The learning curve begins nothing that cannot end in time, and says whose curve it is."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from medloop.compute import Compute
from medloop.families import Fitted
from medloop.loop._curve import again_seconds, learning_curve
from medloop.loop._protocols import Lesson
from medloop.types import Case, Dataset, Prediction, Recipe, Target, TargetKind

COUNT = 160
TARGET = Target(TargetKind.BINARY, ("well", "ill"))


@dataclass(frozen=True, kw_only=True, eq=False)
class Told(Lesson):
    """A lesson in which learning is drawing: the more cases, the less noise. ``fits`` holds the sizes of what was learnt from."""

    seconds: float = 0.0
    fits: list[tuple[str, int]] = field(default_factory=list)

    def fit(self, train: Any, deadline: float) -> Any:
        time.sleep(self.seconds)
        self.fits.append((self.recipe.family, len(train)))
        return SimpleNamespace(noise=40 / len(train))

    def predict(self, fitted: Any, rows: Any) -> Prediction:
        draw = np.random.default_rng(len(self.fits))
        ill = 1 / (1 + np.exp(-(4 * (self.dataset.values[rows] - 0.5) + draw.normal(0, 1 + fitted.noise, len(rows)))))
        names = tuple(map(str, rows))
        return Prediction(names, np.column_stack([1 - ill, ill]), names, ill, ill < 0)


@pytest.fixture
def lesson() -> Told:
    values, numbers = np.arange(COUNT) % 2, np.arange(COUNT)
    cases = tuple(Case(str(number), ()) for number in numbers)
    dataset = Dataset(cases, TARGET, values, numbers, numbers, np.array(["train"] * COUNT), "f")
    return Told(dataset=dataset, arrays=None, recipe=Recipe("r", "ladder"), cache=Path(), compute=Compute(0))  # type: ignore[arg-type]


def fitted(family: str, seconds: float, trials: int = 1, heads: int = 1, **more: Any) -> Fitted:
    timings = {"features": 1000.0, "search": seconds * trials, "fit": 0.0}
    recipe = Recipe("r", family, parameters={"heads": [{}] * heads})
    return Fitted(SimpleNamespace(family=family), None, [{}] * trials, recipe, timings, **more)  # type: ignore[arg-type]


def test_what_was_chosen_counts_and_not_the_search_for_it() -> None:
    assert again_seconds(fitted("classical", 2.0, trials=50)) == pytest.approx(2.0)
    assert again_seconds(fitted("classical", 2.0, trials=50, heads=3)) == pytest.approx(6.0)
    both = fitted("ladder", 900.0, members=[fitted("classical", 2.0), fitted("transfer", 5.0)])
    assert again_seconds(both) == pytest.approx(7.0)


def test_all_quarters_take_their_turn_where_there_is_time(lesson: Told) -> None:
    curve = learning_curve(lesson, fitted("classical", 0.001), np.arange(COUNT), time.monotonic() + 60)
    assert len(lesson.fits) == 12, "three parts of four quarters; the smallest part has too few cases"
    assert curve.stand_in == ""
    assert [point.cases for point in curve.points] == sorted(point.cases for point in curve.points)
    assert len(curve.points) >= 3


def test_nothing_is_begun_that_cannot_end(lesson: Told) -> None:
    curve = learning_curve(lesson, fitted("transfer", 100.0), np.arange(COUNT), time.monotonic() + 20)
    assert curve.points == ()
    assert lesson.fits == []


def test_the_quickest_stands_in_for_what_is_too_dear(lesson: Told) -> None:
    dear = fitted("transfer", 100.0, cheapest=fitted("classical", 0.001))
    curve = learning_curve(lesson, dear, np.arange(COUNT), time.monotonic() + 20)
    assert curve.stand_in == "classical"
    assert {family for family, _ in lesson.fits} == {"classical"}
    assert curve.points


def test_what_is_slower_than_expected_is_not_begun_again(lesson: Told) -> None:
    slow = Told(**{each: getattr(lesson, each) for each in ("dataset", "arrays", "recipe", "cache", "compute")}, seconds=1.5)
    begun = time.monotonic()
    learning_curve(slow, fitted("classical", 0.001), np.arange(COUNT), begun + 4)
    assert len(slow.fits) == 1, "its own pace says that the next would be late"
