"""Cases and labels of the store as what learning takes: the same nouns that files give.

Only what a person or an import said is truth; what a model said alone never is. Cases of the frozen test set never come along.
Names are ``case-<number>``, so no patient's identity gets into a run.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from medloop.errors import InputError, Refused
from medloop.labels import Labelled
from medloop.labels._words import ordered
from medloop.loop import _drawn
from medloop.readers import Collection
from medloop.store import Store, labels, settings, studies
from medloop.store.records import APART, LabelRow, StudyRow
from medloop.store.studies import Filter
from medloop.types import Case, ImageRef, Json, Label, LabelValue, Provenance, Split, Target, TargetKind, Truth

CHECKED = 10
"""One patient of so many is held out of every model's training, and tells in its report how good it is."""
_SETTLED = ("ready", "proposed", "reading", "done", "second-look")
"""States of cases whose labels may be learnt from; of the others nothing is settled, or their images are gone."""
_PAGE = 200
FROZEN, ALONE, UNSETTLED, ODD = "frozen", "ai-only", "unsettled", "unreadable value"


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """What the store has to learn from. ``provenance``: labels by where they come from. ``left_out``: labels by the reason why they
    are not among ``labelled``. ``upto``: the last label's number that was seen."""

    labelled: Labelled
    provenance: Mapping[str, int]
    left_out: Mapping[str, int]
    upto: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be learnt.

    ``plain``: classes or a number, which are ``target`` (None: as the project's settings say, or as the labels are). ``drawn``:
    outlines and boxes beside them, as targets or by the words of ``--targets``; where nothing else is labelled all are meant.
    """

    target: Target | None = None
    plain: bool = True
    drawn: tuple[Target | str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Gathered:
    """The last truth of every case by target's name; labels that do not count are counted once they are asked for."""

    rows: Mapping[int, StudyRow]
    said: Mapping[str, Mapping[int, LabelRow]]
    left_out: Counter[str]
    upto: int

    def of(self, name: str) -> dict[int, LabelRow]:
        """What may be learnt from of this target, by case."""
        kept = {}
        for case, label in self.said.get(name, {}).items():
            row = self.rows[case]
            if label.provenance not in labels.TRUTH:
                self.left_out[ALONE] += 1
            elif row.frozen:
                self.left_out[FROZEN] += 1
            elif row.state not in _SETTLED or not row.refs:
                self.left_out[UNSETTLED] += 1
            else:
                kept[case] = label
        return kept


def name_of(row: StudyRow) -> str:
    """What a case of the store is called in runs and reports."""
    return f"case-{row.id}"


def case_of(row: StudyRow) -> Case:
    """The case of a study, under a name that tells nobody who it is."""
    name = name_of(row)
    images = tuple(replace(ref, name=name if not at else f"{name}/{at}") for at, ref in enumerate(row.refs))
    facts = {"site": row.site, "scanner": row.scanner, **row.attributes}
    return Case(
        name=name,
        images=images,
        patient=row.patient,
        study=row.study,
        site=row.site,
        given_split=_part_of(row.patient or row.content),
        attributes=tuple(sorted((key, text) for key, text in facts.items() if text and key not in APART)),
    )


def gathered(store: Store, wanted: Wanted | None = None, upto: int | None = None) -> Stored:
    """Every case with a truth to learn from. ``upto``: the last label that counts; None: all do.

    A case may lack any of the targets. Raises `Refused` where no label can be learnt from.
    """
    wanted = wanted or Wanted()
    found = _gather(store, upto)
    target, plain = _plain(store, found, wanted) if wanted.plain else (None, {})
    words = wanted.drawn or (() if plain else tuple(found.said))
    drawn = [part for target_ in _drawn_targets(found, words) if (part := _Drawn(target_, _fitting(store, found, target_))).labels]
    cases = sorted({*plain, *(case for part in drawn for case in part.labels)})
    target = target if plain else drawn[0].target if drawn else None
    if target is None:
        raise Refused(
            "no-labels",
            got=f"No label in the store can be learnt from{_why_not(found.left_out)}.",
            allowed="Labels that a person confirmed, or that were imported, of cases outside the frozen test set.",
            fix="Read some cases first.",
        )
    rows = [studies.local(store, found.rows[case]) for case in cases]
    made = [case_of(row) for row in rows]
    unsaid = {case: (label, "") for part in reversed(drawn) for case, label in part.labels.items()}
    told = [_label(row, *(plain.get(row.id) or unsaid[row.id]), target) for row in rows]
    learnt = [label for label, _ in plain.values()] + [label for part in drawn for label in part.labels.values()]
    labelled = Labelled(
        target=target,
        labels=tuple(told),
        cases=tuple(made),
        layout=f"{len(learnt)} confirmed labels of the store",
        further=tuple(part.truth(made, cases, store) for part in drawn),
    )
    provenance = Counter(Provenance(label.provenance).value for label in learnt)
    return Stored(labelled, provenance, dict(found.left_out), found.upto)


@dataclass(frozen=True, slots=True)
class _Drawn:
    """What is known of outlines or boxes, by case."""

    target: Target
    labels: Mapping[int, LabelRow]

    def truth(self, cases: Sequence[Case], numbers: Sequence[int], store: Store) -> Truth:
        """Of these cases, which are those of these numbers."""
        values = [label.value if (label := self.labels.get(number)) else None for number in numbers]
        return _drawn.truth(self.target, [case.images[0] for case in cases], values, store.blobs)


def _plain(store: Store, found: _Gathered, wanted: Wanted) -> tuple[Target | None, dict[int, tuple[LabelRow, LabelValue]]]:
    """The classes or number, and what is known of them by case."""
    said: dict[int, tuple[LabelRow, LabelValue]] = {}
    for case, label in found.of(wanted.target.name if wanted.target else _asked_name(store)).items():
        value = value_of(label.value)
        if value is None:
            found.left_out[ODD] += 1
        else:
            said[case] = label, value
    if not said:
        return None, {}
    target = wanted.target or target_of(store, [value for _, value in said.values()])
    kept = {case: (label, fits) for case, (label, value) in said.items() if (fits := fitting(value, target)) is not None}
    if lost := len(said) - len(kept):
        found.left_out[ODD] += lost
    return target, kept


def _drawn_targets(found: _Gathered, words: Sequence[Target | str]) -> list[Target]:
    """The outlines and boxes meant: targets as they are; by their name or kind as the labels say."""
    made: dict[str, Target] = {word.name: word for word in words if isinstance(word, Target)}
    for name, said in found.said.items():
        target = _drawn.target_of(name, (label.value for _, label in sorted(said.items())))
        if (
            target is not None
            and name not in made
            and {name, target.kind.value} & {word for word in words if isinstance(word, str)}
        ):
            made[name] = target
    return list(made.values())


def _fitting(store: Store, found: _Gathered, target: Target) -> dict[int, LabelRow]:
    """What is known of outlines or boxes, by case."""
    said = found.of(target.name)
    kept = {case: label for case, label in said.items() if _drawn.fits(label.value, target, store.blobs)}
    if lost := len(said) - len(kept):
        found.left_out[ODD] += lost
    return kept


def collection_of(labelled: Labelled, root: Path) -> Collection:
    """The images of labelled cases, as if a folder had held them."""
    refs = tuple(ref for case in labelled.cases for ref in case.images)
    return Collection(root=root, refs=refs, rejected=(), files=(), warnings=(), tables=(), series=())


def frozen_refs(store: Store) -> list[ImageRef]:
    """The images of the frozen test set: copies of them are not learnt from either."""
    found: list[ImageRef] = []
    which, after = Filter(states=_SETTLED, frozen=True), None
    while True:
        page = studies.page(store, "arrival", which, _PAGE, after, refs=True)
        found += [ref for row in page.rows for ref in case_of(studies.local(store, row)).images]
        after = page.after
        if after is None:
            return found


def target_of(store: Store, values: Sequence[LabelValue]) -> Target:
    """What the project learns: as its settings say, or else as its labels are."""
    said = settings.get(store, "target")
    if said:
        return target_from(said)
    if all(isinstance(value, float) for value in values):
        return Target(TargetKind.NUMBER)
    if any(isinstance(value, tuple) for value in values):
        names = dict.fromkeys(name for value in values if isinstance(value, tuple) for name, _ in value)
        return Target(TargetKind.MULTILABEL, tuple(names))
    classes = ordered({f"{value:g}" if isinstance(value, float) else str(value) for value in values})
    return Target(TargetKind.BINARY if len(classes) == 2 else TargetKind.MULTICLASS, classes)


def target_from(said: Mapping[str, Json]) -> Target:
    """A target as settings keep it: ``kind``, ``classes``, ``name``, ``unit``. Raises `InputError`."""
    try:
        kind, classes = TargetKind(said["kind"]), tuple(map(str, said.get("classes", ())))
        return Target(kind, classes, str(said.get("name", "classes")), said.get("unit"))
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise InputError(
            "bad-target",
            got="The setting 'target' is none.",
            allowed=f"kind (one of {', '.join(TargetKind)}), classes, name, unit.",
            fix="Mend it on the settings page.",
        ) from error


def _asked_name(store: Store) -> str:
    said = settings.get(store, "target")
    return str(said.get("name", "classes")) if isinstance(said, dict) else "classes"


def _gather(store: Store, upto: int | None) -> _Gathered:
    """The last truth of every case, with its study."""
    last = labels.last_id(store)
    upto = last if upto is None else min(upto, last)
    said: dict[str, dict[int, LabelRow]] = {}
    for (case, name), label in sorted(labels.current(store, upto=upto).items()):
        said.setdefault(name, {})[case] = label
    rows = {row.id: row for row in studies.many(store, {case for each in said.values() for case in each})}
    return _Gathered(rows, said, Counter(), upto)


def value_of(said: Json) -> LabelValue | None:
    """A label's value from JSON; None for what is none."""
    if isinstance(said, bool) or said is None:
        return None
    if isinstance(said, (int, float)):
        return float(said) if math.isfinite(said) else None
    if isinstance(said, str):
        return said.strip() or None
    pairs = said.items() if isinstance(said, dict) else said if isinstance(said, list) else ()
    try:
        found = tuple((str(key), None if on is None else float(on)) for key, on in pairs)
    except (TypeError, ValueError):
        return None
    return found or None


def fitting(value: LabelValue, target: Target) -> LabelValue | None:
    """The value as the target takes it; None where it does not."""
    if target.kind is TargetKind.NUMBER:
        return value if isinstance(value, float) else None
    if target.kind is TargetKind.MULTILABEL:
        if isinstance(value, str):
            present = {part.strip() for part in value.split("|")}
            return tuple((name, float(name in present)) for name in target.classes)
        return value if isinstance(value, tuple) and {name for name, _ in value} <= set(target.classes) else None
    text = f"{value:g}" if isinstance(value, float) else value
    return text if text in target.classes else None


def _label(row: StudyRow, label: LabelRow, value: LabelValue, target: Target) -> Label:
    return Label(
        case=name_of(row),
        value=value,
        target=target.name,
        where=f"label {label.id}",
        author=label.author,
        time=label.time.isoformat(),
        reason=label.reason or None,
        provenance=Provenance(label.provenance),
    )


def _part_of(whose: str) -> Split:
    """The part a patient is in: by a hash, so that it is the same for every model of a line."""
    number = int.from_bytes(hashlib.blake2b(f"checked {whose}".encode(), digest_size=8).digest(), "big")
    return Split.TEST if number % CHECKED == 0 else Split.TRAIN


def _why_not(left_out: Mapping[str, int]) -> str:
    return f" ({', '.join(f'{count} {reason}' for reason, count in left_out.items())})" if left_out else ""
