"""Learning in stages against learning all at once and against single targets, where few classes are labelled: blood cells.

In all ways the whole network learns, of pictures made small, so that there are epochs enough for stages in a short budget. Five
draws of four ways take 12 minutes on two cores.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from bench import _cells
from bench._learning import Drawn, learnt, listed, place, recipe, share, value
from bench.core import Row

DRAWS = list(range(5))
BUDGET, FRACTION = "36s", 0.1
_BOTH = "classes,masks"
WAYS = {
    "staged": (_BOTH, {"staged": True}),
    "joint": (_BOTH, {"staged": False}),
    "classes alone": ("classes", {}),
    "masks alone": ("masks", {}),
}
"""Targets and parameters of each way of learning."""
_ALL = {"kept": 0, "side": 64, "folds": 2}
_AGAINST = "joint"
_METRICS = {"balanced_accuracy": "classes", "dice_nucleus": "masks", "dice_whole": "masks"}


def rows() -> Iterator[Row]:
    """A row for each way and figure, beside learning jointly; draws are paired."""
    found: dict[str, dict[str, list[float]]] = {way: {metric: [] for metric in _METRICS} for way in WAYS}
    judged = 0.0
    with place() as folder:
        for seed, (way, (targets, parameters)) in product(DRAWS, WAYS.items()):
            words = _cells.outlined() if "masks" in targets else _cells.images()
            # of masks alone none is taken away, as none is from those that learn both
            fraction = FRACTION if "classes" in targets else 1.0
            file = recipe(folder, way.replace(" ", "-"), **_ALL, **parameters)
            result = learnt(folder, **words, targets=targets, recipe=file, label_fraction=fraction, budget=BUDGET, seed=seed)
            judged = share(result)
            for metric in _METRICS:
                found[way][metric].append(value(result, metric))
    for way, (targets, _) in WAYS.items():
        for metric, target in _METRICS.items():
            if target in targets:
                yield _row(way, metric, found[way][metric], found[_AGAINST][metric], judged)


def _row(way: str, metric: str, values: list[float], joint: list[float], judged: float) -> Row:
    drawn = Drawn.of(values, judged)
    gain = Drawn.of(list(np.subtract(values, joint)), judged)
    beside = "" if way == _AGAINST else f"difference from joint {gain.mean:+.3f}, {gain}; "
    return Row(
        what=f"wbc, {FRACTION:.0%} of the class labels, {BUDGET}, {way}: {metric}",
        figure=drawn.mean,
        unit=metric,
        baseline="" if way == _AGAINST else "joint",
        baseline_figure=None if way == _AGAINST else float(np.nanmean(joint)),
        seeds=DRAWS,
        notes=f"{drawn}; {beside}draws {listed(values)}",
    )
