"""Labels inside an ``.npz`` in MedMNIST layout: ``train_labels``, ``val_labels``, ``test_labels`` beside the images.

``(N,)`` or ``(N, 1)``: a class (whole numbers) or a number; ``(N, K)`` of 0 and 1: multi-label. The splits are the given splits.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from medloop.errors import InputError
from medloop.labels._cases import Said, case_of
from medloop.labels._labelled import Labelled, Using, problem
from medloop.labels._words import ordered
from medloop.requests import SourceRequest
from medloop.types import Array, ImageRef, Json, Label, LabelValue, Split, Target, TargetKind

if TYPE_CHECKING:
    from medloop.readers import Collection

ORDER = 10
STRUCTURED = False
EXAMPLE = "an .npz file with train_labels beside train_images (MedMNIST layout)"
_MOST_CLASSES = 100
_MOST_NUMBERS = 20


def opens(path: Path) -> bool:
    """Whether the file is an ``.npz``, by its name."""
    return path.suffix.lower() == ".npz"


def find(collection: Collection, request: SourceRequest, using: Using | None = None) -> Labelled | None:
    """Labels of the ``.npz`` items of the collection; None when there are none. Raises `InputError` for senseless labels."""
    del using
    refs = [ref for ref in collection.refs if ref.reader == "npz"]
    if not refs:
        return None
    wanted = None if request.labels is None else Path(request.labels).expanduser().resolve()
    files = sorted({ref.files[0] for ref in refs if wanted is None or Path(ref.files[0]).resolve() == wanted})
    arrays = {file: _arrays(Path(file)) for file in files}
    if not any(arrays.values()):
        return None
    target = _target([array for each in arrays.values() for array in each.values()])
    return _labelled(collection.refs, arrays, target)


def _arrays(path: Path) -> dict[str, Array]:
    """``(N, K)`` labels of each split."""
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {split.value: np.asarray(file[f"{split}_labels"]) for split in Split if f"{split}_labels" in file.files}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise _wrong(path, f"cannot be read ({error})") from error
    for name, array in found.items():
        if array.dtype.kind not in "buif":
            raise _wrong(path, f"holds {name}_labels of type {array.dtype}, which are no numbers")
        if array.ndim not in (1, 2):
            raise _wrong(path, f"holds {name}_labels of shape {array.shape}")
    return {name: array.reshape(len(array), -1).astype(np.float64) for name, array in found.items()}


def _wrong(path: Path, what: str) -> InputError:
    return InputError(
        "bad-labels",
        got=f"{path.name} {what}.",
        allowed="train_labels, val_labels, test_labels: a whole number for each image, a number, or K columns of 0 and 1.",
        fix="Save the labels again as plain numbers, or give a table with --labels.",
    )


def _target(arrays: Sequence[Array]) -> Target:
    """What the labels of all splits together say is learnt."""
    widths = {array.shape[1] for array in arrays}
    if len(widths) > 1:
        raise _wrong(Path("The file"), f"holds labels of different widths: {sorted(widths)}")
    joined = np.concatenate(arrays)
    values = np.unique(joined[~np.isnan(joined)])
    if joined.shape[1] > 1:
        if not np.isin(values, (0, 1)).all():
            raise _wrong(Path("The file"), f"holds labels of {joined.shape[1]} columns that are not all 0 or 1")
        return Target(TargetKind.MULTILABEL, tuple(str(index) for index in range(joined.shape[1])))
    if (values % 1 != 0).any() or (len(values) > _MOST_NUMBERS and len(values) > len(joined) // 20) or len(values) > _MOST_CLASSES:
        return Target(TargetKind.NUMBER)
    classes = ordered(str(int(value)) for value in values)
    return Target(TargetKind.BINARY if len(classes) == 2 else TargetKind.MULTICLASS, classes)


def _labelled(refs: Sequence[ImageRef], arrays: dict[str, dict[str, Array]], target: Target) -> Labelled:
    problems: list[dict[str, Json]] = []
    unlabelled, cases, labels = [], [], []
    for ref in refs:
        split, _, index = ref.item.partition("/")
        array = arrays.get(ref.files[0], {}).get(split)
        value = _value(array[int(index)], target) if array is not None and index.isdecimal() and int(index) < len(array) else None
        if value is None:
            unlabelled.append(ref)
            problems.append(problem(None, ref.name, "it has no label"))
            continue
        cases.append(case_of(ref, Said(split=Split(split))))
        labels.append(Label(case=ref.name, value=value, where=f"{split}_labels"))
    return Labelled(
        target=target,
        labels=tuple(labels),
        cases=tuple(cases),
        layout=_sentence(target, arrays),
        problems=problems,
        unlabelled=tuple(unlabelled),
    )


def _value(row: Array, target: Target) -> LabelValue | None:
    """The label of one item; None where it is NaN."""
    if np.isnan(row).all():
        return None
    if target.kind is TargetKind.MULTILABEL:
        return tuple((name, None if np.isnan(cell) else float(cell)) for name, cell in zip(target.classes, row, strict=True))
    return float(row[0]) if target.kind is TargetKind.NUMBER else str(int(row[0]))


def _sentence(target: Target, arrays: dict[str, dict[str, Array]]) -> str:
    splits = sorted({split for each in arrays.values() for split in each})
    kinds = {
        TargetKind.NUMBER: "a number to be predicted",
        TargetKind.MULTILABEL: f"{len(target.classes)} columns of 0 and 1 (multi-label)",
    }
    kind = kinds.get(target.kind, f"{len(target.classes)} classes ({', '.join(target.classes[:8])})")
    return f"Labels lie in the .npz beside the images: {kind}; its splits ({', '.join(splits)}) are the given split."
