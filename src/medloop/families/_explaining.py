"""Where a model looks: heat over the prepared image for the answer it gives, by whichever way suits the model."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np

from medloop.compute import Compute
from medloop.families._job import Model
from medloop.families._occlusion import Question, occlusion
from medloop.prepared.arrays import PreparedArrays
from medloop.progress import QUIET, Progress
from medloop.types import Floats, Integers, Prediction, Target, TargetKind

OCCLUSION, GRADIENT = "occlusion", "gradient"
_NOTHING = 1e-9


@runtime_checkable
class SelfExplaining(Protocol):
    """A model that knows a better way than covering: a network, which has gradients."""

    def heat(self, asked: Question) -> Floats:
        """``(m, Z, Y, X)`` of at least 0, for the first m of the rows asked about."""
        ...


def way_of(model: Model) -> str:
    """How `explain` explains it: ``gradient`` or ``occlusion``."""
    return GRADIENT if isinstance(model, SelfExplaining) else OCCLUSION


def explain(
    model: Model,
    arrays: PreparedArrays,
    rows: Integers,
    choices: Integers,
    *,
    compute: Compute | None = None,
    tell: Progress = QUIET,
    deadline: float | None = None,
) -> Floats:
    """``(m, Z, Y, X)`` float32 from 0 to 1: what speaks for answer ``choices[j]`` in image ``rows[j]``, 1 the most in each image.

    ``choices``: ``(n,)`` classes (`choices_of`; numbers: 0, and heat is what changes the number either way). An image in which
    nothing speaks for the answer is 0 throughout. ``deadline`` (seconds of `time.monotonic`): m is less than n where there is no
    time for the rest.
    """
    asked = Question(model=model, arrays=arrays, rows=rows, choices=choices, compute=compute, tell=tell, deadline=deadline)
    heat = model.heat(asked) if isinstance(model, SelfExplaining) else occlusion(asked)
    heat = np.nan_to_num(heat.astype(np.float32))
    top = heat.max(axis=(1, 2, 3), initial=0.0, keepdims=True)
    return np.asarray(np.where(top > _NOTHING, heat / np.maximum(top, _NOTHING), 0.0), np.float32)


def choices_of(target: Target, prediction: Prediction) -> Integers:
    """Which answer of each case is explained: the one given; for multi-label the most probable label; numbers: 0."""
    if target.kind is TargetKind.NUMBER:
        return np.zeros(len(prediction.cases), np.int64)
    if target.kind is TargetKind.MULTILABEL:
        return np.asarray(prediction.probabilities.argmax(axis=1))
    return np.array([target.classes.index(label) for label in prediction.labels], np.int64)
