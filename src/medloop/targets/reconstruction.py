"""Reconstruction: the image made up again from what is left when blocks of it are hidden. A helper task that needs no labels.

Where the made-up image is far off, something is there that training images did not have: the anomaly map. It says how rare an
error is among training cases, as ``-log10`` of the share of their voxels with an error at least as large: 1 is reached by one
voxel in ten, 2 by one in a hundred, 4 is the most.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from medloop.evaluation import intervals, overlap, weighted
from medloop.types import UNKNOWN, Array, Floats, Integers, Json, Metric

KIND = None
MOST = 4.0
_LEVELS = np.linspace(0, MOST, 41)
_HOT = np.array((213, 94, 0), np.float32)
_SHOWN_FROM = 1.0


def blocks(count: int, grid: tuple[int, int], share: float, seed: int) -> NDArray[np.bool_]:
    """What to hide of ``count`` images: ``(N, rows, columns)`` bool, in each the same number of blocks of a grid laid over it."""
    cells = grid[0] * grid[1]
    hidden = int(np.clip(round(share * cells), 1, max(1, cells - 1)))
    order = np.random.default_rng(seed).random((count, cells)).argsort(axis=1)
    return np.asarray((order < hidden).reshape(count, *grid))


def quarters(grid: tuple[int, int]) -> NDArray[np.bool_]:
    """Four grids ``(4, rows, columns)`` that together hide every block once, so that the whole image is made up in four passes."""
    number = np.arange(grid[0])[:, None] % 2 * 2 + np.arange(grid[1]) % 2
    return np.asarray(number == np.arange(4)[:, None, None])


def noisy(pixels: Floats, deviation: float, seed: int) -> NDArray[np.float32]:
    """``(N, ...)`` with Gaussian noise of this many standard deviations of each image, drawn from the seed."""
    spread = pixels.reshape(len(pixels), -1).std(axis=1).reshape(-1, *(1,) * (pixels.ndim - 1))
    noise = np.random.default_rng(seed).standard_normal(pixels.shape, np.float32)
    return np.asarray(pixels + deviation * spread * noise, np.float32)


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


def learn_typical(errors: Iterable[Floats]) -> Typical:
    """From the errors ``(Z, Y, X)`` of training cases, one at a time: the mean over cases of each case's quantiles."""
    total, count = np.zeros(len(_LEVELS)), 0
    for each in errors:
        total, count = total + np.quantile(each, 1 - 10**-_LEVELS), count + 1
    if not count:
        raise ValueError("no cases to learn errors from")
    return Typical(tuple(np.maximum.accumulate(total / count).tolist()))


def decode(errors: Floats, typical: Typical) -> NDArray[np.float32]:
    """Absolute errors of any shape to the anomaly map: 0 to `MOST`, how rare such an error is."""
    return np.asarray(np.interp(errors, typical.errors, _LEVELS), np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class ReconstructionTally:
    """Of one case: mean absolute ``error``; ``inside`` and ``outside``: voxels of a true mask, and others, by their anomaly
    ``(41,)``."""

    error: float
    inside: Integers
    outside: Integers


def tally(errors: Floats, anomaly: Floats, mask: Array | None = None) -> ReconstructionTally:
    """What one case adds: errors and anomaly ``(Z, Y, X)``, and the mask of what is truly abnormal, where it is known."""
    truth = np.full(errors.shape, UNKNOWN) if mask is None else mask
    level = np.searchsorted(_LEVELS, anomaly, side="right") - 1
    count = [np.bincount(level[where], minlength=len(_LEVELS)) for where in ((truth > 0) & (truth != UNKNOWN), truth == 0)]
    return ReconstructionTally(float(errors.mean(dtype=np.float64)), *count)


def metrics(tallies: Sequence[ReconstructionTally], patients: Integers, seed: int = 0) -> dict[str, Metric]:
    """``reconstruction_error``: mean absolute; ``anomaly_auc``: how well the map tells voxels inside true masks from others, by
    case."""
    aucs = np.array([_auc(each.inside, each.outside) for each in tallies])
    parts = {
        "reconstruction_error": weighted.mean(np.array([each.error for each in tallies])),
        "anomaly_auc": overlap.known_mean(aucs),
    }
    return intervals.bootstrap(parts, patients, seed, {"anomaly_auc": "no case here has a mask of what is abnormal"})


def picture(rgb: Array, anomaly: Floats) -> NDArray[np.uint8]:
    """``(Y, X, 3)`` uint8 with the anomaly ``(Y, X)`` laid over it: nothing below 1 (one voxel in ten), full from `MOST`."""
    cover = 0.8 * np.clip((anomaly - _SHOWN_FROM) / (MOST - _SHOWN_FROM), 0, 1)[..., None]
    return np.asarray(np.rint((1 - cover) * rgb + cover * _HOT), np.uint8)


def _auc(inside: Integers, outside: Integers) -> float:
    """Area under the ROC curve of two histograms, ties counted half; NaN where one is empty."""
    pairs = float(inside.sum()) * float(outside.sum())
    below = np.cumsum(outside) - outside / 2
    return float(inside @ below) / pairs if pairs else float("nan")
