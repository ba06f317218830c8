"""Pascal VOC: an XML file for each image with the boxes of its objects (and lists of names for the splits: ``--split-lists``).

Edges in VOC are whole pixels counted from 1, the last one included: ``xmin`` 1 is edge 0, ``xmax`` 640 is edge 640. Where a file of
the set begins at 0, all are taken as edges counted from 0. Files with document types or entities are not parsed (XML entities can
name other files, or grow without bound).
"""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as tree
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from medloop.compute import Died
from medloop.errors import InputError
from medloop.labels._boxes import Box, Checked, checked
from medloop.labels._cases import Said, folder_splits
from medloop.labels._labelled import Labelled, Using, problem
from medloop.labels._matching import Matcher
from medloop.labels._sheet import decoded
from medloop.labels._truths import Reading, boxes_truth, labelled, tally
from medloop.requests import SourceRequest, listed
from medloop.types import ImageRef, Json, Target, TargetKind

if TYPE_CHECKING:
    from medloop.readers import Collection

ORDER = 50
STRUCTURED = True
EXAMPLE = "Pascal VOC files beside the images, or --labels Annotations: boxes"
_CHUNK = 64
_MOST_BYTES = 20_000_000
_LOOK = 3


@dataclass(frozen=True, slots=True)
class Annotation:
    """One file: ``image`` as it names it, ``size`` ``(width, height)`` or None, ``boxes`` as written, ``problems`` in words;
    ``broken``: why it cannot be used.
    """

    path: str
    image: str = ""
    size: tuple[int, int] | None = None
    boxes: tuple[Box, ...] = ()
    problems: tuple[str, ...] = field(default=())
    broken: str = ""


def opens(path: Path) -> bool:
    """Whether the path is an XML file, or a folder with XML files in it."""
    return path.suffix.lower() == ".xml" or (path.is_dir() and any(path.glob("*.xml")))


def find(collection: Collection, request: SourceRequest, using: Using | None = None) -> Labelled | None:
    """Boxes of the XML files in the source, or of ``--labels``. None where there are none. Raises `InputError` when no file of
    ``--labels`` can be used.
    """
    paths = _paths(collection, request)
    if request.labels is None and not any(not parse(path).broken for path in paths[:_LOOK]):
        return None
    using = using or Using()
    answers = using.compute.map(parse, paths, label="Reading boxes", total=len(paths), tell=using.tell, chunk=_CHUNK)
    read = [
        Annotation(path, broken=each.reason) if isinstance(each, Died) else each for path, each in zip(paths, answers, strict=True)
    ]
    reading = _reading(collection, _from_edges(read))
    if not reading.truths[0].known.any():
        if request.labels is None:
            return None
        first = next((each for each in read if each.broken), None)
        why = f"{Path(first.path).name}: {first.broken}" if first else f"{Path(paths[0]).name} names no image that was found"
        raise _wrong(f"No image got boxes from --labels {request.labels}. {why}.")
    return labelled(collection.refs, reading, "file with boxes")


def _paths(collection: Collection, request: SourceRequest) -> list[str]:
    if request.labels is None:
        return [str(collection.root / name) for name in collection.files if name.lower().endswith(".xml")]
    found: list[str] = []
    for name in listed(request.labels):
        path = Path(name).expanduser().resolve()
        if not path.exists():
            raise _wrong(f"There is nothing at --labels {name}.")
        found += sorted(map(str, path.glob("*.xml"))) if path.is_dir() else [str(path)]
    return found


def _wrong(got: str) -> InputError:
    return InputError(
        "bad-labels",
        got=got,
        allowed="A folder of Pascal VOC files (XML), each named after its image.",
        fix="Name the folder: --labels Annotations.",
    )


def parse(path: str) -> Annotation:
    """One file; never raises for what is in it."""
    try:
        content = Path(path).read_bytes()
        if len(content) > _MOST_BYTES:
            return Annotation(path, broken=f"too large for boxes: {len(content):,} bytes")
        text, _ = decoded(content)
        if re.search(r"<!(DOCTYPE|ENTITY)", text, re.IGNORECASE):
            return Annotation(path, broken="it declares a document type or entities, which are not read")
        root = tree.fromstring(re.sub(r"^\s*<\?xml[^>]*\?>", "", text))
    except (OSError, tree.ParseError, ValueError, RecursionError) as error:
        return Annotation(path, broken=f"not readable as XML: {error}")
    if root.tag != "annotation":
        return Annotation(path, broken=f"not a Pascal VOC file: its root is <{root.tag}>")
    return _annotation(path, root)


def _annotation(path: str, root: tree.Element) -> Annotation:
    width, height = _number(root.findtext("size/width")), _number(root.findtext("size/height"))
    size = (int(width), int(height)) if width > 0 and height > 0 else None
    boxes, problems = [], []
    for number, each in enumerate(root.iter("object"), 1):
        name = " ".join((each.findtext("name") or "").split())
        edges = [_number(each.findtext(f"bndbox/{edge}")) for edge in ("xmin", "ymin", "xmax", "ymax")]
        where = f"box {number} ({name})"
        if not name:
            problems.append(f"box {number} has no class name; it is left out")
        elif any(map(math.isnan, edges)):
            problems.append(f"{where} lacks one of xmin, ymin, xmax, ymax; it is left out")
        else:
            x0, y0, x1, y1 = edges
            boxes.append(Box(name, x0, y0, x1, y1, where))
    image = (root.findtext("filename") or "").strip()
    return Annotation(path, image, size, tuple(boxes), tuple(problems))


def _number(text: str | None) -> float:
    try:
        value = float((text or "").strip())
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


def _from_edges(read: Sequence[Annotation]) -> list[Annotation]:
    """With edges counted from 0. A box of no width as written keeps none."""
    zero = any(box.x0 == 0 or box.y0 == 0 for each in read for box in each.boxes)
    if zero:
        return list(read)
    return [replace(each, boxes=tuple(_shifted(box) for box in each.boxes)) for each in read]


def _shifted(box: Box) -> Box:
    if box.x1 <= box.x0 or box.y1 <= box.y0:
        return box
    return replace(box, x0=box.x0 - 1, y0=box.y0 - 1)


def _reading(collection: Collection, read: Sequence[Annotation]) -> Reading:
    matcher = Matcher(collection.refs)
    problems: list[dict[str, Json]] = []
    found: dict[int, Checked] = {}
    used = []
    for each in read:
        file = _told(each.path, collection.root)
        if each.broken:
            problems.append(problem(None, file, each.broken))
            continue
        row, why = _image(each, matcher, collection.refs)
        if row is None or row in found:
            problems.append(problem(None, file, why or "another file has boxes of the same image; this one is not used"))
            continue
        used.append(each.path)
        height, width = collection.refs[row].shape[3:]
        problems += [problem(None, file, text) for text in each.problems]
        found[row] = checked(each.boxes, (1, height, width), file)
        problems += found[row].problems
    names = {name for each in found.values() for name in each.names}
    classes = tuple(sorted(names, key=str.casefold))
    target = Target(TargetKind.BOXES, classes, name="boxes")
    truth = boxes_truth(target, [found[row].encoded(classes) if row in found else None for row in range(len(collection.refs))])
    counts = [[found[row].names.count(name) for name in classes] for row in found]
    boxes = sum(len(each.names) for each in found.values())
    return Reading(
        truths=(truth,),
        says=f"{len(found)} Pascal VOC files hold {boxes} boxes of {', '.join(classes)}.",
        problems=problems,
        found=tally(target, counts),
        files=used,
        said=[Said(split=split) for split in folder_splits(collection.refs)],
    )


def _told(path: str, root: Path) -> str:
    """A path as it is told: relative to the source where it lies there."""
    inside = Path(path)
    return inside.relative_to(root).as_posix() if inside.is_relative_to(root) else inside.name


def _image(each: Annotation, matcher: Matcher, refs: Sequence[ImageRef]) -> tuple[int | None, str]:
    """The image that an annotation is about, or why there is none."""
    match = matcher.find(Path(each.path).stem)
    if len(match.found) != 1 and each.image:
        match = matcher.find(each.image)
    if len(match.found) != 1:
        return None, f"{len(match.found)} images have this name" if match.found else "no image has this name"
    ref = refs[match.found[0]]
    height, width = ref.shape[3:]
    if ref.volume:
        return None, f"its image {ref.name} is a volume; Pascal VOC boxes are flat"
    if each.size is not None and each.size != (width, height):
        size = f"{each.size[0]} × {each.size[1]}"
        return None, f"it is about an image of {size}, {ref.name} has {width} × {height}: its boxes are not used"
    return match.found[0], ""
