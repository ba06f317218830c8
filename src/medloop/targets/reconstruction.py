"""Reconstruction: the image made up again from what is left when blocks of it are hidden. A helper task that needs no labels.

Where the made-up image is far off, something is there that training images did not have: the anomaly map. It says how rare an
error is among training cases, as ``-log10`` of the share of their voxels with an error at least as large: 1 is reached by one
voxel in ten, 2 by one in a hundred, 4 is the most.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from medloop.evaluation import intervals, overlap
from medloop.targets._drawing import contoured
from medloop.types import UNKNOWN, Array, Findings, Floats, Integers, Json, Metric, SpacingMm, Target, TargetKind

KIND = TargetKind.RECONSTRUCTION
TARGET = Target(KIND, (), KIND.value)
BLOCK = 16
"""Pixels a side of what is hidden at once, about."""
MOST = 4.0
STEP = 0.02
"""Of the anomaly in maps that are kept or written."""
ERROR, MEAN, HIGHEST = "reconstruction error", "mean anomaly", "highest anomaly"
"""What is told of each case beside its measures."""
_LEVELS = np.linspace(0, MOST, 41)
_BINS = round(MOST / STEP) + 1
_HOT = np.array((213, 94, 0), np.float32)
_SHOWN_FROM = 1.0


def quarters(grid: tuple[int, int]) -> NDArray[np.bool_]:
    """Four grids ``(4, rows, columns)`` that together hide every block once, so that the whole image is made up in four passes."""
    number = np.arange(grid[0])[:, None] % 2 * 2 + np.arange(grid[1]) % 2
    return np.asarray(number == np.arange(4)[:, None, None])


def grey(pixels: Array) -> NDArray[np.float32]:
    """``(n, C, [Z,] Y, X)`` to ``(n, [Z,] Y, X)``: the mean of the channels, in units of the image's mean and deviation."""
    values = pixels.mean(axis=1, dtype=np.float32)
    inner = tuple(range(1, values.ndim))
    return np.asarray((values - values.mean(axis=inner, keepdims=True)) / (values.std(axis=inner, keepdims=True) + 1), np.float32)


def hide(pixels: Array, hidden: NDArray[np.bool_]) -> Array:
    """Images ``(n, C, [Z,] Y, X)`` with their mean where ``hidden`` ``(Y, X)``, as networks saw them while they learnt."""
    mean = pixels.mean(axis=tuple(range(2, pixels.ndim)), keepdims=True, dtype=np.float64)
    return np.where(hidden, mean.astype(pixels.dtype), pixels)


def errors(make_up: Callable[[Array], Floats], pixels: Array) -> NDArray[np.float32]:
    """How far images ``(n, C, [Z,] Y, X)`` are from what is made up of each block while it is hidden: ``(n, 1, [Z,] Y, X)``,
    absolute, in units of `grey`.

    ``make_up``: images to the `grey` of them ``(n, 1, [Z,] y, x)`` that a network believes in. Means of its cells are compared.
    """
    high, wide = pixels.shape[-2:]
    truth = grey(pixels)[:, None]
    total: Floats = np.zeros(1, np.float32)
    for blocks in quarters((-(-high // BLOCK), -(-wide // BLOCK))):
        hidden = _spread(blocks, (high, wide))
        said = make_up(hide(pixels, hidden))
        share = _pooled(hidden.astype(np.float32), said.shape[-2:])
        there = _pooled(np.where(hidden, truth, 0), said.shape[-2:]) / np.maximum(share, 1e-6)
        total = total + np.abs(said - there) * share
    return _pooled(total, (high, wide))


@dataclass(frozen=True, slots=True)
class Typical:
    """How large errors are on training cases: at most ``errors[i]`` in all voxels but a share of ``10 ** -(i / 10)``."""

    errors: tuple[float, ...]

    def to_json(self) -> Json:
        """Plain JSON."""
        return asdict(self)

    @staticmethod
    def from_json(content: Json) -> Typical:
        """As `to_json` wrote it."""
        return Typical(tuple(float(each) for each in content["errors"]))


def levels(errors: Floats) -> Floats:
    """Of one case's errors: ``(41,)``, at most so large in all voxels but a share of ``10 ** -(i / 10)``."""
    return np.asarray(np.quantile(errors, 1 - 10**-_LEVELS), np.float64)


def learn_typical(told: Iterable[Floats]) -> Typical:
    """From the `levels` of training cases: their mean."""
    rows = list(told)
    if not rows:
        raise ValueError("no cases to learn errors from")
    return Typical(tuple(np.maximum.accumulate(np.mean(rows, axis=0)).tolist()))


def decode(errors: Floats, typical: Typical) -> NDArray[np.float32]:
    """Absolute errors of any shape to the anomaly map: 0 to `MOST`, how rare such an error is."""
    return np.asarray(np.interp(errors, typical.errors, _LEVELS), np.float32)


def quantised(anomaly: Floats) -> NDArray[np.uint8]:
    """An anomaly map in steps of `STEP`."""
    return np.asarray(np.rint(np.clip(anomaly, 0, MOST) / STEP), np.uint8)


def summary(errors: Floats, anomaly: NDArray[np.uint8]) -> dict[str, float]:
    """What is told of one case: `ERROR`, absolute, and of its map `MEAN` and `HIGHEST`."""
    told = anomaly.mean(dtype=np.float64), anomaly.max(initial=0)
    return {ERROR: float(errors.mean(dtype=np.float64)), MEAN: STEP * float(told[0]), HIGHEST: STEP * float(told[1])}


@dataclass(frozen=True, slots=True, eq=False)
class ReconstructionTally:
    """Of one case: mean absolute ``error`` and ``mean`` anomaly, NaN where nothing was made up; ``inside`` and ``outside``: voxels
    of a true mask, and others, by their anomaly in steps."""

    error: float
    mean: float
    inside: Integers
    outside: Integers


def tally(target: Target, found: Findings, truth: Findings, spacing_mm: SpacingMm | None) -> ReconstructionTally:
    """What one case adds; the mask of ``truth`` says what is truly abnormal, as far as it is known."""
    del target, spacing_mm
    error, mean = (found.measures.get(name, float("nan")) for name in (ERROR, MEAN))
    nothing = np.zeros(_BINS, np.int64)
    if found.anomaly is None or truth.mask is None:
        return ReconstructionTally(error, mean, nothing, nothing)
    where = (truth.mask > 0) & (truth.mask != UNKNOWN), truth.mask == 0
    return ReconstructionTally(error, mean, *(np.bincount(found.anomaly[each], minlength=_BINS) for each in where))


def merit(tally: ReconstructionTally) -> float:
    """The less unusual the better."""
    return -tally.mean


def metrics(target: Target, tallies: Sequence[ReconstructionTally], patients: Integers, seed: int = 0) -> dict[str, Metric]:
    """``reconstruction_error``: mean absolute; ``anomaly_auc``: how well the map tells voxels inside true masks from others, by
    case."""
    del target
    aucs = np.array([_auc(each.inside, each.outside) for each in tallies])
    parts = {
        "reconstruction_error": overlap.known_mean(np.array([each.error for each in tallies])),
        "anomaly_auc": overlap.known_mean(aucs),
    }
    reasons = {
        "reconstruction_error": "no image here was made up again",
        "anomaly_auc": "no case here has a mask of what is abnormal",
    }
    return intervals.bootstrap(parts, patients, seed, reasons)


def slice_of(found: Findings, truth: Findings | None = None) -> int:
    """The slice with most of what is shown; where nothing is shown, the most unusual one."""
    del truth
    if found.anomaly is None:
        return 0
    shown = np.maximum(found.anomaly * np.float32(STEP) - _SHOWN_FROM, 0).sum(axis=(1, 2))
    return int((shown if shown.any() else found.anomaly.sum(axis=(1, 2))).argmax())


def overlay(rgb: Array, anomaly: Floats) -> NDArray[np.uint8]:
    """``(Y, X, 3)`` uint8 with the anomaly ``(Y, X)`` laid over it: nothing below 1 (one voxel in ten), full from `MOST`."""
    cover = 0.8 * np.clip((anomaly - _SHOWN_FROM) / (MOST - _SHOWN_FROM), 0, 1)[..., None]
    return np.asarray(np.rint((1 - cover) * rgb + cover * _HOT), np.uint8)


def picture(rgb: Array, target: Target, found: Findings, truth: Findings | None = None, z: int = 0) -> NDArray[np.uint8]:
    """The slice ``z``: the anomaly laid over it, true masks as contours."""
    del target
    drawn = np.array(rgb, np.uint8) if found.anomaly is None else overlay(rgb, found.anomaly[z] * np.float32(STEP))
    return drawn if truth is None or truth.mask is None else contoured(drawn, truth.mask[z])


def _auc(inside: Integers, outside: Integers) -> float:
    """Area under the ROC curve of two histograms, ties counted half; NaN where one is empty."""
    pairs = float(inside.sum()) * float(outside.sum())
    below = np.cumsum(outside) - outside / 2
    return float(inside @ below) / pairs if pairs else float("nan")


def _spread(blocks: NDArray[np.bool_], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Blocks ``(rows, columns)`` laid over an image ``(Y, X)``, as `medloop.networks.heads.reconstruction.hide` lays them."""
    rows, columns = (np.arange(side) * count // side for side, count in zip(shape, blocks.shape, strict=True))
    return blocks[np.ix_(rows, columns)]


def _pooled(values: Floats, size: Sequence[int]) -> NDArray[np.float32]:
    """``(..., Y, X)`` to the means of ``size`` cells, as torch's adaptive pooling takes them."""
    for axis, count in zip((-2, -1), size, strict=True):
        side = values.shape[axis]
        low, high = np.arange(count) * side // count, -(-np.arange(1, count + 1) * side // count)
        sums = np.cumsum(values, axis=axis, dtype=np.float64)
        before = np.concatenate([np.zeros_like(sums.take([0], axis)), sums], axis=axis)
        width = (high - low).reshape([-1, 1] if axis == -2 else [-1])
        values = (before.take(high, axis) - before.take(low, axis)) / width
    return np.asarray(values, np.float32)
