"""A linear layer learnt by stochastic gradient descent with momentum, on rows in memory or mapped from disk, in NumPy.

One step is that of ``torch.optim.SGD``: the slope of the batch's mean loss is added to ``momentum`` times the speed so far, and
``rate`` times the speed is taken from the weights. With 16 rows a step NumPy is quicker than torch, whose calls cost more than the
sums in them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from medloop.types import Array, Floats, Integers, Json, Target, TargetKind

Told: TypeAlias = Callable[[dict[str, Json]], None]
Figures: TypeAlias = tuple[float | None, float | None]
"""Loss and accuracy."""
Loss: TypeAlias = Callable[[Floats, Array], tuple[float, Floats]]
"""Scores ``(n, K)`` and truth to the mean loss and its slope ``(n, K)``."""
_READ = 64
"""Batches gathered at a time: a table mapped from disk is never held whole."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How the layer is learnt."""

    rate: float = 0.001
    momentum: float = 0.9
    batch: int = 16
    epochs: int = 100


@dataclass(frozen=True, slots=True, eq=False)
class Views:
    """``rows`` ``(N, V, D)`` float32: views of each image, the first one the image as it is. ``values``: the truth of each image as
    in `types.Dataset` (numbers standardised)."""

    rows: Array
    values: Array

    def plain(self, images: Integers) -> Floats:
        """A copy ``(n, D)`` of these images as they are."""
        return np.asarray(self.rows[images, 0])

    def batches(self, images: Integers, size: int, draw: np.random.Generator) -> Iterator[tuple[Floats, Array]]:
        """``(rows, values)`` of all these images in an order drawn anew, of each a view drawn anew."""
        order = draw.permutation(images)
        view = draw.integers(self.rows.shape[1], size=len(order))
        for first in range(0, len(order), size * _READ):
            some = slice(first, first + size * _READ)
            rows, values = self.rows[order[some], view[some]], self.values[order[some]]
            for start in range(0, len(rows), size):
                yield rows[start : start + size], values[start : start + size]


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """``rows @ weights + bias``: weights ``(D, K)`` and bias ``(K,)`` float32 as they were after ``epoch`` (from 1; 0: the start).

    ``history``: a row an epoch: ``epoch``, ``loss``, ``accuracy`` over the batches as they came, ``validation_loss``,
    ``validation_accuracy`` at its end. None: nothing was held out; numbers have no accuracy. ``stopped``: ``done``, or ``nan``
    where the loss was no number any more.
    """

    weights: Floats
    bias: Floats
    epoch: int
    history: tuple[dict[str, Json], ...]
    stopped: str = "done"

    def scores(self, rows: Floats) -> Floats:
        """``(n, K)``."""
        return np.asarray(rows @ self.weights + self.bias)


@np.errstate(over="ignore", invalid="ignore")
def learn(
    views: Views, seen: Integers, held: Integers, target: Target, plan: Plan, seed: int, told: Told = lambda row: None
) -> Layer:
    """Learn from the images ``seen``; the epoch of the lowest loss on the images ``held`` is kept (the last one where none are).

    Everything random follows from ``seed`` and the epoch. ``told`` is called with each row of the history.
    """
    pupil = _Pupil(target, plan, *start(views.rows.shape[2], max(1, len(target.classes)), seed))
    aside, truth = views.plain(held), views.values[held]
    kept, lowest, history = (pupil.weights.copy(), pupil.bias.copy(), 0), math.inf, []
    for epoch in range(1, plan.epochs + 1):
        figures = pupil.epoch(views.batches(seen, plan.batch, np.random.default_rng((seed, epoch))))
        judged = pupil.judged(aside, truth) if len(held) else (None, None)
        row = {"epoch": epoch} | _named(figures) | _named(judged, "validation_")
        history.append(row)
        told(row)
        if not pupil.sane:
            return Layer(*kept, tuple(history), "nan")
        if judged[0] is None or judged[0] < lowest:
            kept, lowest = (pupil.weights.copy(), pupil.bias.copy(), epoch), judged[0] if judged[0] is not None else math.inf
    return Layer(*kept, tuple(history))


class _Pupil:
    """The layer while it learns, changed in place."""

    def __init__(self, target: Target, plan: Plan, weights: Floats, bias: Floats) -> None:
        self.target, self.loss, self.weights, self.bias = target, LOSSES[target.kind], weights, bias
        self._speeds = np.zeros_like(weights), np.zeros_like(bias)
        self._rate, self._momentum = np.float32(plan.rate), np.float32(plan.momentum)

    def epoch(self, batches: Iterator[tuple[Floats, Array]]) -> Figures:
        """A step for each batch; loss and accuracy over the batches as they came."""
        count, total, right = 0, 0.0, 0.0
        for rows, truth in batches:
            scores = rows @ self.weights + self.bias
            value, slope = self.loss(scores, truth)
            self._step(rows.T @ slope, slope.sum(axis=0))
            share = hits(self.target, scores, truth)
            count, total, right = count + len(rows), total + value * len(rows), right + (share or 0.0) * len(rows)
        return total / count, None if self.target.kind is TargetKind.NUMBER else right / count

    def _step(self, *slopes: Floats) -> None:
        for what, speed, slope in zip((self.weights, self.bias), self._speeds, slopes, strict=True):
            speed *= self._momentum
            speed += slope
            what -= self._rate * speed

    def judged(self, rows: Floats, truth: Array) -> Figures:
        """Loss and accuracy on rows that are not learnt from."""
        scores = rows @ self.weights + self.bias
        return self.loss(scores, truth)[0], hits(self.target, scores, truth)

    @property
    def sane(self) -> bool:
        """Whether every weight is a number."""
        return bool(np.isfinite(self.weights).all() and np.isfinite(self.bias).all())


def start(width: int, columns: int, seed: int) -> tuple[Floats, Floats]:
    """Kaiming-normal weights (He et al., ICCV 2015: deviation ``sqrt(2 / width)``) and a bias of zeros."""
    drawn = np.random.default_rng((seed, 0)).normal(0, math.sqrt(2 / width), (width, columns))
    return drawn.astype(np.float32), np.zeros(columns, np.float32)


def hits(target: Target, scores: Floats, truth: Array) -> float | None:
    """The share of right answers (of several labels: of the known ones); None where there is nothing to say, as for numbers."""
    if target.kind is TargetKind.NUMBER or len(scores) == 0:
        return None
    if target.kind is not TargetKind.MULTILABEL:
        return float(np.count_nonzero(scores.argmax(axis=1) == truth) / len(scores))
    known = ~np.isnan(truth)
    return float(((scores > 0) == (truth == 1))[known].mean()) if known.any() else None


def _cross_entropy(scores: Floats, truth: Array) -> tuple[float, Floats]:
    """Of classes, ``truth`` ``(n,)`` being their numbers."""
    rows = np.arange(len(scores))
    scores = scores - scores.max(axis=1, keepdims=True)
    slope = np.exp(scores)
    sums = slope.sum(axis=1, keepdims=True)
    value = float((np.log(sums[:, 0]) - scores[rows, truth]).mean())
    slope /= sums
    slope[rows, truth] -= 1
    slope /= np.float32(len(scores))
    return value, slope


def _binary_cross_entropies(scores: Floats, truth: Array) -> tuple[float, Floats]:
    """Of several labels, mean over those that are known; ``truth`` ``(n, K)`` with NaN for unknown."""
    known = ~np.isnan(truth)
    count = max(1, int(np.count_nonzero(known)))
    wanted = np.where(known, truth, 0).astype(np.float32)
    values = np.logaddexp(0, scores) - wanted * scores
    slope = np.where(known, 1 / (1 + np.exp(-scores)) - wanted, 0) / np.float32(count)
    return float(values[known].sum() / count), slope.astype(np.float32)


def _squares(scores: Floats, truth: Array) -> tuple[float, Floats]:
    """Of a number, ``truth`` ``(n,)``."""
    away = (scores[:, 0] - truth).astype(np.float32)
    return float((away**2).mean()), np.asarray(2 * away[:, None] / np.float32(len(away)))


def _named(figures: Figures, name: str = "") -> dict[str, Json]:
    return dict(zip((f"{name}loss", f"{name}accuracy"), (_known(each) for each in figures), strict=True))


def _known(figure: float | None) -> float | None:
    """None for what is no number: JSON has no word for it."""
    return figure if figure is not None and math.isfinite(figure) else None


LOSSES: Mapping[TargetKind, Loss] = {
    TargetKind.BINARY: _cross_entropy,
    TargetKind.MULTICLASS: _cross_entropy,
    TargetKind.MULTILABEL: _binary_cross_entropies,
    TargetKind.NUMBER: _squares,
}
