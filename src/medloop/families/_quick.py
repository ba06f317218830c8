"""A model that is learnt again in a moment, for loops that learn after every few labels.

A frozen network looks at every image once. What it saw is brought to a few principal components of all images, labelled or not; on
these two heads are learnt, a Gaussian kernel and a line, and their scores averaged.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.decomposition import PCA

from medloop import features
from medloop.compute import Compute
from medloop.errors import InputError
from medloop.evaluation import asking
from medloop.families import _estimators, _eyes
from medloop.families._choice import averaged, unit_of
from medloop.families._estimators import Learnt, Task
from medloop.families._heads import LIMIT
from medloop.features import Feature
from medloop.features.network import Params
from medloop.prepared.arrays import PreparedArrays
from medloop.progress import QUIET, Progress
from medloop.types import Array, Floats, Integers, Target, TargetKind

COMPONENTS = 128
_HEADS = (("rbf-svm", {"C": 10.0, "gamma": 0.3}), ("logistic", {"C": 10.0}))
_SAMPLE, _BLOCK = 3000, 4096


def looked_at(arrays: PreparedArrays, compute: Compute, cache: Path | None = None, tell: Progress = QUIET) -> Floats:
    """``(N, D)`` float32: what the pretrained network sees in every prepared image. Raises `InputError`."""
    eye = Feature(_eyes.FEATURE, _eyes.first(arrays, Params()))
    if not eye.module.suits(arrays):
        raise InputError(
            "too-small",
            got=f"Prepared images of {' x '.join(map(str, arrays.shape[2:]))} pixels.",
            allowed="At least 8 pixels a side.",
            fix="Use larger images.",
        )
    every = np.arange(len(arrays))
    state = features.fit(arrays, every, eye, seed=0, compute=compute, cache=cache, tell=tell)
    return features.table(arrays, every, eye, state=state, compute=compute, cache=cache, tell=tell)


def reduced(rows: Floats, known: Integers, seed: int = 0) -> Floats:
    """``(N, k)`` float32: principal components found in the rows ``known`` alone, in which these have unit mean squared length."""
    some = np.sort(np.random.default_rng(seed).permutation(known)[:_SAMPLE])
    sample = np.asarray(rows[some], np.float32)
    mean, deviation = sample.mean(axis=0), sample.std(axis=0)
    inverse = np.where(deviation > 1e-6, 1 / np.maximum(deviation, 1e-6), 0.0).astype(np.float32)
    wanted = min(COMPONENTS, *sample.shape)
    found = PCA(wanted, svd_solver="randomized", iterated_power=3, random_state=seed).fit(_scaled(sample, mean, inverse))
    blocks = (rows[start : start + _BLOCK] for start in range(0, len(rows), _BLOCK))
    places = np.concatenate([found.transform(_scaled(block, mean, inverse)) for block in blocks]).astype(np.float32)
    length = float(np.sqrt(np.mean(np.einsum("nd,nd->n", places[known], places[known])))) or 1.0
    return np.asarray(places / np.float32(length))


def _scaled(rows: Floats, mean: Floats, inverse: Floats) -> Floats:
    return np.asarray(np.clip((np.asarray(rows, np.float32) - mean) * inverse, -LIMIT, LIMIT))


@dataclass(frozen=True, slots=True, eq=False)
class Quick:
    """The heads, and by what the scores of each are divided."""

    target: Target
    heads: tuple[Learnt, ...]
    units: tuple[float, ...]

    def raw(self, rows: Floats) -> Floats:
        """``(n, K)`` scores before calibration, one column for binary."""
        return averaged([head.raw(rows) / unit for head, unit in zip(self.heads, self.units, strict=True)])

    def margin(self, raw: Floats) -> Floats:
        """``(n,)`` how sure scores are, 0 for not at all."""
        if self.target.kind is TargetKind.MULTICLASS:
            return asking.margin(raw)
        return np.asarray(np.abs(raw).min(axis=1))


def learnable(target: Target, values: Array) -> bool:
    """Whether the labels hold two classes at least."""
    if target.kind is TargetKind.MULTILABEL:
        return bool(((values == 1).any(axis=0) & (values == 0).any(axis=0)).any())
    return len(np.unique(values)) > 1


def learn(rows: Floats, values: Array, target: Target, seed: int = 0) -> Quick:
    """Learn classes from ``(n, k)`` reduced rows; ``values`` as in `types.Dataset`."""
    tasks = [(name, Task(params, target.kind, rows, values, len(target.classes), seed)) for name, params in _HEADS]
    heads = tuple(_estimators.fit(name, task) for name, task in tasks)
    return Quick(target, heads, tuple(unit_of(target, head.raw(rows)) for head in heads))
