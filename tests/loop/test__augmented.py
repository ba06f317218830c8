"""The sheet of augmentation: a row for each of a few training cases."""

from __future__ import annotations

import numpy as np

from medloop.families import Fitted, OutOfFold
from medloop.learning.augment import default
from medloop.loop._augmented import augmented
from medloop.loop._protocols import Lesson
from medloop.types import Case, Dataset, Recipe, Target, TargetKind


def lesson_of(arrays, recipe: Recipe) -> Lesson:
    count = len(arrays)
    number = np.arange(count)
    target = Target(TargetKind.BINARY, ("a", "b"))
    cases = tuple(Case(f"case-{each}", ()) for each in number)
    data = Dataset(cases, target, number % 2, number, number, np.array(["train"] * count), "fingerprint")
    return Lesson(dataset=data, arrays=arrays, recipe=recipe, cache=None, compute=None)


def fitted_on(train, recipe: Recipe) -> Fitted:
    nothing = np.zeros((len(train), 1))
    return Fitted(None, OutOfFold(np.asarray(train), np.zeros(len(train), int), nothing, nothing), [], recipe, {})


def test_rows_of_training_cases_only(stored_arrays) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (30, 3, 1, 16, 20), dtype=np.uint8)
    recipe = Recipe("test", "transfer", parameters={"augmentation": default(colour=True).to_json()})
    rows = augmented(lesson_of(stored_arrays(pixels, colour=True), recipe), fitted_on(range(10, 30), recipe))
    assert [name for name, _ in rows] == ["case-10", "case-16", "case-22", "case-29"]
    for name, pictures in rows:
        assert len(pictures) == 6
        assert np.array_equal(pictures[0], np.moveaxis(pixels[int(name[5:]), :, 0], 0, -1))
        assert all(each.shape == (16, 20, 3) for each in pictures)


def test_no_sheet_without_augmentation(stored_arrays) -> None:
    recipe = Recipe("test", "classical")
    arrays = stored_arrays(np.zeros((4, 1, 1, 8, 8), np.uint8))
    assert augmented(lesson_of(arrays, recipe), fitted_on(range(4), recipe)) == ()
