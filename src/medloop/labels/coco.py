"""COCO: one JSON for many images, with boxes, and masks where its instances are outlined (polygons or run lengths).

An image that the file names and gives nothing is known to hold nothing. A box ``[x, y, width, height]`` counts pixels from 0. COCO
is flat; of a volume each annotation has besides ``z`` ``[first, end]`` in slices, as `medloop.writers.coco` writes it, and outlines
make no mask.
Several files (``instances_train2017.json,instances_val2017.json``) are one collection; a split that every file names is given.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from medloop.errors import InputError, Unreadable
from medloop.labels import _label_maps
from medloop.labels._boxes import Box, Checked, checked
from medloop.labels._cases import Said, folder_splits
from medloop.labels._labelled import Labelled, Using, problem
from medloop.labels._mask_classes import Meanings
from medloop.labels._matching import Matcher
from medloop.labels._truths import Reading, boxes_truth, labelled, tally
from medloop.labels._words import split_in
from medloop.readers import coco
from medloop.readers.coco import Content
from medloop.requests import SourceRequest, listed
from medloop.types import ImageRef, Json, Split, Target, TargetKind

if TYPE_CHECKING:
    from medloop.readers import Collection

ORDER = 55
STRUCTURED = True
EXAMPLE = "a COCO file: --labels instances.json, boxes and outlined masks"
_LOOK_BYTES = 1 << 16
_MOST_FILES = 20


@dataclass(slots=True)
class _Found:
    """What the files say by row of the images: checked ``boxes``, label ``maps``, ``splits``; ``names`` of categories by id."""

    boxes: dict[int, Checked] = field(default_factory=dict)
    maps: dict[int, ImageRef] = field(default_factory=dict)
    splits: dict[int, Split | None] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    problems: list[dict[str, Json]] = field(default_factory=list)


def opens(path: Path) -> bool:
    """Whether the path is a JSON file, by its name; ``dataset.json`` is nnU-Net's."""
    return path.suffix.lower() == ".json" and path.name != "dataset.json"


def find(collection: Collection, request: SourceRequest, using: Using | None = None) -> Labelled | None:
    """What the COCO files in the source, or of ``--labels``, say. None where there are none. Raises `InputError` for a file of
    ``--labels`` that is none, or when no image is named.
    """
    named = request.labels is not None
    paths = [Path(name).expanduser().resolve() for name in listed(request.labels)] if named else _beside(collection)
    found, used, matcher = _Found(), [], Matcher(collection.refs)
    for path in paths:
        try:
            content = coco.content(path)
        except Unreadable as error:
            if named:
                raise _wrong(f"{path.name}: {error}.") from None
            continue
        _add(found, path, content, matcher, collection.refs)
        used.append(str(path))
    if not found.boxes:
        if named:
            raise _wrong(f"No image that was found is named in {', '.join(path.name for path in paths)}.")
        return None
    return labelled(collection.refs, _reading(found, used, collection.refs, using), "entry in the COCO file")


def _beside(collection: Collection) -> list[Path]:
    """JSON files of the source that may be COCO's, by their beginning."""
    paths = [collection.root / name for name in collection.files if name.lower().endswith(".json")]
    found = []
    for path in paths[: 10 * _MOST_FILES]:
        try:
            with path.open("rb") as file:
                head = file.read(_LOOK_BYTES)
        except OSError:
            continue
        if b'"images"' in head or b'"annotations"' in head or b'"categories"' in head:
            found.append(path)
    return found[:_MOST_FILES]


def _wrong(got: str) -> InputError:
    return InputError(
        "bad-labels",
        got=got,
        allowed="A COCO JSON: images (id, file_name), categories (id, name), annotations (image_id, category_id, bbox).",
        fix="Give another file with --labels, or a table.",
    )


def _add(found: _Found, path: Path, content: Content, matcher: Matcher, refs: Sequence[ImageRef]) -> None:
    """Add one file to what was found."""
    for number, name in content.categories.items():
        if found.names.setdefault(number, name) != name:
            raise _wrong(f"Category {number} is '{found.names[number]}' in one file and '{name}' in {path.name}.")
    split = split_in(path.stem)
    for number in content.annotations.keys() - content.images.keys():
        count = len(content.annotations[number])
        found.problems.append(problem(None, path.name, f"{count} annotations are of image {number}, which the file does not list"))
    for number, image in content.images.items():
        row, why = _row(image, matcher, refs)
        if row is None or row in found.boxes:
            why = why or "the image is listed twice; the first is used"
            found.problems.append(problem(None, f"{path.name}: {image.get('file_name', number)}", why))
            continue
        entries = content.annotations.get(number, ())
        told = f"{path.name}: {image['file_name']}"
        boxes = list(_boxes(entries, content, told, found.problems, deep=refs[row].volume))
        found.boxes[row] = checked(boxes, refs[row].shape[2:], told)
        found.problems += found.boxes[row].problems
        found.splits[row] = split
        if not refs[row].volume and all(
            coco.outlined(each.get("segmentation")) and each.get("category_id") in content.categories for each in entries
        ):
            found.maps[row] = coco.reference(path, number, refs[row])


def _row(image: Json, matcher: Matcher, refs: Sequence[ImageRef]) -> tuple[int | None, str]:
    """The image that an entry is about, or why there is none."""
    name = image.get("file_name")
    match = matcher.find(name) if isinstance(name, str) and name else None
    if match is None or len(match.found) != 1:
        return None, f"{len(match.found)} images have this name" if match and match.found else "no image has this name"
    ref = refs[match.found[0]]
    sides = dict(zip(("width", "height", "depth"), ref.shape[:1:-1], strict=True))
    said = {name: image.get(name, side) for name, side in sides.items()}
    if said != sides:
        told, has = (" × ".join(str(each) for each in list(of.values())[: 3 if ref.volume else 2]) for of in (said, sides))
        return None, f"it is about an image of {told}, {ref.name} has {has}: its boxes are not used"
    return match.found[0], ""


def _boxes(
    entries: Sequence[Json], content: Content, told: str, problems: list[dict[str, Json]], *, deep: bool = False
) -> Iterator[Box]:
    """The boxes of one image; of an outline without box the box around it. ``deep``: it is a volume."""
    for place, each in enumerate(entries, 1):
        number = f"annotation {each.get('id', place)}"
        name = content.categories.get(each.get("category_id"))
        edges, slices = _edges(each), _slices(each) if deep else (0.0, 1.0)
        if name is None:
            problems.append(problem(None, told, f"{number} is of category {each.get('category_id')}, which the file does not name"))
        elif edges is None:
            problems.append(problem(None, told, f"{number} has no box of four numbers; it is left out"))
        elif slices is None:
            problems.append(problem(None, told, f"{number} does not say from which slice to which it goes (z); it is left out"))
        else:
            yield Box(name, *edges, f"{number} ({name})", *slices)


def _edges(entry: Json) -> tuple[float, float, float, float] | None:
    box, outline = entry.get("bbox"), entry.get("segmentation")
    if isinstance(box, list) and len(box) == 4 and all(isinstance(each, (int, float)) and math.isfinite(each) for each in box):
        x, y, width, height = (float(each) for each in box)
        return x, y, x + width, y + height
    if box is None and isinstance(outline, list) and coco.outlined(outline):
        points = np.concatenate([np.reshape(each, (-1, 2)) for each in outline])
        (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
        return float(x0), float(y0), float(x1), float(y1)
    return None


def _slices(entry: Json) -> tuple[float, float] | None:
    said = entry.get("z")
    if isinstance(said, list) and len(said) == 2 and all(isinstance(each, (int, float)) and math.isfinite(each) for each in said):
        return float(said[0]), float(said[1])
    return None


def _reading(found: _Found, used: Sequence[str], refs: Sequence[ImageRef], using: Using | None) -> Reading:
    present = {name for each in found.boxes.values() for name in each.names}
    classes = tuple(dict.fromkeys(name for _, name in sorted(found.names.items()) if name in present))
    target = Target(TargetKind.BOXES, classes, name="boxes")
    truth = boxes_truth(target, [found.boxes[row].encoded(classes) if row in found.boxes else None for row in range(len(refs))])
    counts = [[each.names.count(name) for name in classes] for each in found.boxes.values()]
    total = sum(map(sum, counts))
    says = f"{len(found.boxes)} images are listed with {total} boxes of {', '.join(classes) or 'nothing'} ({_names(used)})."
    masks = _masks(found, refs, classes, using)
    whole = all(found.splits.values()) and len(set(found.splits.values())) > 1
    splits = [found.splits.get(row) for row in range(len(refs))] if whole else folder_splits(refs)
    return Reading(
        truths=(truth, *([masks.truth] if masks else [])),
        says=f"{says} Outlines make masks." if masks else says,
        problems=[*found.problems, *(masks.problems if masks else [])],
        found=[*tally(target, counts), *(masks.found if masks else [])],
        files=used,
        said=[Said(split=split) for split in splits],
    )


def _names(used: Sequence[str]) -> str:
    return ", ".join(Path(path).name for path in used)


def _masks(found: _Found, refs: Sequence[ImageRef], classes: Sequence[str], using: Using | None) -> _label_maps.Masks | None:
    """Masks of the images whose instances are all outlined; None where no instance is."""
    outlined = [row for row in found.maps if found.boxes[row].names]
    if not outlined:
        return None
    meanings = Meanings({number + 1: name for number, name in sorted(found.names.items()) if name in classes})
    return _label_maps.read(refs, [found.maps.get(row) for row in range(len(refs))], meanings, using)
