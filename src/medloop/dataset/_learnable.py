"""What can be learnt of the labels there are, and why nothing can."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from medloop.dataset._classes import rare
from medloop.dataset._findings import Findings
from medloop.dataset._goals import Goals
from medloop.dataset._options import Options
from medloop.dataset.groups import Groups
from medloop.errors import Refused
from medloop.types import Case, Split, TargetKind

_TOLD = 4


def learnable(goals: Goals, grouped: Groups, cases: Sequence[Case], options: Options, findings: Findings) -> Goals:
    """Leave out classes that cannot be learnt, and say when too little is left."""
    if len(np.unique(grouped.groups)) < 2 and not _judged_on_one(cases, options):
        findings.refusals.append(one_group(len(cases)))
    if goals.target.kind.structured:
        if not goals.anything.any():
            findings.refusals.append(one_group(0))
        return goals
    learnt_from = np.array([case.given_split is not Split.TEST for case in cases], dtype=np.bool_)
    findings.left_out.update(rare(goals.target, goals.values, grouped.patients, learnt_from))
    goals = goals.leaving_out(findings.left_out)
    for name, reason in findings.left_out.items():
        findings.notes.append(f"Class '{name}' is left out: {reason}.")
    enough = 1 if goals.target.kind is TargetKind.MULTILABEL else 2
    if goals.target.kind is not TargetKind.NUMBER and len(goals.target.classes) < enough:
        findings.refusals.append(
            Refused(
                "too-few-classes",
                got=_too_few(goals.target.classes, findings.left_out),
                allowed="Two classes or more, each with two patients or more.",
                fix="Add images of the other classes, or see with medloop inspect how the labels were read.",
            )
        )
    elif goals.target.kind is TargetKind.NUMBER and len(np.unique(goals.values[goals.known])) < 2:
        findings.refusals.append(
            Refused(
                "too-few",
                got="The number to learn never changes.",
                allowed="Two different values or more.",
                fix="Check the label column.",
            )
        )
    return goals


def _judged_on_one(cases: Sequence[Case], options: Options) -> bool:
    """Whether one patient is to be learnt from and judged by, as the given split says and the leak is accepted."""
    sides = {case.given_split for case in cases} - {None}
    return "patient" in options.accept_leak and options.folds is None and Split.TRAIN in sides and len(sides) > 1


def _too_few(left: Sequence[str], left_out: Mapping[str, str]) -> str:
    """One class or none can be learnt: which, and why the others cannot."""
    named = [f"'{name}': {reason}" for name, reason in left_out.items()]
    more = f"; and {len(named) - _TOLD} more" if len(named) > _TOLD else ""
    only = f"Only one class can be learnt: '{left[0]}'" if left else "No class can be learnt"
    return f"{only} ({'; '.join(named[:_TOLD])}{more})." if named else f"{only}."


def one_group(count: int) -> Refused:
    if count == 0:
        return Refused(
            "too-few",
            got="None of the labelled images could be used.",
            allowed="Two readable, labelled images or more.",
            fix="Run medloop inspect: it says why each file is not used.",
        )
    return Refused(
        "one-patient",
        got=f"All {count} cases belong to one patient or one group of copies, so none can be kept aside for judging.",
        allowed="Two patients or more.",
        fix="If the files carry one placeholder ID for everybody, name the patients in the table and give the column with --group. "
        "If it is one person, give a split (--split-lists) and write --accept-leak patient: the report will say so.",
    )
