"""Instances of a COCO JSON drawn as a label map: the polygons and run lengths of one image.

A reference of this reader is made (`reference`), not found. The value of an instance is its category's id plus 1, so that 0 stays
what is none of them; a smaller instance lies on a larger one. A pixel belongs to a polygon when its centre does. Run lengths are as
in the COCO API: column by column, plain numbers or the API's text of 5 bits a letter, each but the first three told as the
difference to the last but one.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeGuard

import numpy as np
from numpy.typing import NDArray
from skimage.draw import polygon as inside

from medloop.errors import Unreadable
from medloop.readers._pieces import Assembled, Scanned
from medloop.types import Image, ImageRef, Json

VERSION = 1
_KEPT = 4


@dataclass(frozen=True, slots=True, eq=False)
class Content:
    """A file: ``images`` and ``categories`` by id, ``annotations`` by the id of their image, in the order of the file."""

    images: Mapping[int, Json]
    categories: Mapping[int, str]
    annotations: Mapping[int, Sequence[Json]]


def claims(head: bytes, path: Path) -> bool:
    """No file is an image of this reader by itself."""
    del head, path
    return False


def scan(path: Path, head: bytes) -> Json:
    """Never asked for. Raises `Unreadable`."""
    del path, head
    raise Unreadable("a COCO file holds labels, not images")


def assemble(scans: Sequence[Scanned]) -> Assembled:
    """Nothing: these label maps are not found in folders."""
    del scans
    return Assembled()


def reference(path: Path, number: int, image: ImageRef) -> ImageRef:
    """The instances of the image with the id ``number`` in the file, on the grid of ``image``."""
    stat = path.stat()
    stamp = hashlib.blake2b(f"{path}\0{stat.st_size}\0{stat.st_mtime_ns}\0{number}".encode(), digest_size=16).hexdigest()
    shape = (1, 1, 1, *image.shape[3:])
    return ImageRef(f"{path.name}#{number}", "coco", (str(path),), item=str(number), shape=shape, dtype="int32", stamp=stamp)


def read(ref: ImageRef) -> Image:
    """The values ``(1, 1, 1, Y, X)`` int32. Raises `Unreadable`."""
    found = content(Path(ref.files[0])).annotations.get(int(ref.item), ())
    out = np.zeros(ref.shape[3:], np.int32)
    drawn = [(each["category_id"] + 1, area(each["segmentation"], out.shape)) for each in found]
    for value, where in sorted(drawn, key=lambda pair: -int(pair[1].sum())):
        out[where] = value
    return Image(pixels=out[None, None, None])


def content(path: Path) -> Content:
    """A file, kept while it does not change. Raises `Unreadable`."""
    try:
        stat = path.stat()
    except OSError as error:
        raise Unreadable(f"it cannot be read: {error.strerror}") from None
    return _content(str(path), stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=_KEPT)
def _content(path: str, changed: int, size: int) -> Content:
    del changed, size
    try:
        whole = json.loads(Path(path).read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise Unreadable(f"not readable as JSON: {error}") from None
    parts = [whole.get(key) if isinstance(whole, dict) else None for key in ("images", "categories", "annotations")]
    if not all(isinstance(part, list) and all(isinstance(each, dict) for each in part) for part in parts):
        raise Unreadable("not a COCO file: it needs the lists images, categories and annotations")
    images, categories, annotations = (part or [] for part in parts)
    by_image: dict[int, list[Json]] = defaultdict(list)
    for each in annotations:
        if isinstance(each.get("image_id"), int):
            by_image[each["image_id"]].append(each)
    return Content(
        images={each["id"]: each for each in images if isinstance(each.get("id"), int)},
        categories={each["id"]: str(each.get("name", each["id"])) for each in categories if isinstance(each.get("id"), int)},
        annotations=by_image,
    )


def outlined(segmentation: Json) -> bool:
    """Whether this is an outline that can be drawn: polygons of three points or more, or run lengths."""
    if isinstance(segmentation, dict):
        return isinstance(segmentation.get("counts"), (str, list)) and _numbers(segmentation.get("size"), 2)
    if not isinstance(segmentation, list) or not segmentation:
        return False
    return all(_numbers(each) and len(each) >= 6 and len(each) % 2 == 0 for each in segmentation)


def _numbers(found: Json, count: int | None = None) -> TypeGuard[list[float]]:
    plain = isinstance(found, list) and all(isinstance(each, (int, float)) and math.isfinite(each) for each in found)
    return plain and (count is None or len(found) == count)


def area(segmentation: Json, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """``(Y, X)``: the pixels of an outline. Raises `Unreadable` for run lengths that do not fit the image."""
    out: NDArray[np.bool_] = np.zeros(shape, np.bool_)
    if isinstance(segmentation, list):
        for each in segmentation:
            points = np.asarray(each, dtype=np.float64).reshape(-1, 2) - 0.5
            out[inside(points[:, 1], points[:, 0], shape)] = True
        return out
    counts = segmentation["counts"]
    runs = np.asarray(runs_of(counts) if isinstance(counts, str) else counts, dtype=np.int64)
    if tuple(segmentation["size"]) != tuple(shape) or (runs < 0).any() or runs.sum() != out.size:
        raise Unreadable(f"its run lengths are of an image of {segmentation['size']}, not of {list(shape)} rows and columns")
    flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return flat.reshape(shape[::-1]).T


def runs_of(text: str) -> list[int]:
    """Run lengths from the COCO API's text."""
    found: list[int] = []
    value, shift = 0, 0
    for letter in text:
        bits = ord(letter) - 48
        value |= (bits & 0x1F) << shift
        shift += 5
        if bits & 0x20:
            continue
        if bits & 0x10:
            value -= 1 << shift
        found.append(value + (found[-2] if len(found) > 2 else 0))
        value, shift = 0, 0
    return found
