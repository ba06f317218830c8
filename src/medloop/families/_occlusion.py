"""Which parts of a picture a model's answer rests on, found by covering them: works for every model that gives scores.

Zeiler and Fergus, ECCV 2014: what the score loses when a patch is covered is the patch's heat. Patches overlap by half, have soft
edges (the border of a patch is not to look like a finding) and are filled with the picture's median, its most usual value.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from medloop.compute import Compute
from medloop.families._job import Model
from medloop.prepared.arrays import PreparedArrays
from medloop.prepared.canvas import Canvas
from medloop.progress import QUIET, Progress
from medloop.types import Array, Floats, Integers, Target, TargetKind

_CELLS, _CELLS_DEEP = 8, 5
_EDGE = 0.25  # of a cell: where a patch fades out
_CALL_BYTES, _CALL_PICTURES = 32 * 2**20, 8


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Question:
    """What is to be explained: why ``model`` answers ``choices[j]`` (a class; numbers: 0) for the image ``rows[j]``.

    ``deadline``: on ``clock`` (seconds); images for which there is no time are left out. None: there is time.
    """

    model: Model
    arrays: PreparedArrays
    rows: Integers
    choices: Integers
    compute: Compute | None = None
    tell: Progress = QUIET
    deadline: float | None = None
    clock: Callable[[], float] = time.monotonic

    def time_for(self, seconds: float) -> bool:
        """Whether that much time is left."""
        return self.deadline is None or self.clock() + seconds <= self.deadline


def occlusion(asked: Question) -> Floats:
    """``(m, Z, Y, X)`` float32 of at least 0, for the first m of the n rows that there was time for."""
    shape = asked.arrays.shape
    windows = [_windows(side, _cells(side, shape[1:]), asked.arrays.binary) for side in shape[1:]]
    patches = list(itertools.product(*(range(len(each)) for each in windows)))
    found: list[Floats] = []
    size, each = 1, 0.0
    with (
        Canvas(asked.arrays, _block(asked.arrays, len(patches) + 1)) as canvas,
        asked.tell.task("Explaining", len(asked.rows)) as tick,
    ):
        while len(found) < len(asked.rows) and asked.time_for(size * each):
            began = asked.clock()
            scores = _scores(asked, slice(len(found), len(found) + size), canvas, windows, patches)
            found += [_heat(asked.model.target, one, shape[1:]) for one in scores]
            each = (asked.clock() - began) / len(scores)
            size = min(2 * size, _CALL_PICTURES)
            tick(len(scores))
    return np.stack(found).astype(np.float32) if found else np.empty((0, *shape[1:]), np.float32)


def margins(target: Target, raw: Floats, choices: Integers) -> Floats:
    """How much raw scores ``(n, K)`` speak for each choice: its log odds against the other classes; numbers: the number."""
    if target.kind is TargetKind.NUMBER:
        return np.asarray(raw[:, 0])
    if target.kind is TargetKind.BINARY:
        positive = raw[:, -1] - (raw[:, 0] if raw.shape[1] == 2 else 0.0)
        return np.asarray(np.where(np.asarray(choices) == 1, positive, -positive))
    chosen = np.take_along_axis(raw, np.asarray(choices)[:, None], axis=1)[:, 0]
    if target.kind is TargetKind.MULTILABEL:
        return np.asarray(chosen)
    others = np.where(np.arange(raw.shape[1]) == np.asarray(choices)[:, None], -np.inf, raw)
    return np.asarray(chosen - special.logsumexp(others, axis=1))


def _cells(side: int, shape: tuple[int, ...]) -> int:
    """Into how many cells one side of ``(Z, Y, X)`` is cut."""
    return min(side, _CELLS if shape[0] == 1 else _CELLS_DEEP)


def _windows(side: int, cells: int, hard: bool) -> Floats:
    """``(count, side)``: how far each of the patches along one axis covers each pixel, 0 to 1."""
    if cells < 2:
        return np.ones((1, side), np.float32)
    cell = side / cells
    middles = cell * np.arange(1, cells)
    distance = np.abs(np.arange(side)[None, :] + 0.5 - middles[:, None])
    covered = np.clip((cell - distance) / (_EDGE * cell) + 0.5, 0, 1)
    return (covered > 0.5 if hard else covered).astype(np.float32)


def _block(arrays: PreparedArrays, each: int) -> int:
    """How many covered pictures are shown to the model at a time."""
    one = int(np.prod(arrays.shape)) * np.dtype(arrays.dtype).itemsize
    return int(np.clip(_CALL_BYTES // max(one, 1), 1, each * _CALL_PICTURES))


def _scores(asked: Question, part: slice, canvas: Canvas, windows: Sequence[Floats], patches: Sequence[tuple[int, ...]]) -> Floats:
    """``(n, 1 + patches)``: how much the model is for its choice, first for the whole picture."""
    rows, choices = np.asarray(asked.rows)[part], np.asarray(asked.choices)[part]
    raws = []
    pairs = list(itertools.product(range(len(rows)), range(len(patches) + 1)))
    pixels = asked.arrays.take(rows)
    fills = np.stack([_usual(each) for each in pixels])
    for start in range(0, len(pairs), canvas.size):
        some = pairs[start : start + canvas.size]
        made = np.stack([_covered(pixels[at], fills[at], windows, patches[k - 1] if k else None) for at, k in some])
        shown = canvas.show(made, rows[[at for at, _ in some]])
        raws.append(asked.model.raw(shown, compute=asked.compute))
    for_choice = margins(asked.model.target, np.concatenate(raws), np.repeat(choices, len(patches) + 1))
    return np.asarray(for_choice.reshape(len(rows), -1))


def _usual(picture: Array) -> Array:
    """``(C, 1, 1, 1)``: the middle value of each channel, one that occurs."""
    flat = np.nan_to_num(picture.reshape(len(picture), -1))
    middle = flat.shape[1] // 2
    usual: Array = np.partition(flat, middle, axis=1)[:, middle].reshape(-1, 1, 1, 1)
    return usual


def _covered(picture: Array, fill: Array, windows: Sequence[Floats], patch: tuple[int, ...] | None) -> Array:
    """The picture ``(C, Z, Y, X)`` with a patch covered; as it is for None."""
    if patch is None:
        return picture
    cover = _cover(windows, patch)
    mixed = picture + cover * (fill.astype(np.float32) - picture)
    changed: Array = (np.rint(mixed) if picture.dtype.kind in "iu" else mixed).astype(picture.dtype)
    return changed


def _cover(windows: Sequence[Floats], patch: tuple[int, ...]) -> Floats:
    """``(Z, Y, X)``, 0 to 1."""
    z, y, x = (each[k] for each, k in zip(windows, patch, strict=True))
    return np.asarray(z[:, None, None] * y[None, :, None] * x[None, None, :])


def _heat(target: Target, scores: Floats, shape: tuple[int, ...]) -> Floats:
    """``(Z, Y, X)``: what is lost when patches are covered, interpolated between their middles."""
    lost = scores[0] - scores[1:]
    lost = np.abs(lost) if target.kind is TargetKind.NUMBER else np.maximum(lost, 0.0)
    tents = [_tents(side, _cells(side, shape)) for side in shape]
    grid = lost.reshape([len(each) for each in tents])
    return np.asarray(np.einsum("abc,az,by,cx->zyx", grid, *tents, optimize=True))


def _tents(side: int, cells: int) -> Floats:
    """``(count, side)``: the weight of each patch's middle at each pixel; the sum over the patches is 1."""
    if cells < 2:
        return np.ones((1, side), np.float32)
    cell = side / cells
    place = np.clip((np.arange(side) + 0.5) / cell, 1, cells - 1)
    return np.asarray(np.clip(1 - np.abs(place[None, :] - np.arange(1, cells)[:, None]), 0, 1), np.float32)
