"""Two runs side by side, paired by case."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from medloop.errors import Refused
from medloop.evaluation import comparison
from medloop.evaluation.comparison import Difference, Side
from medloop.loop._runs import Judged, choices_of, find_run, read_cases, read_judged, read_run, run_target, values_of
from medloop.progress import QUIET, Progress
from medloop.requests import CompareRequest, CompareResult
from medloop.types import Array, Target, TargetKind
from medloop.workspace import Workspace

_FEWEST = 2


def compare(workspace: Workspace, request: CompareRequest, tell: Progress = QUIET) -> CompareResult:
    """Compare the cases that both runs judged without having seen them.

    Raises `InputError` for a run that cannot be read, `Refused` where the runs answer different questions or share too few cases.
    """
    del tell
    first, second = find_run(workspace, request.a), find_run(workspace, request.b)
    target, other = run_target(read_run(first)), run_target(read_run(second))
    one, two = read_judged(first), read_judged(second)
    rows, compared = _of_cases(first, second, one)
    if target == other and not target.kind.structured:
        here, there = _shared(one, two)
        if len(here) < _FEWEST and not rows:
            raise _too_few(len(here))
        values = values_of(target, [one.truth[row] for row in here])
        rows = comparison.paired(target, _side(target, one, here), _side(target, two, there), values, one.groups[here]) + rows
        compared = max(compared, len(here))
    if not rows:
        if target == other:
            raise _too_few(compared)
        raise Refused(
            "different-targets",
            got=f"{first.name} answers {_said(target)}; {second.name} answers {_said(other)}.",
            allowed="Two runs that learnt the same classes, or masks, boxes or measures of the same cases.",
            fix="Learn both from the same labels.",
        )
    return CompareResult(
        a=str(first),
        b=str(second),
        cases=compared,
        rows=[row.to_json() for row in rows],
        says=" ".join(row.says for row in rows[:2]),
    )


def _of_cases(first: Path, second: Path, judged: Judged) -> tuple[list[Difference], int]:
    """Figures of masks, boxes and measures over the cases that both runs judged, and how many those are."""
    one, two = read_cases(first), read_cases(second)
    shared = [case for case in one if case in two]
    names = [
        name for name in dict.fromkeys(name for case in shared for name in one[case]) if any(name in two[case] for case in shared)
    ]
    if len(shared) < _FEWEST or not names:
        return [], len(shared)
    group = dict(zip(judged.cases, judged.groups.tolist(), strict=True))
    sides = [np.array([[side[case].get(name, np.nan) for name in names] for case in shared]) for side in (one, two)]
    patients = np.array([group[case] for case in shared], np.int64)
    return comparison.paired_means(names, sides[0], sides[1], patients), len(shared)


def _too_few(count: int) -> Refused:
    return Refused(
        "too-few",
        got=f"The runs judged only {count} cases in common with the same label.",
        allowed=f"At least {_FEWEST}.",
        fix="Learn both from the same source with the same --seed, or both with --folds.",
    )


def _said(target: Target) -> str:
    return ", ".join(target.classes) if target.classes else "a number"


def _shared(one: Judged, two: Judged) -> tuple[Array, Array]:
    """Rows of the cases that both have under the same name with the same truth."""
    where = {(case, truth): row for row, (case, truth) in enumerate(zip(two.cases, two.truth, strict=True))}
    pairs = [(row, where[key]) for row, key in enumerate(zip(one.cases, one.truth, strict=True)) if key in where and key[1]]
    both = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def _side(target: Target, judged: Judged, rows: Array) -> Side:
    labels = [judged.labels[row] for row in rows]
    return Side(judged.probabilities[rows], None if target.kind is TargetKind.NUMBER else choices_of(target, labels))
