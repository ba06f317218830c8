"""Learning from a part of the labels: ``--label-fraction 0.2``. What is judged stays the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from medloop.dataset._balance import strata
from medloop.dataset._classes import forgotten
from medloop.dataset._findings import Findings
from medloop.dataset._goals import Goals
from medloop.dataset._options import Options
from medloop.dataset.groups import Groups
from medloop.dataset.splits import part_of
from medloop.types import Case, Dataset, Integers, Split


def drawn_labels(
    goals: Goals, grouped: Groups, cases: Sequence[Case], split: NDArray[np.str_], options: Options, findings: Findings
) -> NDArray[np.bool_]:
    """``(N,)``: whose labels stay: those of test cases, and of a drawn part of the training and validation patients."""
    learnt = goals.known & (split != Split.TEST) & (split != "")
    drawn = _drawn(goals, grouped, cases, split, options)
    count, whole = int((drawn & learnt).sum()), int(learnt.sum())
    part = f"(--label-fraction {options.label_fraction:g}, drawn by patient)"
    if options.folds is not None:
        part += "; all are judged"
    if goals.further and not goals.target.kind.structured:
        says = f"The classes of {count} of {whole} training and validation cases are used {part}, and what else is known of all."
        findings.notes.append(says)
    else:
        findings.notes.append(f"{count} of {whole} training and validation cases are used {part}.")
    return drawn


def fewer_labels(goals: Goals, drawn: NDArray[np.bool_]) -> Goals:
    """Without the labels of the others; where classes are learnt their masks, boxes and measures stay."""
    if goals.target.kind.structured:
        return replace(goals, further=tuple(replace(truth, known=truth.known & drawn) for truth in goals.further))
    return goals.forgetting(~drawn)


def taught(dataset: Dataset, rows: Integers) -> tuple[Dataset, Integers]:
    """What may be learnt from of the cases ``rows``: those whose labels may, or all of them and fewer classes."""
    told = dataset.taught
    if told is None:
        return dataset, rows
    if dataset.target.kind.structured or not dataset.further:
        return dataset, rows[told[rows]]
    known = told if dataset.class_known is None else told & dataset.class_known
    return replace(dataset, values=forgotten(dataset.target, dataset.values, ~known), class_known=known), rows


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
