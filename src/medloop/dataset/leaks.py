"""Cases of one patient, or copies of one picture, on two sides of a split: found, mended or refused, and checked again.

`find`, `mend` and `refuse` work on the links of `medloop.dataset.groups`. `check` is the independent guard that learning calls
before it fits: it looks only at the finished dataset, with none of the code that made the split.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from medloop.dataset.groups import Link
from medloop.errors import InputError, Refused
from medloop.requests import listed
from medloop.types import Array, Case, Dataset, Integers, Json, Split

KINDS = ("patient", "exact", "near")
"""What can leak: a patient (or a group given), the same picture, a picture a person would call the same."""
_SHOWN = 5
_WORDS = {"patient": "same patient or group", "exact": "the same picture", "near": "nearly the same picture"}


def accepted(text: str) -> tuple[str, ...]:
    """The kinds named in ``--accept-leak``. Raises `InputError` for another word."""
    kinds = listed(text)
    wrong = [kind for kind in kinds if kind not in KINDS]
    if wrong:
        raise InputError(
            "unknown-leak",
            got=f"--accept-leak names '{wrong[0]}'.",
            allowed=", ".join(KINDS) + ".",
            fix="Write --accept-leak near (several with commas).",
        )
    return kinds


def find(cases: Sequence[Case], split: Array, links: Iterable[Link]) -> list[dict[str, Json]]:
    """Every link that crosses a split: ``a``, ``b`` (case names), ``kind``, ``splits``; cases of no split cross nothing. For a
    patient in two splits, one entry for each case outside the split of the patient's first case.
    """
    return [
        {"a": cases[link.a].name, "b": cases[link.b].name, "kind": link.kind, "splits": [str(split[link.a]), str(split[link.b])]}
        for link in links
        if split[link.a] != split[link.b] and split[link.a] and split[link.b]
    ]


def mend(split: Array, groups: Integers) -> NDArray[np.bool_]:
    """``(N,)``: validation cases that must move to training because their group is there too."""
    training = np.unique(groups[split == Split.TRAIN])
    return np.asarray((split == Split.VAL) & np.isin(groups, training))


def refuse(leaks: Sequence[dict[str, Json]], accept: Collection[str]) -> Refused | None:
    """The refusal for leaks into the test split whose kind is not accepted, or None."""
    wrong = [leak for leak in leaks if Split.TEST.value in leak["splits"] and leak["kind"] not in accept]
    if not wrong:
        return None
    shown = "; ".join(_say(leak) for leak in wrong[:_SHOWN])
    more = f"; and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
    kinds = [kind for kind in KINDS if any(leak["kind"] == kind for leak in wrong) or kind in accept]
    return Refused(
        "leak",
        got=f"The test split shares patients or pictures with training or validation ({len(wrong)} found): {shown}{more}.",
        allowed="Every patient and every picture on one side of the split.",
        fix=f"Mend the split (medloop inspect lists all), or go on with --accept-leak {','.join(kinds)}: the report will say so.",
    )


def _say(leak: dict[str, Json]) -> str:
    first, second = leak["splits"]
    return f"{leak['a']} ({first}) and {leak['b']} ({second}): {_WORDS[leak['kind']]}"


def check(dataset: Dataset, accept: Collection[str] = ()) -> None:
    """Raise `Refused` when a patient, a group or a picture lies in two splits.

    Training and validation never share anything. The test split may share what ``accept`` names (patient, exact, near).
    """
    sides = [str(side) for side in dataset.split]
    marks = {Split.TEST.value} if accept else set()
    _apart(((number, side) for number, side in zip(dataset.groups.tolist(), sides, strict=True)), "group", dataset, marks)
    marks = {Split.TEST.value} if "patient" in accept else set()
    _apart(_people(dataset, sides), "patient", dataset, marks)
    marks = {Split.TEST.value} if "exact" in accept else set()
    _apart(_pictures(dataset, sides), "picture", dataset, marks)


def check_folds(dataset: Dataset, folds: Integers) -> None:
    """Raise `Refused` when a patient, a group or a picture lies in two folds. ``folds``: ``(N,)``, negative for cases not used."""
    used = [str(fold) if fold >= 0 else None for fold in folds.tolist()]
    grouped = zip(dataset.groups.tolist(), used, strict=True)
    _apart(((key, fold) for key, fold in grouped if fold is not None), "group", dataset, set())
    _apart(_people(dataset, used), "patient", dataset, set())
    _apart(_pictures(dataset, used), "picture", dataset, set())


def _people(dataset: Dataset, sides: Sequence[str | None]) -> Iterable[tuple[str, str]]:
    for case, side in zip(dataset.cases, sides, strict=True):
        if side is not None:
            yield from (
                (f"{what} {key}", side) for what, key in (("patient", case.patient), ("group", case.group)) if key is not None
            )


def _pictures(dataset: Dataset, sides: Sequence[str | None]) -> Iterable[tuple[str, str]]:
    for case, side in zip(dataset.cases, sides, strict=True):
        if side is not None:
            yield from ((ref.digest, side) for ref in case.images if ref.digest)


def _apart(keyed: Iterable[tuple[object, str]], what: str, dataset: Dataset, free: set[str]) -> None:
    """Raise when one key is on two sides that are not free."""
    seen: dict[object, str] = {}
    crossing = sum(1 for key, side in keyed if side not in free and seen.setdefault(key, side) != side)
    if crossing:
        raise Refused(
            "leak",
            got=f"{crossing} of {len(dataset.cases)} cases share a {what} with another part of the data.",
            allowed="Every patient and every picture in one part only.",
            fix="Nothing was learnt. This guard should never speak: please report it with the output of medloop inspect.",
        )
