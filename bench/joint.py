"""What one network for three targets saves against three networks: time to train and time to predict, on blood cells.

All learn for the same epochs on the same images, in the same folds: classes, masks, and boxes around nucleus and cell. Classes
alone learn as they do where nobody says otherwise: the whole network. Four trainings and twelve predictions take at most 12 minutes
on two cores.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench import _cells
from bench._learning import learnt, place, recipe, value
from bench.core import Row
from medloop.loop.predict import predict
from medloop.requests import LearnResult, PredictRequest
from medloop.workspace import Workspace

SEED, EPOCHS, FOLDS = 0, 8, 3
_BUDGET = "150s"
"""Enough for the epochs; what is left of it goes into learning curves, which do not count."""
_TARGETS = ("classes", "masks", "boxes")
_FIGURES = ("balanced_accuracy", "dice_nucleus", "dice_whole", "map50")
_REPEAT = 3


def rows() -> Iterator[Row]:
    """Training and prediction, joint over the sum of the single ones, with how good each is."""
    with place() as folder:
        words = _cells.outlined()
        words["labels"] = f"{words['labels']},{_cells.boxes(folder)}"
        file = recipe(folder, "same-epochs", training={"epochs": EPOCHS}, folds=FOLDS)
        joint = _learn(folder, words, file, ",".join(_TARGETS))
        single = [_learn(folder, words, file, target) for target in _TARGETS]
        yield _row("training", [_training(joint)], list(map(_training, single)), _quality(joint, single))
        yield _row("prediction", [_predicting(folder, joint)], [_predicting(folder, each) for each in single], "300 images")


def _learn(folder: Path, words: dict[str, Any], file: str, targets: str) -> LearnResult:
    own = folder / targets.replace(",", "-")
    return learnt(own, **words, recipe=file, targets=targets, budget=_BUDGET, seed=SEED)


def _training(result: LearnResult) -> float:
    """Seconds of training, that of the folds included; without reading, judging and reporting."""
    return sum(result.timings[stage] for stage in ("features", "search", "fit"))


def _predicting(folder: Path, result: LearnResult) -> float:
    """Seconds of the verb from files to answers, nothing known from before; the best of several."""
    best = float("inf")
    for _ in range(_REPEAT):
        with place() as fresh:
            request = PredictRequest(model=result.model, src=_cells.images()["src"], images="*.bmp", out=str(fresh / "p.csv"))
            best = min(best, predict(Workspace(fresh / "workspace"), request).seconds)
    return best


def _quality(joint: LearnResult, single: Sequence[LearnResult]) -> str:
    """The figures of the joint model beside those of the single ones."""
    beside = {metric: next((value(each, metric) for each in single if metric in each.test), float("nan")) for metric in _FIGURES}
    return ", ".join(f"{metric} {value(joint, metric):.3f} (alone {beside[metric]:.3f})" for metric in _FIGURES)


def _row(what: str, joint: Sequence[float], single: Sequence[float], notes: str) -> Row:
    return Row(
        what=f"wbc, classes, masks and boxes, {EPOCHS} epochs: time of {what}, one network over three",
        figure=sum(joint) / sum(single),
        unit="of the time of three",
        baseline="three networks, one after another",
        baseline_figure=1.0,
        ratio=sum(single) / sum(joint),
        seeds=[SEED],
        notes=f"{sum(joint):.1f} s against {' + '.join(f'{each:.1f}' for each in single)} s; {notes}",
    )
