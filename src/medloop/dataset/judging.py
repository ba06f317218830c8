"""Labelled cases by which a saved model is judged: under the model's own classes, without the pictures it learnt from."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from medloop.dataset._classes import encode
from medloop.dataset._findings import Findings, Surveyed, conflicts, duplicate_groups, links_of, usable
from medloop.dataset.fingerprint import fingerprint
from medloop.dataset.groups import Copy, Groups, group, joined
from medloop.errors import InputError
from medloop.labels import NOTHING, Labelled
from medloop.types import Case, Dataset, LabelValue, Split, Target, TargetKind


def judged_by(
    labelled: Labelled, survey: Surveyed, duplicates: Sequence[Copy], target: Target, learnt: Collection[str]
) -> tuple[Dataset, Findings]:
    """Every case in the test split, with values in the order of ``target``'s classes.

    ``learnt``: digests of the pictures the model learnt from. They, their copies, and cases whose class the model does not know are
    left out and counted in ``findings``. The dataset may be empty. Raises `InputError` when no label at all is one of the model's.
    """
    findings = Findings(duplicates=duplicate_groups(survey.refs, duplicates))
    cases, labels = usable(labelled, survey, findings)
    links = links_of(cases, survey, duplicates)
    findings.conflicts.extend(conflicts(cases, labels, links))
    grouped = group(cases, links)
    findings.notes.extend(grouped.notes)
    translated = [translate(label, target) for label in labels]
    if labels and all(value is None for value in translated):
        raise _other_labels(labelled, target)
    known = _known(cases, grouped, learnt)
    kept = [index for index, value in enumerate(translated) if value is not None and not known[index]]
    _count(sum(value is None for value in translated), "have a label that the model does not know", findings)
    _count(int(known.sum()), "are pictures the model learnt from, or copies of them", findings)
    values = [value for index, value in enumerate(translated) if value is not None and not known[index]]
    return _dataset([cases[index] for index in kept], values, grouped, kept, target, findings), findings


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


def _dataset(
    cases: Sequence[Case],
    values: Sequence[LabelValue],
    grouped: Groups,
    kept: Sequence[int],
    target: Target,
    findings: Findings,
) -> Dataset:
    encoded = encode(target, values)
    split = np.full(len(cases), Split.TEST.value, dtype="<U5")
    return Dataset(
        cases=tuple(cases),
        target=target,
        values=encoded,
        groups=grouped.groups[kept],
        patients=grouped.patients[kept],
        split=split,
        fingerprint=fingerprint(cases, target, encoded, split, grouped.groups[kept]),
        notes=tuple(findings.notes),
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
