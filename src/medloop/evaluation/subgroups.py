"""The figures among the patients of each sex, age band, site or scanner, where the data has them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
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

    ``worse`` names the figures whose interval lies wholly on the bad side of the figure of all cases.
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
    values = np.asarray(values)

    def figures(keep: Array) -> dict[str, Metric]:
        chosen = None if choices is None else choices[keep]
        found = scores.score(target, values[keep], probabilities[keep], chosen, patients[keep], seed)
        return {name: found[name] for name in _SHOWN if name in found}

    parts = list(_groups(attributes))
    whole = figures(np.ones(len(values), dtype=bool)) if parts else {}
    rows = []
    for attribute, group, inside in parts:
        here = figures(inside)
        worse = tuple(name for name in here if _worse(name, here[name], whole[name]))
        rows.append(Subgroup(attribute, group, int(inside.sum()), len(np.unique(patients[inside])), here, worse))
    return rows


def _groups(attributes: Sequence[Mapping[str, str]]) -> Iterator[tuple[str, str, Array]]:
    """``(attribute, group, (N,) bool)`` of every group to be shown."""
    for attribute in sorted({name for each in attributes for name in each}):
        column = np.array([each.get(attribute, "") for each in attributes])
        sizes = Counter(column[column != ""].tolist())
        groups = sorted(name for name, size in sizes.items() if size >= FEWEST_CASES)
        if 2 <= len(groups) <= MOST_GROUPS:
            for group in groups:
                yield attribute, group, column == group


def _worse(name: str, inside: Metric, whole: Metric) -> bool:
    if inside.low is None or inside.high is None or whole.value is None:
        return False
    return inside.low > whole.value if name == "mae" else inside.high < whole.value
