"""From images found somewhere to studies in the store: known by content, copied, drawn, labelled."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from medloop import readers
from medloop.labels import Labelled, case_of, patient_of
from medloop.loop import _drawn, _draws
from medloop.loop._intake import Means, look
from medloop.store import Store, arrivals, settings, studies
from medloop.store.arrivals import UNREAD, Arrival, Kept
from medloop.store.records import SERIES, TAKEN, StudyRow, now
from medloop.types import Case, ImageRef, Json, Label, Rejected, Truth
from medloop.wire import to_json

_AT_ONCE = 16
"""Studies of one transaction: readers wait while it is written."""
MOST_BYTES = 2**31
"""An image that unfolds to more is not taken."""


@dataclass(frozen=True, kw_only=True)
class Taking:
    """How studies are taken. ``settled``: they are complete; else they wait for more of their files. ``actor``: who takes them."""

    store: Store
    actor: str
    batch: str
    settled: bool = True
    urgency: int = 0


@dataclass(slots=True)
class Taken:
    """What became of the images. ``numbers``: the studies, new or not, in order."""

    fresh: list[int] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    known: int = 0
    replaced: int = 0
    labels: int = 0
    rejected: list[Rejected] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Found:
    """One case that can be used: its reference with its digest, what is known of it, its labels by target; ``drawn``: truths of
    outlines and boxes, and the case's row in them."""

    ref: ImageRef
    case: Case
    content: str
    labels: Mapping[str, Json]
    drawn: tuple[Sequence[Truth], int] = ((), 0)

    def every_label(self, records: Store) -> dict[str, Json]:
        """All labels, the outlines kept as blobs."""
        truths, row = self.drawn
        told = {known.target.name: _drawn.said(known, row, self.ref, records.blobs) for known in truths if known.known[row]}
        return {**self.labels, **{name: value for name, value in told.items() if value is not None}}


def take(refs: Sequence[ImageRef], labelled: Labelled | None, means: Means, taking: Taking) -> Taken:
    """Decode each image once, and keep those that the store does not have; some at a time, so that nothing is lost when stopped."""
    taken = Taken()
    told = _told(labelled)
    small = []
    for ref in refs:
        if _bytes(ref) > MOST_BYTES:
            taken.rejected.append(Rejected(ref.name, "it unfolds to more than 2 GB; cut it up or scale it down"))
        else:
            small.append(ref)
    seen = look(small, None, means, copies=False)
    taken.rejected += seen.rejected
    copier = _Copier(taking.store)
    found = [_found(ref, told.get(ref.name)) for ref in seen.survey.refs]
    with means.tell.task("Taking studies", len(found)) as tick:
        for start in range(0, len(found), _AT_ONCE):
            part = found[start : start + _AT_ONCE]
            _keep(part, taking, copier, taken)
            tick(len(part))
    return taken


def content_of(ref: ImageRef) -> str:
    """By what a case is known again: whose it is, as its header says, and its pixels, whatever its files are called and however
    compressed. What a table says of it may come later and does not count."""
    return hashlib.sha256(f"{patient_of(ref.patient) or ''}\0{ref.digest}".encode("utf-8", "replace")).hexdigest()


def _told(labelled: Labelled | None) -> dict[str, tuple[Case, dict[str, Json], tuple[Sequence[Truth], int]]]:
    """By image's name what its labels say: of the case, of its class or number, and what is drawn in it."""
    if labelled is None:
        return {}
    pairs = enumerate(zip(labelled.cases, labelled.labels, strict=True))
    drawn = [each for each in labelled.further if each.target.kind in _drawn.KINDS]
    return {case.images[0].name: (case, _values(label, labelled), (drawn, row)) for row, (case, label) in pairs}


def _values(label: Label, labelled: Labelled) -> dict[str, Json]:
    """What is known of the classes (or number) of a case, as the store keeps it."""
    if labelled.target.kind.structured or label.value == "":
        return {}
    if isinstance(label.value, tuple):
        return {label.target: {name: value for name, value in label.value if value is not None}}
    return {label.target: to_json(label.value)}


def _found(ref: ImageRef, told: tuple[Case, dict[str, Json], tuple[Sequence[Truth], int]] | None) -> _Found:
    case, values, drawn = told or (case_of(ref), {}, ((), 0))
    return _Found(ref, case, content_of(ref), values, drawn)


def _keep(found: Sequence[_Found], taking: Taking, copier: _Copier, taken: Taken) -> None:
    """Copy what is new, and enter it with its labels."""
    there = arrivals.known(taking.store, (each.content for each in found))
    drawn = settings.every(taking.store)
    arriving: list[Arrival] = []
    for each in found:
        if each.content in there:
            arriving.append(_arrival(each, _study(each, each.ref, taking, drawn), taking, drawn))
            continue
        copied = copier.copied(each.ref)
        if copied is None:
            taken.rejected.append(Rejected(each.ref.name, "it changed while it was read; it is taken the next time"))
            continue
        part_of, replaces = _of_series(taking.store, each.case, copied)
        if part_of is not None:
            taken.known += 1
            taken.numbers.append(part_of)
            continue
        arriving.append(replace(_arrival(each, _study(each, copied, taking, drawn), taking, drawn), replaces=replaces))
    kept = arrivals.keep(taking.store, arriving, taking.actor) if arriving else []
    _count(kept, taken)
    if not taking.settled:
        arrivals.again(taking.store, [each.number for each in kept if not each.fresh])


def _arrival(found: _Found, study: StudyRow, taking: Taking, chosen: Mapping[str, Json]) -> Arrival:
    """A study with its labels. It need not be read where they say what the project asks for."""
    told, target = found.every_label(taking.store), chosen.get("target")
    asked = target.get("name", "classes") if isinstance(target, Mapping) else None
    return Arrival(study=study, labels=told, done=asked is None or asked in told)


def _count(kept: Sequence[Kept], taken: Taken) -> None:
    taken.numbers += [each.number for each in kept]
    taken.fresh += [each.number for each in kept if each.fresh]
    taken.known += sum(not each.fresh for each in kept)
    taken.replaced += sum(each.replaced for each in kept)
    taken.labels += sum(each.labels for each in kept)


def _study(found: _Found, ref: ImageRef, taking: Taking, drawn: Mapping[str, Json]) -> StudyRow:
    """The row of a case. Draws depend on patient and content only."""
    case, moment = found.case, now()
    frozen = _draws.frozen(case.patient, found.ref.digest, float(drawn["test_share"]), int(drawn.get("test_draw") or 0))
    given = {} if case.given_split is None else {"split": str(case.given_split)}
    return StudyRow(
        name=case.name,
        content=found.content,
        patient=case.patient,
        study=case.study,
        site=case.site or case.attribute("site"),
        scanner=case.attribute("scanner"),
        modality=ref.modality,
        arrived=moment,
        ready=moment if taking.settled else None,
        state="ready" if taking.settled else "arriving",
        frozen=frozen,
        blind=frozen or _draws.blind(found.content, float(drawn["blind_share"])),
        urgency=taking.urgency,
        refs=(replace(ref, patient=case.patient),),
        attributes=dict(case.attributes) | given | ({"group": case.group} if case.group else {}) | _apart(found.ref),
        batch=taking.batch,
    )


def _apart(ref: ImageRef) -> dict[str, str]:
    """What its files say of a series for readers to know it by."""
    said = {SERIES: ref.fact("series_description") or ref.fact("protocol") or "", TAKEN: readers.taken(ref)}
    return {name: text for name, text in said.items() if text}


@dataclass(slots=True)
class _Copier:
    """Copies files among the blobs, each once: an ``.npz`` holds thousands of images."""

    store: Store
    keys: dict[tuple[str, int, int], str] = field(default_factory=dict)

    def copied(self, ref: ImageRef) -> ImageRef | None:
        """The reference with its files among the blobs; None where one of them changed meanwhile."""
        files = []
        for file in ref.files:
            try:
                key = self._key(Path(file))
            except FileNotFoundError:
                return None
            if key is None:
                return None
            files.append(str(self.store.blobs.path(key)))
        return replace(ref, files=tuple(files))

    def _key(self, path: Path) -> str | None:
        mark = _mark(path)
        if mark not in self.keys:
            key = self.store.blobs.put_file(path)
            if _mark(path) != mark:
                return None
            self.keys[mark] = key
        return self.keys[mark]


def _mark(path: Path) -> tuple[str, int, int]:
    about = path.stat()
    return str(path), about.st_size, about.st_mtime_ns


def earlier(records: Store, patient: str | None, study: str | None, series: str | None) -> list[StudyRow]:
    """The studies of this series that came before, without those that gave way; none where it is not known which series it is."""
    if patient is None or study is None or series is None:
        return []
    light = studies.of_patient(records, patient)
    same = [row.id for row in light if row.study == study and row.state != "rejected"]
    return [row for row in studies.many(records, same) if row.refs and row.refs[0].series == series]


def _of_series(store: Store, case: Case, ref: ImageRef) -> tuple[int | None, int | None]:
    """The study that has all these files and more, and the unread one that has only some of them; None where there is none."""
    files = set(ref.files)
    for row in earlier(store, case.patient, case.study, ref.series):
        old = {file for each in row.refs for file in each.files}
        if files < old:
            return row.id, None
        if old < files and row.state in UNREAD:
            return None, row.id
    return None, None


def _bytes(ref: ImageRef) -> int:
    """How much memory its pixels take."""
    size = 4
    for length in ref.shape:
        size *= length
    return size
