"""From labelled images to the immutable snapshot a model learns from.

Copies of one picture under different labels (conflicts) are reported and stay in, together on one side of every split. Nobody but a
person knows which label is right; dropping them from a test would flatter the figures, and the report names them for mending.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from medloop.dataset import leaks as leaking
from medloop.dataset._balance import strata
from medloop.dataset._classes import UNSAID
from medloop.dataset._fewer_labels import drawn_labels, fewer_labels
from medloop.dataset._findings import Findings, Surveyed, conflicts, duplicate_groups, links_of, usable
from medloop.dataset._given import Division, divide
from medloop.dataset._goals import Goals, goals_of
from medloop.dataset._learnable import learnable, one_group
from medloop.dataset._options import Options
from medloop.dataset.fingerprint import fingerprint
from medloop.dataset.groups import Copy, Groups, Link, group, joined
from medloop.labels import Labelled
from medloop.requests import DatasetSummary
from medloop.types import Array, Case, Dataset, Integers, Json, Split, TargetKind

WHOSE = "Nothing says whose images these are: those judged by may be of a person whose other images were learnt from."
"""What is told where leaks of patients are accepted and no patient is known."""


def build(
    labelled: Labelled, survey: Surveyed, duplicates: Sequence[Copy], options: Options | None = None
) -> tuple[Dataset, Findings]:
    """The dataset, checked. ``duplicates`` hold positions in ``survey.refs``.

    Raises `Refused` for a leak into the test split that is not accepted, fewer than two classes with two patients each, one patient
    only.
    """
    dataset, findings = examine(labelled, survey, duplicates, options)
    if findings.refusals:
        raise findings.refusals[0]
    if dataset is None:
        raise ValueError("a dataset that cannot be built must say why")
    leaking.check(dataset, (options or Options()).accept_leak)
    return dataset, findings


def examine(
    labelled: Labelled, survey: Surveyed, duplicates: Sequence[Copy], options: Options | None = None
) -> tuple[Dataset | None, Findings]:
    """As `build`, but never refuses: ``findings.refusals`` says what is wrong; the dataset is None where none can be made.

    Raises `InputError` for a target of which there are no labels.
    """
    options = options or Options()
    findings = Findings(duplicates=duplicate_groups(survey.refs, duplicates))
    goals = goals_of(labelled, options.targets)
    cases, chosen = usable(labelled, survey, findings)
    goals = goals.select(chosen)
    links = links_of(cases, survey, duplicates)
    findings.conflicts.extend(conflicts(cases, [labelled.labels[row].value for row in chosen], links))
    grouped = group(cases, links)
    findings.notes.extend(grouped.notes)
    if grouped.notes:
        cases = [replace(case, patient=None) for case in cases]
    findings.leaks.extend(leaking.find(cases, np.array([case.given_split or "" for case in cases], dtype=np.str_), grouped.links))
    findings.notes.extend(_of_patients(cases, options))
    goals = learnable(goals, grouped, cases, options, findings)
    if findings.refusals:
        return None, findings
    kept = np.flatnonzero(goals.anything)
    findings.dropped.extend(_untold(cases, goals, labelled, chosen))
    goals, cases = goals.select(kept), [cases[index] for index in kept]
    grouped = group(cases, _within(links, kept))
    division = _divided(goals, grouped, cases, options, findings)
    if division is None:
        return None, findings
    return _snapshot(cases, goals, grouped, division, options, findings), findings


def _of_patients(cases: Sequence[Case], options: Options) -> list[str]:
    """What must be told where nobody knows whose images these are."""
    if any(case.patient or case.group for case in cases):
        return []
    told = ["Patients are not known: each picture, with its copies, counts as a patient of its own."]
    if "patient" in options.accept_leak:
        told.append(WHOSE)
    return told


def _untold(cases: Sequence[Case], goals: Goals, labelled: Labelled, chosen: Sequence[int]) -> list[dict[str, str]]:
    """Cases of which nothing is known that is learnt; those of classes left out are told with their class."""
    said = goals.target.kind.structured or not labelled.target.classes
    return [
        {"name": cases[index].name, "reason": "nothing that is learnt is known of it"}
        for index in np.flatnonzero(~goals.anything).tolist()
        if said or labelled.labels[chosen[index]].value == UNSAID
    ]


def rows(dataset: Dataset, survey: Surveyed) -> NDArray[np.int64]:
    """``(N,)``: the position in ``survey.refs`` (and so in its pictures and arrays) of each case's first image."""
    where = {ref.name: position for position, ref in enumerate(survey.refs)}
    return np.array([where[case.images[0].name] for case in dataset.cases], dtype=np.int64)


def counts(dataset: Dataset, *splits: str) -> dict[str, int]:
    """Cases of each class in these splits (all when none is named); for multi-label known positives; empty for a number and
    for structured targets."""
    values = dataset.values[dataset.indices(*splits)] if splits else dataset.values
    if dataset.target.kind is TargetKind.NUMBER or dataset.target.kind.structured:
        return {}
    sums = np.nansum(strata(dataset.target.kind, values, len(dataset.target.classes)), axis=0)
    return {name: int(total) for name, total in zip(dataset.target.classes, sums, strict=True)}


def summary(dataset: Dataset, findings: Findings) -> DatasetSummary:
    """The dataset as results state it; patients are None where no case names one."""
    known = any(case.patient is not None or case.group is not None for case in dataset.cases)
    return DatasetSummary(
        fingerprint=dataset.fingerprint,
        cases=len(dataset.cases),
        patients=len(np.unique(dataset.patients)) if known else None,
        split={split.value: len(dataset.indices(split)) for split in Split},
        classes=counts(dataset),
        left_out=dict(findings.left_out),
    )


def _within(links: Iterable[Link], kept: Array) -> list[Link]:
    """The links between cases that are kept, with their new positions."""
    place = {int(old): new for new, old in enumerate(kept)}
    return [Link(place[link.a], place[link.b], link.kind) for link in links if link.a in place and link.b in place]


def _divided(goals: Goals, grouped: Groups, cases: Sequence[Case], options: Options, findings: Findings) -> Division | None:
    """The split, with leaks listed and mended; None when no split can be made."""
    given = [case.given_split for case in cases]
    names = [case.name for case in cases]
    accept = options.accept_leak
    division = divide(given, goals.balance, grouped, names, options.seed, folds=options.folds is not None, accept=accept)
    for index in np.flatnonzero(division.split == ""):
        findings.dropped.append({"name": names[index], "reason": "the given split does not place it"})
    findings.notes.extend(division.notes)
    findings.moved.extend(names[index] for index in np.flatnonzero(division.moved))
    crossing = leaking.find(cases, division.split, grouped.links)
    _told_anew(crossing, findings)
    if refusal := leaking.refuse(crossing, accept):
        findings.refusals.append(refusal)
    has_test = bool((division.split == Split.TEST).any()) or options.folds is not None
    if not has_test or not (division.split == Split.TRAIN).any():
        findings.refusals.append(one_group(len(cases)))
        return None
    return division


def _told_anew(crossing: Iterable[dict[str, Json]], findings: Findings) -> None:
    """Leaks that the split as made has into its test, in place of what the given split says of the same cases."""
    final = {(leak["a"], leak["b"], leak["kind"]): leak for leak in crossing if Split.TEST in leak["splits"]}
    kept = [leak for leak in findings.leaks if (leak["a"], leak["b"], leak["kind"]) not in final]
    findings.leaks[:] = [*kept, *final.values()]


def _snapshot(
    cases: Sequence[Case], goals: Goals, grouped: Groups, division: Division, options: Options, findings: Findings
) -> Dataset:
    keep = division.split != ""
    drawn = np.ones(len(cases), np.bool_)
    if options.label_fraction < 1:
        drawn = drawn_labels(goals, grouped, cases, division.split, options, findings)
    learnt = fewer_labels(goals, drawn)
    if options.folds is None:
        goals, keep = learnt, keep & learnt.anything
    chosen = np.flatnonzero(keep)
    kept = tuple(cases[index] for index in chosen.tolist())
    split, goals, learnt = division.split[chosen], goals.select(chosen), learnt.select(chosen)
    groups = group(kept, _within([link for link in grouped.links if link.kind != "patient"], chosen))
    apart = _apart(groups, split, options, findings)
    return Dataset(
        cases=kept,
        target=goals.target,
        values=goals.values,
        groups=apart,
        patients=groups.patients,
        split=split,
        fingerprint=fingerprint(kept, goals.target, learnt.values, split, apart, learnt.further),
        split_given=division.given,
        notes=tuple(findings.notes),
        further=goals.further,
        class_known=None if goals.known.all() else goals.known,
        taught=None if options.folds is None or drawn.all() else drawn[chosen],
    )


def _apart(groups: Groups, split: NDArray[np.str_], options: Options, findings: Findings) -> Integers:
    """The groups; where all that is learnt from is of one person, and that leak is accepted, only copies stay together."""
    learnt = split != Split.TEST
    if "patient" not in options.accept_leak or learnt.sum() < 2 or len(np.unique(groups.groups[learnt])) > 1:
        return groups.groups
    findings.notes.append("All that is learnt from is of one person: what is chosen while learning is chosen from image to image.")
    copies = [(link.a, link.b) for link in groups.links if link.kind != "patient"]
    return joined(len(groups.groups), copies)
