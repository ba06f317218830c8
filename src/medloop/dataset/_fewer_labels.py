"""Learning from a part of the labels: ``--label-fraction 0.2``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from medloop.dataset._balance import strata
from medloop.dataset._findings import Findings
from medloop.dataset._goals import Goals
from medloop.dataset._options import Options
from medloop.dataset.groups import Groups
from medloop.dataset.splits import part_of
from medloop.types import Case, Split


def fewer_labels(
    goals: Goals, grouped: Groups, cases: Sequence[Case], split: NDArray[np.str_], options: Options, findings: Findings
) -> Goals:
    """With labels of a drawn part of the training and validation patients only.

    Where classes are learnt these are the labels that the others lose; their masks, boxes and measures stay.
    """
    learnt = goals.known & (split != Split.TEST) & (split != "")
    drawn = _drawn(goals, grouped, cases, split, options)
    count, whole = int((drawn & learnt).sum()), int(learnt.sum())
    part = f"(--label-fraction {options.label_fraction:g}, drawn by patient)"
    if goals.target.kind.structured:
        findings.notes.append(f"{count} of {whole} training and validation cases are used {part}.")
        return replace(goals, further=tuple(replace(truth, known=truth.known & drawn) for truth in goals.further))
    if goals.further:
        says = f"The classes of {count} of {whole} training and validation cases are used {part}, and what else is known of all."
        findings.notes.append(says)
    else:
        findings.notes.append(f"{count} of {whole} training and validation cases are used {part}.")
    return goals.forgetting(~drawn)


def _drawn(goals: Goals, grouped: Groups, cases: Sequence[Case], split: NDArray[np.str_], options: Options) -> NDArray[np.bool_]:
    """``(N,)``: test cases, and a stratified part of the patients of training and of validation (their labels count too)."""
    balance = strata(goals.target.kind, goals.values, len(goals.target.classes))
    keep = split == Split.TEST
    for part in (Split.TRAIN, Split.VAL):
        inside = np.flatnonzero((split == part) & goals.known)
        if len(inside):
            names = [cases[index].name for index in inside.tolist()]
            keep[inside] = part_of(balance[inside], grouped.groups[inside], names, options.label_fraction, options.seed)
    return np.asarray(keep)
