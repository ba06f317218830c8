"""Two runs side by side, paired by case."""

from __future__ import annotations

import numpy as np

from medloop.errors import Refused
from medloop.evaluation import comparison
from medloop.evaluation.comparison import Side
from medloop.loop._runs import Judged, choices_of, find_run, read_judged, read_run, run_target, values_of
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
    if target != other:
        raise Refused(
            "different-targets",
            got=f"{first.name} answers {_said(target)}; {second.name} answers {_said(other)}.",
            allowed="Two runs that learnt the same classes.",
            fix="Learn both from the same labels.",
        )
    here, there = _shared(one, two)
    if len(here) < _FEWEST:
        raise Refused(
            "too-few",
            got=f"The runs judged only {len(here)} cases in common with the same label.",
            allowed=f"At least {_FEWEST}.",
            fix="Learn both from the same source with the same --seed, or both with --folds.",
        )
    values = values_of(target, [one.truth[row] for row in here])
    rows = comparison.paired(target, _side(target, one, here), _side(target, two, there), values, one.groups[here])
    return CompareResult(
        a=str(first),
        b=str(second),
        cases=len(here),
        rows=[row.to_json() for row in rows],
        says=" ".join(row.says for row in rows[:2]),
    )


def _said(target: Target) -> str:
    return ", ".join(target.classes) if target.classes else "a number"


def _shared(one: Judged, two: Judged) -> tuple[Array, Array]:
    """Rows of the cases that both have under the same name with the same truth."""
    where = {(case, truth): row for row, (case, truth) in enumerate(zip(two.cases, two.truth, strict=True))}
    pairs = [(row, where[key]) for row, key in enumerate(zip(one.cases, one.truth, strict=True)) if key in where]
    both = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def _side(target: Target, judged: Judged, rows: Array) -> Side:
    labels = [judged.labels[row] for row in rows]
    return Side(judged.probabilities[rows], None if target.kind is TargetKind.NUMBER else choices_of(target, labels))
