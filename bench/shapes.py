"""How well shapes are told by generation 3: adrenal glands, the recipe `shapes` beside generation 2; mean of three seeds.

The recipe chooses by cross-validation inside the training cases whether the network that sees volumes is averaged with the features
of shapes, or these are as good alone. Like `bench.ladder` this scores the test split; choices are made without it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bench._learning import learnt, listed, value
from bench.core import Row, shared
from medloop.requests import LearnResult

SEEDS = [0, 1, 2]
BUDGET, BEFORE = "11m", "60s"
"""Of the recipe, and of generation 2 beside it."""


def rows() -> Iterator[Row]:
    """Test AUC of both."""
    source = str(shared("adrenalmnist3d.npz"))
    found = [learnt(src=source, recipe="shapes", budget=BUDGET, seed=seed) for seed in SEEDS]
    before = [value(learnt(src=source, recipe="transfer", budget=BEFORE, seed=seed), "auc") for seed in SEEDS]
    values = [value(each, "auc") for each in found]
    yield Row(
        what=f"adrenalmnist3d, shapes, {BUDGET}: test AUC",
        figure=float(np.mean(values)),
        unit="auc",
        baseline=f"transfer, {BEFORE}",
        baseline_figure=float(np.mean(before)),
        seeds=SEEDS,
        notes="; ".join([f"spread {np.std(values, ddof=1):.3f}", listed(values), f"transfer {listed(before)}", *map(_told, found)]),
    )


def _told(result: LearnResult) -> str:
    """What was chosen, how good each rung was in cross-validation, and the time."""
    rungs = {str(row["how"] or row["family"]): row for row in result.ladder}
    tried = [f"{name} {row['validation']['value']:.3f}" for name, row in rungs.items() if row["validation"]]
    chosen = " and ".join(name for name, row in rungs.items() if row["chosen"])
    return f"{chosen} (out of fold: {', '.join(tried)}), {result.seconds:.0f} s"
