"""Masks that belong to images, looked at: their values, whether they lie on the image's grid, and the truth they make."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass

import numpy as np

from medloop import readers
from medloop.cache.files import Entry, FileIndex
from medloop.compute import Died
from medloop.errors import InputError, Unreadable
from medloop.labels._labelled import Using, problem
from medloop.labels._mask_classes import Meanings, by_themselves, lookup, nameless, target_of
from medloop.labels._truths import tally
from medloop.readers import labelmap
from medloop.readers.labelmap import Grid, named
from medloop.types import Array, Image, ImageRef, Json, Truth
from medloop.workspace.atomic import explained

_VERSION = 1
_AWAY = 0.25
DRAWN = ("coco", "seg")
"""Readers whose label maps are on the grid of their image as they are."""
_TOLD = 6
_CHUNK = 8


@dataclass(frozen=True, slots=True)
class Pair:
    """An image and its mask."""

    image: ImageRef
    mask: ImageRef

    @property
    def key(self) -> str:
        """What changes when one of their files does."""
        return f"{self.image.stamp} {self.mask.stamp}"


@dataclass(frozen=True, slots=True)
class Seen:
    """A mask once read: ``values`` with their voxels; ``usable``; ``onto``: shape and affine (3 by 4, row by row) of the image's
    grid where it must be resampled; ``says``: what a person must know of it.
    """

    values: tuple[tuple[int, int], ...] = ()
    usable: bool = False
    onto: tuple[tuple[int, int, int], tuple[float, ...]] | None = None
    says: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Masks:
    """``truth``: rows those of the images. ``problems`` and ``found`` as in `Labelled`. ``empty``: masks without any class."""

    truth: Truth
    problems: list[dict[str, Json]]
    found: list[dict[str, Json]]
    empty: int

    @property
    def shows(self) -> str:
        """The classes for a sentence; those that no mask shows are told."""
        return ", ".join(each["class"] if each["cases"] else f"{each['class']} (in none of them)" for each in self.found)


def read(
    refs: Sequence[ImageRef], masks: Sequence[ImageRef | None], meanings: Meanings | None, using: Using | None = None
) -> Masks:
    """The truth that masks make, one of each image or None. Without ``meanings`` each value but 0 is its own class.

    Raises `InputError` for masks that hold no class at all, or more values than a mask has.
    """
    rows = [row for row, mask in enumerate(masks) if mask is not None]
    pairs = [Pair(refs[row], mask) for row, mask in enumerate(masks) if mask is not None]
    seen = _seen(pairs, using or Using())
    values = {value for each in seen for value, _ in each.values}
    meanings = meanings or by_themselves(values)
    target = target_of(meanings)
    if not target.classes:
        raise _all_empty(len(seen))
    of = lookup(meanings, values)
    counts = [_counts(each, dict(of), len(target.classes)) for each in seen if each.usable]
    if odd := nameless(meanings, values) if counts and not np.any(counts) else []:
        raise _none_named(target.classes, odd)
    kept: list[ImageRef | None] = [None] * len(refs)
    for row, pair, each in zip(rows, pairs, seen, strict=True):
        kept[row] = _as_read(pair, each)
    return Masks(
        truth=Truth(target=target, known=np.array([ref is not None for ref in kept], dtype=np.bool_), masks=tuple(kept), lookup=of),
        problems=_problems(pairs, seen, meanings),
        found=tally(target, counts),
        empty=sum(not any(each) for each in counts),
    )


def _seen(pairs: Sequence[Pair], using: Using) -> list[Seen]:
    """What is in each mask; those seen before are not read again while neither file has changed."""
    with ExitStack() as stack:
        index = None
        known: dict[str, Entry] = {}
        if using.cache is not None:
            stack.enter_context(explained(using.cache))
            index = stack.enter_context(FileIndex(using.cache / "masks.sqlite", f"{_VERSION}.{labelmap.VERSION}"))
            known = index.known((pair.key, 0, 0) for pair in pairs)
        fresh = [pair for pair in pairs if pair.key not in known]
        answers = using.compute.map(look, fresh, label="Reading masks", total=len(fresh), tell=using.tell, chunk=_CHUNK)
        found = {pair.key: answer for pair, answer in zip(fresh, answers, strict=True)}
        if index is not None:
            index.add([Entry(key, 0, 0, "", json.dumps(asdict(each))) for key, each in found.items() if isinstance(each, Seen)])
        return [_kept(known[pair.key]) if pair.key in known else _alive(found[pair.key]) for pair in pairs]


def _kept(entry: Entry) -> Seen:
    found = json.loads(entry.found)
    onto = found["onto"]
    return Seen(
        tuple((value, count) for value, count in found["values"]),
        found["usable"],
        None if onto is None else ((onto[0][0], onto[0][1], onto[0][2]), tuple(onto[1])),
        found["says"],
    )


def look(pair: Pair) -> Seen:
    """Read one mask and compare its grid with the image's. Runs in worker processes."""
    try:
        map_ = readers.read(_plain(pair.mask))
        onto, says = _onto(pair, map_)
    except Unreadable as error:
        return Seen(says=f"the mask cannot be used: {error}")
    values, voxels = np.unique(map_.pixels, return_counts=True)
    counts = tuple((int(value), int(count)) for value, count in zip(values, voxels, strict=True))
    grid = None if onto is None else (onto.shape, tuple(onto.affine_lps[:3].ravel().tolist()))
    return Seen(counts, True, grid, says)


def _plain(mask: ImageRef) -> ImageRef:
    return mask if mask.reader in DRAWN else labelmap.reference(mask)


def _as_read(pair: Pair, seen: Seen) -> ImageRef | None:
    """How to read a mask on the image's grid; None where it cannot be used."""
    if not seen.usable or seen.onto is None:
        return _plain(pair.mask) if seen.usable else None
    shape, affine = seen.onto
    return labelmap.reference(pair.mask, Grid(shape, np.vstack([np.reshape(affine, (3, 4)), [0, 0, 0, 1]])))


def _alive(answer: Seen | Died) -> Seen:
    return Seen(says=f"the mask cannot be used: {answer.reason}") if isinstance(answer, Died) else answer


def _onto(pair: Pair, map_: Image) -> tuple[Grid | None, str]:
    """The image's grid where the mask lies on another one, with words for it. Raises `Unreadable` where they cannot be compared."""
    shape, size = pair.image.shape[2:], map_.pixels.shape[2:]
    affine = readers.affine(pair.image) if pair.image.spacing_mm is not None and map_.affine_lps is not None else None
    if affine is None or map_.affine_lps is None:
        if shape != size:
            raise Unreadable(f"its size is {_size(size)}, the image's {_size(shape)}")
        return None, ""
    if shape == size and _apart(affine, map_.affine_lps, shape) < _AWAY:
        return None, ""
    if not _meet(affine, shape, map_.affine_lps, size):
        raise Unreadable("it lies elsewhere in the patient than the image")
    how = f"{_size(size)}, the image's {_size(shape)}" if shape != size else "of the same size but placed otherwise"
    return Grid((shape[0], shape[1], shape[2]), affine), f"its grid ({how}) is not the image's: it is resampled, nearest voxel"


def _size(shape: Sequence[int]) -> str:
    z, y, x = shape
    return f"{x} × {y}" if z == 1 else f"{x} × {y} × {z}"


def _corners(shape: Sequence[int]) -> Array:
    """``(4, 8)``: indices ``(x, y, z, 1)`` of the corner voxels."""
    z, y, x = (length - 1 for length in shape)
    return np.array([(i, j, k, 1) for i in (0, x) for j in (0, y) for k in (0, z)], dtype=np.float64).T


def _apart(one: Array, two: Array, shape: Sequence[int]) -> float:
    """How far a corner voxel lies from where the other affine puts it, in voxels."""
    return float(np.abs(np.linalg.inv(one) @ two @ _corners(shape) - _corners(shape)).max())


def _meet(image: Array, shape: Sequence[int], mask: Array, size: Sequence[int]) -> bool:
    """Whether the boxes of the two grids overlap, in voxels of the image."""
    inside = (np.linalg.inv(image) @ mask @ _corners(size))[:3]
    most = np.array(shape[::-1]) - 1
    return bool(((inside.max(axis=1) >= 0) & (inside.min(axis=1) <= most)).all())


def _counts(seen: Seen, of: dict[int, int], classes: int) -> list[int]:
    """Voxels of each class."""
    counted: Counter[int] = Counter()
    for value, voxels in seen.values:
        counted[of[value]] += voxels
    return [counted[k + 1] for k in range(classes)]


def _problems(jobs: Sequence[Pair], seen: Sequence[Seen], meanings: Meanings) -> list[dict[str, Json]]:
    told = [problem(None, job.mask.name, each.says) for job, each in zip(jobs, seen, strict=True) if each.says]
    for job, each in zip(jobs, seen, strict=True):
        if odd := nameless(meanings, (value for value, _ in each.values)):
            names = ", ".join(map(named, odd[:_TOLD])) + (", ..." if len(odd) > _TOLD else "")
            word = "value" if len(odd) == 1 else "values"
            voxels = sum(count for value, count in each.values if value in odd)
            told.append(problem(None, job.mask.name, f"the {word} {names} ({voxels} voxels) has no class: taken as unknown"))
    return told


def _all_empty(count: int) -> InputError:
    return InputError(
        "empty-masks",
        got=f"None of the {count} masks that fit an image holds any value but 0." if count else "No mask fits an image.",
        allowed="Masks in which some voxels have a value.",
        fix="Check --masks, and with medloop inspect which masks were found.",
    )


def _none_named(classes: Sequence[str], values: Sequence[int]) -> InputError:
    return InputError(
        "empty-masks",
        got=f"No mask shows {' or '.join(classes)}; their values are {', '.join(map(named, values[:_TOLD]))}.",
        allowed="Names for values that the masks hold.",
        fix="Mend --mask-classes; without it each value is a class of its own.",
    )
