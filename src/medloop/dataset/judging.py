"""Labelled cases by which a saved model is judged: under the model's own targets, without the pictures it learnt from."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from medloop.dataset._classes import UNSAID, encode
from medloop.dataset._findings import Findings, Surveyed, conflicts, duplicate_groups, links_of, usable
from medloop.dataset._goals import Goals
from medloop.dataset.fingerprint import fingerprint
from medloop.dataset.groups import Copy, Groups, group, joined
from medloop.errors import InputError
from medloop.labels import NOTHING, Labelled
from medloop.types import UNKNOWN, Case, Dataset, LabelValue, Split, Target, TargetKind, Truth


def judged_by(
    labelled: Labelled,
    survey: Surveyed,
    duplicates: Sequence[Copy],
    target: Target,
    learnt: Collection[str],
    further: Sequence[Target] = (),
) -> tuple[Dataset, Findings]:
    """Every case in the test split, with values in the order of ``target``'s classes, and truths as those of ``further``.

    ``target``, ``further``: what the model answers. ``learnt``: digests of the pictures it learnt from. They, their copies, and
    cases of which nothing is known that the model answers are left out and counted in ``findings``. The dataset may be empty.
    Raises `InputError` when no label at all is one of the model's.
    """
    findings = Findings(duplicates=duplicate_groups(survey.refs, duplicates))
    cases, chosen = usable(labelled, survey, findings)
    labels = [labelled.labels[row].value for row in chosen]
    links = links_of(cases, survey, duplicates)
    findings.conflicts.extend(conflicts(cases, labels, links))
    grouped = group(cases, links)
    findings.notes.extend(grouped.notes)
    translated = [None if target.kind.structured or label == UNSAID else translate(label, target) for label in labels]
    truths = tuple(truth.select(chosen) for truth in under(labelled.further, further))
    if labels and not truths and all(value is None for value in translated):
        raise _other_labels(labelled, target)
    answered = np.array([value is not None for value in translated], dtype=np.bool_)
    told = np.logical_or.reduce([answered, *(truth.known for truth in truths)])
    known = _known(cases, grouped, learnt)
    kept = np.flatnonzero(told & ~known)
    _count(int((~told).sum()), "have a label that the model does not know", findings)
    _count(int(known.sum()), "are pictures the model learnt from, or copies of them", findings)
    values = [UNSAID if (value := translated[index]) is None else value for index in kept.tolist()]
    goals = Goals(target, encode(target, values), tuple(truth.select(kept) for truth in truths))
    return _dataset([cases[index] for index in kept.tolist()], goals, grouped.select(kept), findings), findings


def under(truths: Sequence[Truth], targets: Sequence[Target]) -> list[Truth]:
    """Truths in the classes and measures of a model's targets, by name; of what the model does not answer nothing is known.

    Targets that are not labelled are left out.
    """
    found = []
    for target in targets:
        alike = [truth for truth in truths if truth.target.kind is target.kind]
        truth = next((each for each in alike if each.target.name == target.name), alike[0] if len(alike) == 1 else None)
        if truth is not None and (shared := _places(truth.target, target)):
            found.append(_as_answered(truth, target, shared))
    return found


def _places(labelled: Target, answered: Target) -> dict[int, int]:
    """Class or measure of the labels to that of the model, for those that both have."""
    where = {_key(name): number for number, name in enumerate(answered.classes)}
    return {number: where[_key(name)] for number, name in enumerate(labelled.classes) if _key(name) in where}


def _as_answered(truth: Truth, target: Target, places: Mapping[int, int]) -> Truth:
    if target.kind is TargetKind.MASKS:
        values = {0: 0} | {old + 1: new + 1 for old, new in places.items()}
        return replace(truth, target=target, lookup=tuple((stored, values.get(value, UNKNOWN)) for stored, value in truth.lookup))
    if target.kind is TargetKind.BOXES:
        kept = [np.isin(classes, list(places)) for classes in truth.box_classes]
        return replace(
            truth,
            target=target,
            boxes=tuple(boxes[keep] for boxes, keep in zip(truth.boxes, kept, strict=True)),
            box_classes=tuple(
                np.array([places[number] for number in classes[keep].tolist()], dtype=np.int64)
                for classes, keep in zip(truth.box_classes, kept, strict=True)
            ),
        )
    numbers = np.full((len(truth), len(target.classes)), np.nan)
    if truth.numbers is not None:
        numbers[:, list(places.values())] = truth.numbers[:, list(places)]
    return replace(truth, target=target, numbers=numbers, known=truth.known & np.isfinite(numbers).any(axis=1))


def translate(value: LabelValue, target: Target) -> LabelValue | None:
    """A label under the model's classes; None for one it does not know. Capitals do not matter, and ``1`` is ``1.0``."""
    if target.kind is TargetKind.NUMBER:
        return _number(value)
    if target.kind is not TargetKind.MULTILABEL:
        return {_key(name): name for name in target.classes}.get(_key(value))
    if isinstance(value, tuple):
        said = {_key(name): on for name, on in value}
        found = tuple((name, said.get(_key(name))) for name in target.classes)
        return found if any(on is not None for _, on in found) else None
    if _key(value) not in {*map(_key, target.classes), *NOTHING}:
        return None
    return tuple((name, float(_key(name) == _key(value))) for name in target.classes)


def _key(value: LabelValue) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return " ".join(value.split()).casefold() if isinstance(value, str) else ""


def _number(value: LabelValue) -> float | None:
    try:
        return None if isinstance(value, tuple) else float(value)
    except ValueError:
        return None


def _known(cases: Sequence[Case], grouped: Groups, learnt: Collection[str]) -> NDArray[np.bool_]:
    """``(N,)`` bool: pictures the model learnt from, and copies of them (not other pictures of the same patient)."""
    known = np.array([any(ref.digest in learnt for ref in case.images) for case in cases], dtype=np.bool_)
    copies = joined(len(cases), ((link.a, link.b) for link in grouped.links if link.kind != "patient"))
    return np.isin(copies, copies[known])


def _count(count: int, what: str, findings: Findings) -> None:
    if count:
        findings.notes.append(f"{count} cases are left out: they {what}.")


def _dataset(cases: Sequence[Case], goals: Goals, grouped: Groups, findings: Findings) -> Dataset:
    split = np.full(len(cases), Split.TEST.value, dtype="<U5")
    return Dataset(
        cases=tuple(cases),
        target=goals.target,
        values=goals.values,
        groups=grouped.groups,
        patients=grouped.patients,
        split=split,
        fingerprint=fingerprint(cases, goals.target, goals.values, split, grouped.groups, goals.further),
        notes=tuple(findings.notes),
        further=goals.further,
        class_known=None if goals.known.all() else goals.known,
    )


def _other_labels(labelled: Labelled, target: Target) -> InputError:
    known = ", ".join(target.classes) or "numbers"
    seen = ", ".join(labelled.target.classes[:10]) or "numbers"
    return InputError(
        "other-labels",
        got=f"The labels are {seen}; the model knows {known}.",
        allowed=f"Labels among {known}.",
        fix="Name the column that holds them with --label-columns, or write the model's class names into the table.",
    )
