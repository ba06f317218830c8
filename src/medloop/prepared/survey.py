"""Decode every image once: its content hash, the facts of the picture, and the prepared array, all kept for the next time.

Workers write shards and enter them into the index themselves; pixels never travel between processes. The survey then is what the
index says, in the first run as in the second. A run that was killed goes on from the last shard.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medloop import prep
from medloop.cache.arrays import ArrayCache, Place
from medloop.cache.pictures import ROW, Pictures
from medloop.compute import Compute, Died
from medloop.prepared._careful import carefully
from medloop.prepared._jobs import Job, Keys, cut, keys_of, run
from medloop.prepared.arrays import PreparedArrays, RowKind, open_shard
from medloop.progress import QUIET, Progress
from medloop.types import ImageRef, Rejected, Step
from medloop.workspace.atomic import explained

__all__ = ["Survey", "survey"]


@dataclass(frozen=True, slots=True, eq=False)
class Survey:
    """What is known after every image has been decoded; all rows are aligned.

    ``refs``: those that can be used, with ``digest`` filled. ``kept``: their positions in the refs that were given.
    ``rejected``: the others. ``pictures``: facts of each (none where they were not asked for). ``arrays``: prepared images, None
    where no steps were given. ``folder``: where all of it is kept. ``steps``: the preparation, spelt out.
    """

    refs: tuple[ImageRef, ...]
    kept: NDArray[np.int64]
    rejected: tuple[Rejected, ...]
    pictures: Pictures
    arrays: PreparedArrays | None
    folder: Path | None = None
    steps: tuple[Step, ...] = ()


def survey(
    refs: Sequence[ImageRef],
    *,
    cache: Path,
    steps: Sequence[Step] | None,
    compute: Compute,
    tell: Progress = QUIET,
    pictures: bool = True,
) -> Survey:
    """Read and prepare ``refs``. ``cache``: the workspace's cache folder. Files whose stamp is known are not opened.

    Without ``pictures`` their facts, by which copies and burnt-in text are found, are left out: a third of the work.

    Unreadable and uniform images, and those that ``steps`` bring to another shape than most, are rejected with a reason each.
    Raises `InputError` for wrong steps and for a disk that is full or cannot be written.
    """
    if not all(ref.stamp for ref in refs):
        raise ValueError("every reference needs a stamp: results are kept by it")
    plan = None if steps is None else prep.checked(steps)
    keys = keys_of((ref.reader for ref in refs), plan, pictures=pictures)
    folder = cache / "arrays"
    with explained(folder), ArrayCache(folder) as index:
        known = _look(index, refs, keys)
        if known.missing:
            index.sweep()
            _work(refs, known.missing, Job((), folder, plan, keys), compute, tell)
            known = _look(index, refs, keys)
        found = _assembled(index, refs, known, prep.key(plan) if plan is not None else None)
        return replace(found, folder=folder, steps=plan or ())


@dataclass(frozen=True, slots=True, eq=False)
class _Known:
    """What the index says of each ref: its content, why it is refused, where its rows lie, and which refs it does not know."""

    digests: list[bytes | None]
    refused: dict[int, str]
    pictures: Mapping[bytes, Place] | None
    arrays: Mapping[bytes, Place] | None
    missing: list[int]


def _look(index: ArrayCache, refs: Sequence[ImageRef], keys: Keys) -> _Known:
    by_stamp: dict[str, dict[str, bytes]] = {}
    reasons: dict[str, dict[str | bytes, str]] = {}
    for reader, key in keys.reading.items():
        stamps = [ref.stamp for ref in refs if ref.reader == reader]
        by_stamp[reader] = index.digests(key, stamps)
        reasons[reader] = index.refusals(keys.refusing[reader], stamps)
    digests = [by_stamp[ref.reader].get(ref.stamp) for ref in refs]
    distinct = list({digest for digest in digests if digest is not None})
    pictures = None if keys.picture is None else index.places(keys.picture, distinct)
    arrays = None if keys.array is None else index.places(keys.array, distinct)
    unprepared = {} if keys.array is None else index.refusals(keys.array, distinct)
    refused: dict[int, str] = {}
    missing: list[int] = []
    for at, (ref, digest) in enumerate(zip(refs, digests, strict=True)):
        reason = reasons[ref.reader].get(ref.stamp) or (unprepared.get(digest) if digest is not None else None)
        if reason is not None:
            refused[at] = reason
        elif digest is None or any(kept is not None and digest not in kept for kept in (pictures, arrays)):
            missing.append(at)
    return _Known(digests, refused, pictures, arrays, missing)


def _work(refs: Sequence[ImageRef], missing: Sequence[int], job: Job, compute: Compute, tell: Progress) -> None:
    """Do what is missing."""
    label = "Reading images" if job.steps is None else "Reading and preparing images"
    runs = list(cut(refs, missing, compute.workers))
    for _ in carefully(run, runs, lambda each: job.on(refs[at] for at in each), compute, label, tell):
        pass


def _assembled(index: ArrayCache, refs: Sequence[ImageRef], known: _Known, steps_key: str | None) -> Survey:
    lost = dict.fromkeys(known.missing, Died().reason)
    reasons = known.refused | lost
    usable = [(at, digest) for at, digest in enumerate(known.digests) if digest is not None and at not in reasons]
    kept = np.array([at for at, _ in usable], np.int64)
    digests = [digest for _, digest in usable]
    arrays = None
    if known.arrays is not None and steps_key is not None:
        arrays, odd = _arrays(index, digests, known.arrays, steps_key)
        reasons |= {int(kept[at]): reason for at, reason in odd.items()}
        stay = np.array([at for at in range(len(kept)) if at not in odd], np.int64)
        arrays, kept, digests = arrays.select(stay), kept[stay], [digests[at] for at in stay]
    used = tuple(replace(refs[at], digest=digest.hex()) for at, digest in zip(kept.tolist(), digests, strict=True))
    rejected = tuple(Rejected(refs[at].name, reasons[at]) for at in sorted(reasons))
    return Survey(used, kept, rejected, _pictures(index, digests, known.pictures), arrays)


def _pictures(index: ArrayCache, digests: Sequence[bytes], places: Mapping[bytes, Place] | None) -> Pictures:
    """Facts of each picture, in a nameless file that goes with the last reference to it: memory does not grow with them."""
    if places is None or not digests:
        return Pictures(np.zeros(0, ROW))
    with tempfile.TemporaryFile(dir=index.folder) as file:
        rows = np.memmap(file, ROW, mode="w+", shape=(len(digests),))
    table = np.array([places[digest] for digest in digests], np.int64).reshape(-1, 3)
    for number, shard in index.described(set(table[:, 0].tolist())).items():
        where = np.flatnonzero(table[:, 0] == number)
        rows[where] = open_shard(shard.path)[table[where, 1]]
    return Pictures(rows)


def _arrays(
    index: ArrayCache, digests: Sequence[bytes], places: Mapping[bytes, Place], steps_key: str
) -> tuple[PreparedArrays, dict[int, str]]:
    """All rows as arrays, and by position the reason of each whose shape or type differs from that of most."""
    table = np.array([places[digest] for digest in digests], np.int64).reshape(-1, 3)
    shards = index.described(set(table[:, 0].tolist()))
    numbers, where = np.unique(table[:, 0], return_inverse=True)
    forms = [(shards[number].shape, shards[number].dtype) for number in numbers.tolist()]
    counted = Counter(forms[at] for at in where.tolist())
    (shape, dtype), _ = counted.most_common(1)[0] if counted else (((1, 1, 1, 1), "|u1"), 0)
    odd = {
        at: f"prepared, it is {_sized(*forms[shard])}, while most are {_sized(shape, dtype)}: end the preparation with 'fit'"
        for at, shard in enumerate(where.tolist())
        if forms[shard] != (shape, dtype)
    }
    kinds, which = np.unique(table[:, 2], return_inverse=True)
    texts = index.kinds(kinds.tolist())
    arrays = PreparedArrays(
        shape=(shape[0], shape[1], shape[2], shape[3]),
        dtype=np.dtype(dtype),
        paths=tuple(shards[number].path for number in numbers.tolist()),
        shards=where.astype(np.int32),
        rows=table[:, 1].astype(np.int32),
        kinds=which.astype(np.int32),
        kind_list=tuple(RowKind.from_text(texts[number]) for number in kinds.tolist()),
        digests=np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 16),
        steps_key=steps_key,
    )
    return arrays, odd


def _sized(shape: Iterable[int], dtype: str) -> str:
    return f"{' x '.join(map(str, shape))} ({np.dtype(dtype).name})"
