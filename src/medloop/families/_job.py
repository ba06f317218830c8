"""What a family is asked for, and what it gives back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medloop.compute import Compute
from medloop.evaluation.calibration import Calibrator
from medloop.evaluation.decisions import Decision
from medloop.families import _alike, _folds
from medloop.prepared.arrays import PreparedArrays
from medloop.prepared.geometry import Geometry
from medloop.progress import QUIET, Progress
from medloop.targets.rules import Rules
from medloop.types import Array, Dataset, Findings, Floats, Integers, Json, Prediction, Recipe, Step, Target, Truth


class Masks(Protocol):
    """Label maps on the grids of prepared images, row by row (`medloop.prepared.masks.PreparedMasks`)."""

    @property
    def known(self) -> NDArray[np.bool_]:
        """``(N,)``: of the others every voxel is `UNKNOWN`."""
        ...

    @property
    def key(self) -> str:
        """A name of exactly these label maps in this order."""
        ...

    def take(self, indices: ArrayLike) -> NDArray[np.uint8]:
        """``(n, Z, Y, X)``."""
        ...


Further: TypeAlias = Masks | Truth
"""What is known of a structured target: masks, or boxes in prepared voxels and numbers as in `Truth`."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FitJob:
    """Learn from the cases ``train`` of a dataset and look at no others.

    ``arrays``: row ``i`` is the prepared image of case ``i`` of ``dataset``. ``train``: positions; tuning, calibration, thresholds
    and fitting see only these. ``deadline``: on ``clock`` (seconds), when the fitted model should be there. ``cache``: folder
    for what can be computed again (None: nothing is kept). ``device``: where networks are trained (``auto``, ``cpu``, ``cuda``).
    ``further``: by the names of the structured targets in ``dataset.further``, rows as in ``arrays``, in prepared voxels;
    ``geometry``: where those lie in the images as read (None: prepared images are taken as they are).
    """

    dataset: Dataset
    arrays: PreparedArrays
    train: Integers
    recipe: Recipe
    deadline: float
    cache: Path | None = None
    compute: Compute = field(default_factory=lambda: Compute(0))
    tell: Progress = QUIET
    clock: Callable[[], float] = time.monotonic
    device: str = "auto"
    further: Mapping[str, Further] = field(default_factory=dict)
    geometry: Geometry | None = None

    @property
    def class_known(self) -> NDArray[np.bool_]:
        """Of which training cases the class (or number) is known; of none where only structured targets are learnt."""
        if self.dataset.target.kind.structured:
            return np.zeros(len(self.train), bool)
        known = self.dataset.class_known
        return np.ones(len(self.train), bool) if known is None else np.asarray(known[self.train])

    @property
    def values(self) -> Array:
        """The truth of the training cases."""
        return np.asarray(self.dataset.values[self.train])

    @property
    def groups(self) -> Integers:
        """Which training cases must stay together."""
        return np.asarray(self.dataset.groups[self.train])

    def folds(self, wanted: int | None = None) -> Integers:
        """``(n,)`` fold numbers of the training cases, the same for every family (`_folds.folds`).

        Where patients are unknown, pictures that look alike are held out together (`_alike.gathered`).
        """
        target, values, groups, seed = self.dataset.target, self.values, self.groups, self.recipe.seed
        fold = _folds.folds(target, values, groups, seed, wanted)
        if len(fold) > _folds.MANY or any(self.dataset.cases[row].patient is not None for row in self.train):
            return fold
        found = _alike.gathered(self.arrays, self.train, groups, _folds.strata(target, values), int(fold.max()) + 1, seed)
        return fold if found is None else found


@dataclass(frozen=True, slots=True, eq=False)
class OutOfFold:
    """Answers for the n training cases, each by models that saw neither it nor its group.

    ``indices``: ``(n,)`` positions in the dataset. ``fold``: ``(n,)``, -1 for cases that were not held out. ``raw``: ``(n, K)``
    scores before calibration (one column for binary). ``probabilities``: ``(n, K)`` after calibration, which was fitted on these
    very scores (numbers: ``(n, 1)``).
    K is 0 where only structured targets are learnt.
    """

    indices: Integers
    fold: Integers
    raw: Floats
    probabilities: Floats


class Model(Protocol):
    """What every family's model can do. All of it is data: no pickled objects."""

    @property
    def family(self) -> str:
        """The name of the module that made it."""
        ...

    @property
    def target(self) -> Target:
        """What it answers."""
        ...

    @property
    def preparation(self) -> tuple[Step, ...]:
        """The steps that images must go through before."""
        ...

    @property
    def calibrator(self) -> Calibrator:
        """How scores become probabilities."""
        ...

    @property
    def decision(self) -> Decision:
        """How probabilities become answers."""
        ...

    def raw(
        self,
        arrays: PreparedArrays,
        indices: Array | None = None,
        *,
        compute: Compute | None = None,
        cache: Path | None = None,
        tell: Progress = QUIET,
    ) -> Floats:
        """``(n, K)`` scores before calibration (one column for binary; numbers: the predicted numbers)."""
        ...

    def predict(
        self,
        arrays: PreparedArrays,
        indices: Array | None = None,
        *,
        cases: Sequence[str] = (),
        compute: Compute | None = None,
        cache: Path | None = None,
        tell: Progress = QUIET,
    ) -> Prediction:
        """Calibrated answers for prepared images (all of them, or the rows ``indices``), named ``cases``."""
        ...


class Finder(Model, Protocol):
    """A model that answers structured targets too."""

    @property
    def further(self) -> tuple[Target, ...]:
        """Which."""
        ...

    @property
    def rules(self) -> Rules | None:
        """What its answers are held against."""
        ...

    def find(
        self,
        arrays: PreparedArrays,
        geometry: Geometry | None,
        indices: Array | None = None,
        *,
        cases: Sequence[str] = (),
        compute: Compute | None = None,
        cache: Path | None = None,
        tell: Progress = QUIET,
    ) -> Iterator[Findings]:
        """What is found in prepared images, one after another, in voxels of the images as read (``geometry``: of ``arrays``)."""
        ...

    def answered(self, raw: Floats, cases: Sequence[str] = ()) -> Prediction:
        """What `predict` says, from the scores ``(n, K)`` that `find` gave with what it found."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A model and how it came about. ``recipe`` is what was done: learning from it again gives the same model, without search.

    ``trials``: one row each, in order: ``trial``, ``state``, ``score``, ``fold_scores``, ``seconds`` and the configuration.
    ``timings``: seconds by stage (``features``, ``search``, ``fit``). Where several families were tried, ``ladder`` has a row for
    each (`medloop.families.ladder`), ``cheapest`` is what the quickest of them gave, and ``members`` what those chosen gave.
    ``answers``: by the names of structured targets a file of out-of-fold answers in prepared voxels, its rows those of
    ``out_of_fold`` (masks: ``.npy`` ``(n, Z, Y, X)`` uint8, cleaned, `UNKNOWN` where a case was not held out).
    """

    model: Model
    out_of_fold: OutOfFold
    trials: Sequence[Mapping[str, Json]]
    recipe: Recipe
    timings: Mapping[str, float]
    ladder: Sequence[Mapping[str, Json]] = ()
    cheapest: Fitted | None = None
    members: Sequence[Fitted] = ()
    answers: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """A model as it lies on disk: plain JSON, arrays for safetensors, and named files (ONNX)."""

    json: Mapping[str, Json]
    arrays: Mapping[str, NDArray[np.generic]]
    files: Mapping[str, bytes]
