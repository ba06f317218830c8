"""Where a model looks: heat over the prepared image for the answer it gives, by whichever way suits the model."""

from __future__ import annotations

import numpy as np

from medloop import registry
from medloop.compute import Compute
from medloop.families._job import Model
from medloop.families._network_model import NetworkModel, as_input
from medloop.families._occlusion import Question, occlusion
from medloop.prepared.arrays import PreparedArrays
from medloop.progress import QUIET, Progress
from medloop.types import Floats, Integers, Prediction, Target, TargetKind

OCCLUSION, GRADIENT = "occlusion", "gradient"
_NOTHING = 1e-9
_AT_ONCE = 4


def way_of(model: Model) -> str:
    """How `explain` explains it: ``gradient`` or ``occlusion``."""
    return GRADIENT if isinstance(model, NetworkModel) else OCCLUSION


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
    heat = gradient(asked, model) if isinstance(model, NetworkModel) else occlusion(asked)
    heat = np.nan_to_num(heat.astype(np.float32))
    top = heat.max(axis=(1, 2, 3), initial=0.0, keepdims=True)
    return np.asarray(np.where(top > _NOTHING, heat / np.maximum(top, _NOTHING), 0.0), np.float32)


def gradient(asked: Question, model: NetworkModel) -> Floats:
    """``(m, Z, Y, X)`` of at least 0, from the gradients of a network: it is built again, in torch, in this process."""
    shape = asked.arrays.shape[1:]
    rows, choices = np.asarray(asked.rows), np.asarray(asked.choices)
    found = [np.empty((0, *shape), np.float32)]
    if len(rows) == 0 or not asked.time_for(0.0):
        return found[0]
    gradcam = registry.load("networks", "gradcam")
    net = gradcam.rebuilt(model.network, model.backbone, model.arrays)
    with asked.tell.task("Explaining", len(rows)) as tick:
        for start in range(0, len(rows), _AT_ONCE):
            if not asked.time_for(0.0):
                break
            part = slice(start, start + _AT_ONCE)
            pixels = as_input(asked.arrays.take(rows[part]))
            found.append(gradcam.heat_for(net, pixels, model.target.kind, choices[part]).reshape(-1, *shape))
            tick(len(pixels))
    return np.concatenate(found)


def choices_of(target: Target, prediction: Prediction) -> Integers:
    """Which answer of each case is explained: the one given; for multi-label the most probable label; numbers: 0."""
    if target.kind is TargetKind.NUMBER:
        return np.zeros(len(prediction.cases), np.int64)
    if target.kind is TargetKind.MULTILABEL:
        return np.asarray(prediction.probabilities.argmax(axis=1))
    return np.array([target.classes.index(label) for label in prediction.labels], np.int64)
