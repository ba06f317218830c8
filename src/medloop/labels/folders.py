"""Class folders, with or without split folders above them, and patients' folders below."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from medloop.labels._cases import Said, case_of
from medloop.labels._labelled import Labelled, Using, problem
from medloop.labels._words import ordered, patient_folder, split_of
from medloop.requests import SourceRequest
from medloop.types import ImageRef, Label, Split, Target, TargetKind

if TYPE_CHECKING:
    from medloop.readers import Collection

ORDER = 30
STRUCTURED = False
EXAMPLE = "a folder for each class: tumour/1.png, normal/2.png, with train/ and test/ above them if you like"
_MOST_CLASSES = 100
_LAYOUT = ("images", "imgs", "img", "jpegimages", "imagestr", "imagests", "scans", "data")
"""Folders that say where images lie, not what they show."""


def opens(path: Path) -> bool:
    """Folders are read from the source itself, never named with ``--labels``."""
    del path
    return False


def find(collection: Collection, request: SourceRequest, using: Using | None = None) -> Labelled | None:
    """The class of each image from the folder it lies in; None when the folders do not look like classes."""
    del request, using
    names = [_folders(ref) for ref in collection.refs]
    wrapped = _wrapped(names)
    inside = [parts[wrapped:] for parts in names]
    splits = [split_of(parts[0]) if parts else None for parts in inside]
    divided = any(splits)
    found = [_class_in(parts, split, divided=divided) for parts, split in zip(inside, splits, strict=True)]
    counted = Counter(name for name in found if name)
    if not _like_classes(counted, collection.refs, found, divided=divided):
        return None
    return _labelled(collection.refs, found, splits, counted, divided=divided)


def _folders(ref: ImageRef) -> list[str]:
    """The folders above an image; an image that is a whole series lies in its folder."""
    path, mark, _ = ref.name.partition("#")
    parts = path.split("/")
    return parts if mark and len(ref.files) > 1 else parts[:-1]


def _wrapped(names: Sequence[Sequence[str]]) -> int:
    """How many folders at the top all images share, before a split folder."""
    inside = [parts for parts in names if parts]
    if not inside:
        return 0
    depth = 0
    while all(len(parts) > depth + 1 and parts[depth] == inside[0][depth] and not split_of(parts[depth]) for parts in inside):
        depth += 1
    return depth


def _class_in(parts: Sequence[str], split: Split | None, *, divided: bool) -> str | None:
    """The class folder: the first one, or the one below the split folder."""
    if divided:
        return parts[1] if split and len(parts) > 1 else None
    return parts[0] if parts else None


def _like_classes(counted: Counter[str], refs: Sequence[ImageRef], found: Sequence[str | None], *, divided: bool) -> bool:
    """Whether these folders are classes and not patients or studies: few, with several images each and not one patient each."""
    if all(name.casefold() in _LAYOUT for name in counted):
        return False
    if not counted or len(counted) > _MOST_CLASSES or (len(counted) < 2 and not divided):
        return False
    if counted.total() < 2 * len(counted) or any(patient_folder(f"{name}/") for name in counted):
        return False
    people: dict[str, set[str]] = defaultdict(set)
    for ref, name in zip(refs, found, strict=True):
        if name and ref.patient:
            people[name].add(ref.patient)
    known = len(people) == len(counted)
    return not (known and all(len(each) == 1 for each in people.values()) and len(set.union(*people.values())) == len(people))


def _labelled(
    refs: Sequence[ImageRef], found: Sequence[str | None], splits: Sequence[Split | None], counted: Counter[str], *, divided: bool
) -> Labelled:
    spelling: dict[str, str] = {}
    for name, _ in counted.most_common():
        spelling.setdefault(name.casefold(), name)
    classes = ordered(spelling.values())
    used = [(ref, spelling[name.casefold()], split) for ref, name, split in zip(refs, found, splits, strict=True) if name]
    left = tuple(ref for ref, name in zip(refs, found, strict=True) if not name)
    cases = tuple(case_of(ref, Said(split=split)) for ref, _, split in used)
    where = "below a split folder" if divided else "at the top"
    layout = f"The folder {where} that an image lies in is its class: {', '.join(classes)}."
    if divided:
        layout += " The split folders are kept as the given split."
    if any(patient_folder(ref.name) for ref, _, _ in used):
        layout += " Folders named like patients keep their images together."
    return Labelled(
        target=Target(TargetKind.BINARY if len(classes) == 2 else TargetKind.MULTICLASS, classes),
        labels=tuple(Label(case=ref.name, value=name, where="folder") for ref, name, _ in used),
        cases=cases,
        layout=layout,
        problems=[problem(None, ref.name, "it lies in no class folder") for ref in left],
        unlabelled=left,
    )
