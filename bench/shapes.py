"""How well the multitask family tells adrenal shapes, beside the ladder of generation 2; mean of three seeds.

Like `bench.ladder` this scores the test split; choices are made without it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bench._learning import learnt, listed, value
from bench.core import Row, shared

SEEDS = [0, 1, 2]
BUDGET, LADDER = "10m", "2m"
"""Of the multitask family, and of the ladder as `bench.ladder` gives it."""
TARGETS = "classes"


def rows() -> Iterator[Row]:
    """Test AUC of both."""
    source = str(shared("adrenalmnist3d.npz"))
    found = [learnt(src=source, recipe="multitask", targets=TARGETS, budget=BUDGET, seed=seed) for seed in SEEDS]
    ladder = [value(learnt(src=source, budget=LADDER, seed=seed), "auc") for seed in SEEDS]
    values = [value(each, "auc") for each in found]
    spent = ", ".join(f"{each.seconds:.0f} s" for each in found)
    yield Row(
        what=f"adrenalmnist3d, multitask, {BUDGET}: test AUC",
        figure=float(np.mean(values)),
        unit="auc",
        baseline=f"the ladder, {LADDER}",
        baseline_figure=float(np.mean(ladder)),
        seeds=SEEDS,
        notes=f"spread {np.std(values, ddof=1):.3f}; seeds {listed(values)}; ladder {listed(ladder)}; {spent}",
    )
