"""What a model finds in new images, as files beside the table of predictions: masks, anomaly maps, boxes, measures."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from medloop import prepared, readers
from medloop.errors import InputError
from medloop.families import Finder
from medloop.loop import _growth
from medloop.loop import _parts as parts_csv
from medloop.loop._intake import Means, Seen
from medloop.loop._runs import table
from medloop.targets import boxes, measures, reconstruction
from medloop.types import Findings, Floats, Image, ImageRef, Target, TargetKind
from medloop.workspace import ready_for, write_folder, write_text
from medloop.writers import coco, nifti, png
from medloop.writers import measures as measures_csv
from medloop.writers.coco import Marked

MASKS, ANOMALY, BOXES, MEASURES, PARTS = "masks", "anomaly", "boxes.json", "measures.csv", "parts.csv"
_FOLDERS = {TargetKind.MASKS: MASKS, TargetKind.RECONSTRUCTION: ANOMALY}
_FILES, _CLASSES = "files.csv", "classes.csv"
_HEAD = ["case", "file"]
_FLAT, _DEEP = ".png", ".nii.gz"
_ENDING = re.compile(r"(\.nii)?\.[A-Za-z0-9]{1,5}$", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Written:
    """Where findings lie, None where the model has none of the kind. ``violations``: cases that break a rule. ``raw``: ``(n, K)``,
    what the model said of the classes, None where it learnt none."""

    masks: Path | None = None
    anomaly: Path | None = None
    values: Mapping[str, int] = field(default_factory=dict)
    boxes: Path | None = None
    measures: Path | None = None
    parts: Path | None = None
    violations: int = 0
    raw: Floats | None = None


def ready_beside(out: Path, targets: Sequence[Target]) -> None:
    """Make sure that the files beside ``out`` can be written. Raises `InputError`, also for a folder that somebody else wrote."""
    if not targets:
        return
    for name in (BOXES, MEASURES, PARTS):
        ready_for(out.with_name(name))
    for folder in (out.with_name(_FOLDERS[each.kind]) for each in targets if each.kind in _FOLDERS):
        if folder.exists() and not _ours(folder):
            raise InputError(
                "exists",
                got=f"{folder} is already there and was not written by medloop predict.",
                allowed=f"A place where nobody else's {folder.name} lies.",
                fix="Name another place with --out FOLDER/predictions.csv.",
            )


def write_found(model: Finder, seen: Seen, out: Path, values: Mapping[str, Sequence[int]], means: Means) -> Written:
    """Find, and write case by case; each file and each folder of pictures appears whole or not at all. Raises `InputError`."""
    outlined = next((each for each in model.further if each.kind is TargetKind.MASKS), None)
    boxed = next((each for each in model.further if each.kind is TargetKind.BOXES), None)
    gathered = _Gathered(outlined=outlined, boxed=boxed)
    told = None if outlined is None else values.get(outlined.name)
    with ExitStack() as stack:
        folders = {
            kind: stack.enter_context(_pictures(out.with_name(name)))
            for kind, name in _FOLDERS.items()
            if any(each.kind is kind for each in model.further)
        }
        for ref, found, image in _each(model, seen, means, gathered):
            for kind, folder in folders.items():
                folder.add(
                    ref.name, *(_mask_file(found, ref, image, told) if kind is TargetKind.MASKS else _map_file(found, image))
                )
        if outlined is not None:
            write_text(folders[TargetKind.MASKS].draft / _CLASSES, table(["value", "class"], _meanings(outlined, told)))
    gathered.rows[:] = _growth.grown(model.rules, seen.survey.refs, gathered.rows)
    return _written(gathered, out, told, model.further)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Gathered:
    """What is kept of each case: no pixels."""

    outlined: Target | None
    boxed: Target | None
    marked: list[Marked] = field(default_factory=list)
    rows: list[_growth.Row] = field(default_factory=list)
    parts: list[tuple[str, ...]] = field(default_factory=list)
    units: dict[str, str] = field(default_factory=dict)
    raw: list[Floats] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Pictures:
    """A folder that is being filled: a file for each case, named after its image, with the ending of its format."""

    draft: Path
    names: list[tuple[str, str]] = field(default_factory=list)
    used: set[str] = field(default_factory=set)

    def add(self, case: str, ending: str, content: bytes) -> None:
        """Write one."""
        name = file_name(case, ending, self.used)
        path = self.draft / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        self.names.append((case, name))


@contextmanager
def _pictures(folder: Path) -> Iterator[_Pictures]:
    """A folder to fill, with a table that says which file is whose; it takes the place of one that was there."""
    with write_folder(folder) as draft:
        filled = _Pictures(draft)
        yield filled
        write_text(draft / _FILES, table(_HEAD, filled.names))
        if folder.exists():
            shutil.rmtree(folder)


def _each(model: Finder, seen: Seen, means: Means, gathered: _Gathered) -> Iterator[tuple[ImageRef, Findings, Image]]:
    """Findings case by case, each entered into ``gathered``."""
    arrays, refs = seen.survey.arrays, seen.survey.refs
    if arrays is None:
        raise ValueError("nothing was prepared")
    geometry = prepared.geometry_of(seen.survey, compute=means.compute, tell=means.tell)
    names = [ref.name for ref in refs]
    cache = means.workspace.cache
    stream = model.find(arrays, geometry, cases=names, compute=means.compute, cache=cache, tell=means.tell)
    for ref, found in zip(refs, stream, strict=True):
        image = readers.read(ref)
        if found.raw is not None:
            gathered.raw.append(found.raw)
        _gather(gathered, ref, found, image)
        yield ref, found, image


def _gather(gathered: _Gathered, ref: ImageRef, found: Findings, image: Image) -> None:
    depth, height, width = ref.shape[2:]
    if gathered.boxed is not None and found.boxes is not None:
        kept = boxes.shown(boxes.of_findings(found))
        gathered.marked.append(
            Marked(ref.name, (depth, height, width), kept.edges, kept.classes, kept.scores, (), image.spacing_mm)
        )
    elif gathered.outlined is not None and found.mask is not None:
        gathered.marked.append(coco.of_mask(ref.name, found.mask, len(gathered.outlined.classes), image.spacing_mm))
    told: dict[str, float] = {}
    if gathered.outlined is not None and found.mask is not None:
        told, units = measured(found, image, gathered.outlined)
        gathered.units.update(units)
        gathered.parts.extend(parts_csv.rows(found, image.spacing_mm, gathered.outlined.classes, gathered.boxed is None))
    elif gathered.boxed is not None and gathered.marked:
        told = _counted(gathered.marked[-1], gathered.boxed)
    gathered.rows.append((found.case, told | dict(found.measures), found.violations))


def measured(found: Findings, image: Image, target: Target) -> tuple[dict[str, float], dict[str, str]]:
    """The measures of a mask, and their units."""
    assert found.mask is not None
    grey, spacing = measures.grey(image), image.spacing_mm
    says = measures.describe(target.classes, flat=len(found.mask) == 1, physical=spacing is not None, image=True)
    told = measures.measure(found.mask, spacing, target.classes, grey)
    return told, dict(zip(says.classes, says.units, strict=True))


def _counted(marked: Marked, target: Target) -> dict[str, float]:
    """How many boxes of each class are shown."""
    counts = np.bincount(np.asarray(marked.classes, np.int64), minlength=len(target.classes))
    return {f"{name} count": float(count) for name, count in zip(target.classes, counts, strict=True)}


def _mask_file(found: Findings, ref: ImageRef, image: Image, values: Sequence[int] | None) -> tuple[str, bytes]:
    """The ending of a mask's format, and the file."""
    mask = found.mask if found.mask is not None else np.zeros(ref.shape[2:], np.uint8)
    if len(mask) == 1:
        return _FLAT, png.mask_bytes(mask[0], values)
    return _DEEP, nifti.mask_bytes(mask, image.affine_lps, image.spacing_mm, values)


def _map_file(found: Findings, image: Image) -> tuple[str, bytes]:
    """The same of an anomaly map."""
    assert found.anomaly is not None
    if len(found.anomaly) == 1:
        return _FLAT, png.map_bytes(found.anomaly[0])
    return _DEEP, nifti.map_bytes(found.anomaly, reconstruction.STEP, image.affine_lps, image.spacing_mm)


def file_name(case: str, ending: str, used: set[str]) -> str:
    """A file for a case: its path without the image's ending, or with it where two would share one. It enters ``used``."""
    parts = [re.sub(r"[^\w.+= -]", "_", part) for part in re.split(r"[/\\#]", case) if part not in ("", ".", "..")]
    whole = "/".join(parts) or "case"
    name = next(each for each in _candidates(whole, ending) if each.casefold() not in used)
    used.add(name.casefold())
    return name


def _candidates(whole: str, ending: str) -> Iterator[str]:
    yield f"{_ENDING.sub('', whole) or whole}{ending}"
    yield f"{whole}{ending}"
    number = 2
    while True:
        yield f"{whole}-{number}{ending}"
        number += 1


def _meanings(target: Target, values: Sequence[int] | None) -> list[tuple[str, str]]:
    told = values or range(len(target.classes) + 1)
    return [(str(value), name) for value, name in zip(told, ("", *target.classes), strict=True)]


def _written(gathered: _Gathered, out: Path, values: Sequence[int] | None, targets: Sequence[Target]) -> Written:
    classes = (gathered.boxed or gathered.outlined or Target(TargetKind.BOXES)).classes
    places: dict[str, Path] = {}
    if gathered.boxed is not None or gathered.outlined is not None:
        places["boxes"] = out.with_name(BOXES)
        content = coco.document(gathered.marked, classes, "Found by medloop; not for clinical use.")
        write_text(places["boxes"], json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False) + "\n")
    units = gathered.units | {
        name: unit
        for each in targets
        if each.kind is TargetKind.MEASURES
        for name, unit in zip(each.classes, each.units or ("",) * len(each.classes), strict=True)
    }
    places["measures"] = out.with_name(MEASURES)
    write_text(places["measures"], measures_csv.table(gathered.rows, units))
    if gathered.outlined is not None:
        places["parts"] = out.with_name(PARTS)
        write_text(places["parts"], table(parts_csv.HEAD, gathered.parts))
    outlined = gathered.outlined
    meanings = {} if outlined is None else {name: int(value) for value, name in _meanings(outlined, values) if name}
    return Written(
        masks=None if outlined is None else out.with_name(MASKS),
        anomaly=out.with_name(ANOMALY) if any(each.kind is TargetKind.RECONSTRUCTION for each in targets) else None,
        values=meanings,
        violations=sum(bool(broken) for _, _, broken in gathered.rows),
        raw=np.stack(gathered.raw) if gathered.raw else None,
        **places,
    )


def _ours(folder: Path) -> bool:
    """Whether ``medloop predict`` wrote it."""
    index = folder / _FILES
    return index.is_file() and index.read_text(encoding="utf-8").startswith(",".join(_HEAD))
