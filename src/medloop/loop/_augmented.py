"""The sheet of augmentation in the report of a run."""

from __future__ import annotations

import numpy as np

from medloop import families
from medloop.families import Fitted
from medloop.loop._protocols import Lesson
from medloop.reporting import as_picture
from medloop.types import Array, Image

_CASES = 4


def augmented(lesson: Lesson, fitted: Fitted) -> tuple[tuple[str, tuple[Array, ...]], ...]:
    """Of some training cases the name, the picture as it is and changed copies; nothing where nothing was changed."""
    train = np.asarray(fitted.out_of_fold.indices)
    rows = train[np.unique(np.linspace(0, len(train) - 1, _CASES).astype(int))]
    found = families.augmented(fitted.recipe, lesson.arrays, rows)
    if found is None:
        return ()
    names = [lesson.dataset.cases[row].name for row in rows]
    return tuple((name, tuple(_shown(lesson, each) for each in copies)) for name, copies in zip(names, found, strict=True))


def _shown(lesson: Lesson, pixels: Array) -> Array:
    return as_picture(Image(pixels=pixels[None], spacing_mm=lesson.arrays.spacing_mm, colour=lesson.arrays.colour))
