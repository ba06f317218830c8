"""Find the image a table means: by path, by name with or without extension or leading zeros, by DICOM UID, by folder or patient.

Everything is looked up in dictionaries built once, so time grows with rows plus images.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from medloop.types import ImageRef

_ZEROS = re.compile(r"(?<![0-9])0+(?=[0-9])")
_FLOAT = re.compile(r"([0-9]+)\.0+")
_EXTENSION = re.compile(r"(\.nii\.gz|\.ome\.tiff?|\.[A-Za-z][A-Za-z0-9]{0,5})$")
WAYS = {
    "path": "path or file name",
    "stem": "name without extension",
    "loose": "name without extension, leading zeros or capitals",
    "uid": "DICOM UID",
    "study": "DICOM study UID",
    "folder": "folder name",
    "patient": "patient ID",
}
"""How a value can name images, the most exact first. In the last three one value may mean several images."""
SEVERAL = ("study", "folder", "patient")


@dataclass(frozen=True, slots=True)
class Match:
    """``found``: positions of the images. ``way``: a key of `WAYS`, empty when nothing was found."""

    found: tuple[int, ...]
    way: str

    @property
    def ambiguous(self) -> bool:
        """Whether a name that should mean one image means several."""
        return len(self.found) > 1 and self.way not in SEVERAL


class Matcher:
    """Looks up images of one collection by what a table calls them."""

    def __init__(self, refs: Sequence[ImageRef]) -> None:
        self._index: dict[str, dict[str, list[int]]] = {way: defaultdict(list) for way in WAYS}
        self._whole: dict[str, dict[str, list[int]]] = {way: defaultdict(list) for way in ("path", "stem", "loose")}
        for position, ref in enumerate(refs):
            self._add(position, ref)

    def _add(self, position: int, ref: ImageRef) -> None:
        for way, key in _names(ref.name):
            self._whole[way][key].append(position)
            for tail in _tails(key):
                self._index[way][tail].append(position)
        for way, identity in (("uid", ref.series), ("uid", ref.fact("sop_uid")), ("study", ref.study), ("patient", ref.patient)):
            if identity:
                self._index[way][identity].append(position)
        folder = _parted(ref.name).rpartition("/")[0]
        for cut in _heads(folder):
            for tail in _tails(cut.lower()):
                self._index["folder"][tail].append(position)

    def find(self, value: str) -> Match:
        """The images that ``value`` names, by the most exact way that finds any."""
        text = _parted(value)
        for way in WAYS:
            key = next((key for kind, key in _names(text) if kind == way), text.lower() if way == "folder" else value)
            found = self._index[way].get(key)
            if not found and way in self._whole:
                found = next((hits for tail in _tails(key) if (hits := self._whole[way].get(tail))), None)
            if found:
                return Match(tuple(dict.fromkeys(found)), way)
        return Match((), "")

    def one_of_many(self, values: Sequence[str]) -> list[Match]:
        """`find` for each value."""
        seen: dict[str, Match] = {}
        return [seen[value] if value in seen else seen.setdefault(value, self.find(value)) for value in values]


def _parted(text: str) -> str:
    """With forward slashes, ``#`` counting as one, and without ``./`` or a drive in front."""
    return re.sub(r"^(\./|[A-Za-z]:)?/*", "", text.replace("\\", "/").replace("#", "/"))


def _names(name: str) -> Iterator[tuple[str, str]]:
    """The keys of one name: as it is, without extension, and loosely."""
    whole = _parted(name)
    stem = _EXTENSION.sub("", whole)
    yield "path", whole
    yield "stem", stem
    whole_number = _FLOAT.fullmatch(stem)
    yield "loose", _ZEROS.sub("", whole_number[1] if whole_number else stem).lower()


def _tails(key: str) -> Iterator[str]:
    """``a/b/c``, ``b/c``, ``c``."""
    while True:
        yield key
        _, cut, key = key.partition("/")
        if not cut:
            return


def _heads(key: str) -> Iterator[str]:
    """``a/b/c``, ``a/b``, ``a``; nothing for an empty text."""
    while key:
        yield key
        key = key.rpartition("/")[0]
