"""Which mask belongs to which image: by name, or as the only one in its folder."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from medloop.labels._labelled import problem
from medloop.types import ImageRef, Json

_EXTENSION = re.compile(r"(\.nii\.gz|\.seg\.nrrd|\.[a-z][a-z0-9]{0,5})$")
_ENDING = re.compile(
    r"[-_. ](masks?|seg|segs|segmentations?|segmented|labels?|labelmap|gt|ground_?truth|truth|manual|rois?|annotations?|contours?)$"
)
_CHANNEL = re.compile(r"_\d{4}$")


def pairs(refs: Sequence[ImageRef], masks: Sequence[ImageRef], glob: str | None) -> tuple[list[int | None], list[dict[str, Json]]]:
    """For each image the position of its mask, None where there is none; and masks that belong to no image or to several.

    An image ``001.bmp`` fits the masks ``001.png``, ``001_mask.png``, ``001-label.nii.gz``, or any whose name has ``001`` where the
    glob has its ``*``; ``P1/2`` fits ``P1_2.nii.gz``. Of several, the one whose folders are most alike is taken. An image that is
    alone in its folder fits the only mask there.
    """
    by_key: dict[str, list[tuple[bool, int]]] = defaultdict(list)
    for place, mask in enumerate(masks):
        for rank, key in enumerate(_mask_keys(mask.name, glob)):
            by_key[key].append((rank == 0, place))
    claims: dict[int, list[tuple[int, int]]] = defaultdict(list)
    problems: list[dict[str, Json]] = []
    for row, ref in enumerate(refs):
        rank, fitting = next(((rank, by_key[key]) for rank, key in enumerate(_image_keys(ref.name)) if key in by_key), (0, []))
        exact = [place for whole, place in fitting if whole] or [place for _, place in fitting]
        nearest = _nearest(ref, exact, masks)
        if len(nearest) > 1:
            names = ", ".join(masks[place].name for place in nearest[:3])
            problems.append(problem(None, ref.name, f"{len(nearest)} masks fit by name: {names}; none is used"))
        for place in nearest if len(nearest) == 1 else ():
            claims[place].append((rank, row))
    found, disputed = _agreed(claims, refs, masks)
    _alone(refs, masks, found)
    named = {place for place in found if place is not None} | set(claims)
    spare = [problem(None, mask.name, "no image fits this mask") for place, mask in enumerate(masks) if place not in named]
    return found, [*problems, *disputed, *([] if problems else spare)]


def stem(name: str) -> str:
    """The last part of a name in small letters, without its ending."""
    return _EXTENSION.sub("", name.rpartition("/")[2].lower())


def without_channel(stem: str) -> str:
    """Without nnU-Net's number of the channel: ``case`` of ``case_0000``."""
    return _CHANNEL.sub("", stem)


def _image_keys(name: str) -> Iterator[str]:
    """What an image may be called in a mask's name, the most exact first."""
    path, mark, _ = name.partition("#")
    own = stem(path)
    yield own
    yield without_channel(own)
    parts = [part.lower() for part in path.split("/")]
    whole = [*parts[:-1], parts[-1] if mark else own]
    for start in range(len(whole) - 1):
        yield "_".join(whole[start:])
        yield "-".join(whole[start:])
    if len(whole) > 1 and not mark:
        yield whole[-2]


def _mask_keys(name: str, glob: str | None) -> Iterator[str]:
    """Names of images that a mask may belong to."""
    own = stem(name)
    seen = {own}
    yield own
    for pattern in (glob or "").lower().split(","):
        head, star, tail = pattern.strip().rpartition("/")[2].partition("*")
        tail = _EXTENSION.sub("", tail.lstrip("*"))
        if star and "*" not in tail and own.startswith(head) and own.endswith(tail) and len(head) + len(tail) < len(own):
            own_part = own[len(head) : len(own) - len(tail)].strip("-_. ")
            if own_part not in seen:
                seen.add(own_part)
                yield own_part
    while (shorter := _ENDING.sub("", own)) != own:
        own = shorter
        if own not in seen:
            seen.add(own)
            yield own


def _nearest(ref: ImageRef, places: Sequence[int], masks: Sequence[ImageRef]) -> list[int]:
    """Those of the masks that share most folders with the image."""
    if len(places) < 2:
        return list(places)
    folders = set(Path(ref.files[0]).parent.parts)
    alike = [len(folders & set(Path(masks[place].files[0]).parent.parts)) for place in places]
    return [place for place, score in zip(places, alike, strict=True) if score == max(alike)]


def _agreed(
    claims: dict[int, list[tuple[int, int]]], refs: Sequence[ImageRef], masks: Sequence[ImageRef]
) -> tuple[list[int | None], list[dict[str, Json]]]:
    """The mask of each image. Of several images that fit one mask the one with the most exact name has it; else none has."""
    found: list[int | None] = [None] * len(refs)
    problems = []
    for place, fits in claims.items():
        best = [row for rank, row in fits if rank == min(fits)[0]]
        if len(best) == 1:
            found[best[0]] = place
            continue
        names = ", ".join(refs[row].name for row in best[:3])
        problems.append(problem(None, masks[place].name, f"this mask fits {len(best)} images ({names}); it is not used"))
    return found, problems


def _alone(refs: Sequence[ImageRef], masks: Sequence[ImageRef], found: list[int | None]) -> None:
    """Give an image that is alone in its folder the only mask there."""
    images, inside = defaultdict(list), defaultdict(list)
    for row, ref in enumerate(refs):
        images[Path(ref.files[0]).parent].append(row)
    for place, mask in enumerate(masks):
        inside[Path(mask.files[0]).parent].append(place)
    taken = {place for place in found if place is not None}
    for folder, rows in images.items():
        places = inside.get(folder, [])
        if len(rows) == 1 and len(places) == 1 and found[rows[0]] is None and places[0] not in taken:
            found[rows[0]] = places[0]
