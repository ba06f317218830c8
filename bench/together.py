"""What masks add to few class labels: blood cells learnt with both, against the same network with classes alone; paired draws.

Each draw has another split and another fifth of the class labels; both ways see the same, and have the same budget. Masks are those
of all training cases. Ten draws of two trainings take 25 minutes on two cores.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench import _cells
from bench._learning import Drawn, learnt, place, share, told, value
from bench.core import Row
from medloop.requests import LearnResult

DRAWS = list(range(10))
BUDGET, FRACTION = "36s", 0.2
_METRIC = "balanced_accuracy"


def rows() -> Iterator[Row]:
    """The gain over the same network."""
    both, alone = [], []
    with place() as folder:
        for seed in DRAWS:
            both.append(_learn(folder, seed, _cells.outlined(), targets="classes,masks"))
            alone.append(_learn(folder, seed, _cells.images(), recipe="multitask"))
    yield _gain("the same network with classes alone", both, alone)


def _learn(folder: Path, seed: int, words: dict[str, Any], **more: Any) -> LearnResult:
    """In one workspace, where the images are read once."""
    return learnt(folder, **words, **more, label_fraction=FRACTION, budget=BUDGET, seed=seed)


def _gain(beside: str, both: list[LearnResult], other: list[LearnResult]) -> Row:
    with_masks, without = ([value(each, _METRIC) for each in results] for results in (both, other))
    gains = [one - two for one, two in zip(with_masks, without, strict=True)]
    drawn = Drawn.of(gains, share(both[0]))
    better = sum(gain > 0 for gain in gains)
    spent = max(each.seconds for each in (*both, *other))
    return Row(
        what=f"wbc, {FRACTION:.0%} of the class labels, {BUDGET}: gain in balanced accuracy by masks, over {beside}",
        figure=drawn.mean,
        unit="difference of balanced accuracy",
        baseline="no gain",
        baseline_figure=0.0,
        seeds=DRAWS,
        notes=f"{drawn}; better in {better} of {len(gains)} draws; {told({'with masks': with_masks, 'without': without})}; "
        f"at most {spent:.0f} s each",
    )
