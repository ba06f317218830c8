"""Images of every format: find them (`collect`), read them (`read`, `read_many`), name their content (`digest`).

A reader is a module here with ``VERSION``, ``claims(head, path)``, ``scan(path, head)`` (header only, JSON),
``assemble(scans)`` (images from scans) and ``read(ref)``. Modules that start with an underscore are parts that readers share.
"""

from __future__ import annotations

import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from medloop import registry
from medloop.cache.files import Entry, FileIndex
from medloop.compute import Compute, Died
from medloop.errors import InputError, Unreadable
from medloop.progress import QUIET, Progress
from medloop.readers import _masks, _nnunet, _scan, _walk
from medloop.readers._joining import Channels, join
from medloop.readers._pieces import Assembled, Scanned, SeriesFound, digest_of
from medloop.types import Array, Image, ImageRef, Json, Rejected
from medloop.workspace.atomic import explained

__all__ = [
    "Channels",
    "Collection",
    "SeriesFound",
    "affine",
    "channels_of",
    "collect",
    "digest",
    "digest_of",
    "join",
    "read",
    "read_many",
    "taken",
]

_DIGITS = re.compile(r"[0-9]{1,18}|[^0-9]+")
_CHUNK = 64
_KEEP_EVERY = 256
_TOLD = 3
_FORMATS = "DICOM, NIfTI, PNG, JPEG, TIFF, BMP or .npz in MedMNIST layout"


@dataclass(frozen=True, slots=True)
class Collection:
    """What lies in a source. Each path of ``files`` is used by a ref, in ``tables``, or in ``rejected`` with its reason.

    ``files``: paths relative to ``root`` with forward slashes. ``tables``: absolute. ``refs``: sorted by name. ``masks``: what
    ``--masks`` names, never among ``refs``; one outside ``root`` has a name that begins with ``..``. ``notes``: what must be
    told with any result of how images were put together.
    """

    root: Path
    refs: tuple[ImageRef, ...]
    rejected: tuple[Rejected, ...]
    files: tuple[str, ...]
    warnings: tuple[str, ...]
    tables: tuple[Path, ...]
    series: tuple[SeriesFound, ...]
    masks: tuple[ImageRef, ...] = ()
    notes: tuple[str, ...] = ()


def collect(
    src: str | Path,
    *,
    images: str | None = None,
    masks: str | None = None,
    cache: Path | None = None,
    empty: bool = False,
    compute: Compute,
    tell: Progress = QUIET,
) -> Collection:
    """Find every image in a folder, file or ``.npz`` by its header; nothing is decoded.

    ``images``, ``masks``: globs that say which files are images and which are their masks. ``cache``: folder in which scans are
    kept. Raises `InputError` for a source that is missing, or (unless it may be ``empty``) holds no image at all.
    """
    path = Path(src).expanduser()
    if not path.exists():
        raise InputError(
            "no-source",
            got=f"There is nothing at {path}.",
            allowed=f"A folder or file that exists: {_FORMATS}.",
            fix="Check the spelling, or give the full path.",
        )
    path = path.resolve()
    root, seen = _listed(path, cache, tell)
    if not seen and not empty:
        raise _no_files(path)
    tables = tuple(Path(each.path) for each in seen if _walk.is_table(each.name) and not each.reason)
    asides = _masks.find(root, seen, masks)
    aside = {each.path for each in asides}
    rejected, candidates = _sieved([each for each in seen if each.path not in aside], images)
    scans, refused = _scanned([*candidates, *asides], cache, compute, tell)
    made, beside = _assembled(scans, without=aside), _assembled(scans, only=aside)
    if not made.refs and not empty:
        raise _nothing(path, seen, [*rejected, *refused, *made.rejected], images)
    return Collection(
        root=root,
        refs=tuple(made.refs),
        rejected=tuple(sorted((*rejected, *refused, *made.rejected, *beside.rejected), key=lambda each: each.path)),
        files=tuple(each.name for each in seen),
        warnings=tuple(made.warnings),
        tables=tables,
        series=tuple(made.series),
        masks=tuple(beside.refs),
    )


def channels_of(src: str, channels: str | None, case_by: str | None) -> tuple[str | None, str | None]:
    """``--channels`` and ``--case-by``: those given, or else those that the source's layout says (nnU-Net)."""
    implied = None if channels or case_by else _nnunet.flags(Path(src).expanduser())
    return implied or (channels, case_by)


def read(ref: ImageRef) -> Image:
    """The pixels and geometry of one image. Raises `Unreadable` with a reason a person can act on."""
    image: Image = registry.load("readers", ref.reader).read(ref)
    return image


def affine(ref: ImageRef) -> Array | None:
    """LPS affine of one image, from its header where its reader can; None where unknown. Raises `Unreadable`."""
    reader = registry.load("readers", ref.reader)
    found: Array | None = reader.affine(ref) if hasattr(reader, "affine") else reader.read(ref).affine_lps
    return found


def read_many(refs: Iterable[ImageRef]) -> Iterator[Image | Unreadable]:
    """Images in the order of ``refs``, with the reason in place of one that cannot be read.

    Items of an ``.npz`` in ascending order are read in one pass over the file.
    """
    for ref in refs:
        try:
            yield read(ref)
        except Unreadable as error:
            yield error


def digest(ref: ImageRef) -> str:
    """Hash of an image's content (pixels, geometry, modality), whatever its name and compression. Raises `Unreadable`."""
    return digest_of(read(ref))


def _listed(path: Path, cache: Path | None, tell: Progress) -> tuple[Path, list[_walk.Seen]]:
    """The root that names are relative to, and every file."""
    if not path.is_dir():
        return path.parent, [_walk.one(path)]
    with tell.task("Listing files") as tick:
        seen = []
        for each in _walk.walk(path, aside=_own(path, cache)):
            seen.append(each)
            tick(1)
    return path, seen


def _no_files(path: Path) -> InputError:
    return InputError(
        "empty-source",
        got=f"The folder {path} is empty.",
        allowed=f"A folder with {_FORMATS}.",
        fix="Name the folder that holds the images.",
    )


def _own(root: Path, cache: Path | None) -> Path | None:
    """What is ours below the source and holds no data: the workspace, or its cache where the workspace is the source."""
    if cache is None:
        return None
    workspace = cache.parent.resolve()
    return cache if workspace == root or workspace in root.parents else workspace


def _sieved(seen: Sequence[_walk.Seen], images: str | None) -> tuple[list[Rejected], list[_walk.Seen]]:
    """What is rejected by its name alone, and what is to be opened."""
    rejected: list[Rejected] = []
    candidates: list[_walk.Seen] = []
    for each in seen:
        if each.reason:
            rejected.append(Rejected(each.name, each.reason))
        elif _walk.is_table(each.name):
            continue
        elif images is not None and not _walk.matches(each.name, images):
            rejected.append(Rejected(each.name, f"not matched by --images '{images}'"))
        else:
            candidates.append(each)
    return rejected, candidates


def _scanned(
    candidates: Sequence[_walk.Seen], cache: Path | None, compute: Compute, tell: Progress
) -> tuple[dict[str, list[Scanned]], list[Rejected]]:
    """Scans by reader, and what no reader takes. Files known to the cache are not opened."""
    scans: dict[str, list[Scanned]] = defaultdict(list)
    refused: list[Rejected] = []
    with ExitStack() as stack:
        index = None
        known: dict[str, Entry] = {}
        if cache is not None:
            stack.enter_context(explained(cache))
            index = stack.enter_context(FileIndex(cache / "files.sqlite", _scan.version()))
            known = index.known((each.path, each.size, each.mtime_ns) for each in candidates)
        fresh = [each for each in candidates if each.path not in known]
        answers = _fresh(fresh, index, compute, tell)
        for each in candidates:
            entry = known.pop(each.path, None) or next(answers)
            if entry.reader:
                scans[entry.reader].append(Scanned(each.path, each.name, each.size, each.mtime_ns, _light(entry.found)))
            else:
                refused.append(Rejected(each.name, entry.found))
        next(answers, None)
    return scans, refused


def _assembled(
    scans: Mapping[str, Sequence[Scanned]], *, without: AbstractSet[str] = frozenset(), only: AbstractSet[str] | None = None
) -> Assembled:
    """What all readers make of their scans, images sorted by name; of the files ``only``, or of all ``without`` some."""
    whole = Assembled()
    for name, found in sorted(scans.items()):
        kept = [each for each in found if each.path not in without and (only is None or each.path in only)]
        made = registry.load("readers", name).assemble(kept)
        whole.refs.extend(made.refs)
        whole.rejected.extend(made.rejected)
        whole.warnings.extend(made.warnings)
        whole.series.extend(made.series)
    whole.refs.sort(key=lambda ref: _natural(ref.name))
    return whole


def _light(found: str) -> Json:
    """What a scan found; acquisition facts, which files of a series share, are kept once."""
    content = json.loads(found)
    if "facts" in content:
        content["facts"] = sys.intern(content["facts"])
    return content


def _fresh(files: Sequence[_walk.Seen], index: FileIndex | None, compute: Compute, tell: Progress) -> Iterator[Entry]:
    """Scan files in order, keeping what was found as the work goes on."""
    answers = compute.map(
        _scan.scan, (each.path for each in files), label="Reading headers", total=len(files), tell=tell, chunk=_CHUNK
    )
    pairs = zip(files, answers, strict=True)
    while part := list(islice(pairs, _KEEP_EVERY)):
        entries = [
            Entry(each.path, each.size, each.mtime_ns, *(("", answer.reason) if isinstance(answer, Died) else answer))
            for each, answer in part
        ]
        if index is not None:
            index.add([entry for entry, (_, answer) in zip(entries, part, strict=True) if not isinstance(answer, Died)])
        yield from entries


def taken(ref: ImageRef) -> str:
    """When the image was taken, as text that sorts by time; empty where its format or its file does not say. It opens a file."""
    asked = getattr(registry.load("readers", ref.reader), "taken", None)
    return str(asked(ref)) if asked is not None else ""


def _nothing(path: Path, seen: Sequence[_walk.Seen], rejected: Sequence[Rejected], images: str | None) -> InputError:
    """No image at all: why, with the first reasons."""
    if images is not None and not any(_walk.matches(each.name, images) for each in seen):
        return InputError(
            "no-images",
            got=f"No file in {path} matches --images '{images}'.",
            allowed="A glob such as '*.png' that matches some files.",
            fix="Check the pattern; without --images every file is tried.",
        )
    if path.is_file():
        why = f"{path.name} cannot be used: {rejected[0].reason if rejected else 'it holds no images'}."
    else:
        told = "; ".join(f"{each.path}: {each.reason}" for each in rejected[:_TOLD])
        more = f"; and {len(rejected) - _TOLD} more" if len(rejected) > _TOLD else ""
        why = f"None of the {len(seen)} files in {path} is an image that can be used. {told}{more}".rstrip() + "."
    return InputError("no-images", got=why, allowed=f"{_FORMATS}.", fix="Name the folder or file that holds the images.")


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Sorting key by which 'image 9' stands before 'image 10'."""
    parts = _DIGITS.findall(name)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]
