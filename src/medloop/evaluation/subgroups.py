"""The figures among the patients of each sex, age band, site or scanner, where the data has them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from medloop.evaluation import scores
from medloop.types import Array, Floats, Integers, Metric, Target

MOST_GROUPS = 12
FEWEST_CASES = 10
_SHOWN = ("auc", "accuracy", "balanced_accuracy", "sensitivity", "specificity", "mae", "r2")


@dataclass(frozen=True, slots=True)
class Subgroup:
    """The figures of the cases whose ``attribute`` is ``group``.

    ``worse`` names the figures whose interval lies wholly on the bad side of the figure of all other cases.
    """

    attribute: str
    group: str
    cases: int
    patients: int
    figures: Mapping[str, Metric]
    worse: tuple[str, ...]


def table(
    target: Target,
    values: Array,
    probabilities: Floats,
    choices: Array | None,
    patients: Integers,
    attributes: Sequence[Mapping[str, str]],
    seed: int = 0,
) -> list[Subgroup]:
    """Every group of at least 10 cases of every attribute that has 2 to 12 such groups. Arguments as in `scores.score`."""
    found: list[Subgroup] = []
    values = np.asarray(values)
    for attribute in sorted({name for each in attributes for name in each}):
        column = np.array([each.get(attribute, "") for each in attributes])
        sizes = Counter(column[column != ""].tolist())
        groups = sorted(name for name, size in sizes.items() if size >= FEWEST_CASES)
        if not 2 <= len(groups) <= MOST_GROUPS:
            continue
        for group in groups:
            sides = []
            for keep in (column == group, column != group):
                chosen = None if choices is None else choices[keep]
                sides.append(scores.score(target, values[keep], probabilities[keep], chosen, patients[keep], seed))
            inside, outside = ({name: side[name] for name in _SHOWN if name in side} for side in sides)
            worse = tuple(name for name in inside if _worse(name, inside[name], outside[name]))
            count = len(np.unique(patients[column == group]))
            found.append(Subgroup(attribute, group, sizes[group], count, inside, worse))
    return found


def _worse(name: str, inside: Metric, outside: Metric) -> bool:
    if inside.low is None or inside.high is None or outside.value is None:
        return False
    return inside.low > outside.value if name == "mae" else inside.high < outside.value
