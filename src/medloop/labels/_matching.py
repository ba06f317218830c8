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
        folders: dict[str, list[int]] = defaultdict(list)
        for position, ref in enumerate(refs):
            name = _parted(ref.name)
            for way, key in _names(name):
                self._whole[way][key].append(position)
                for tail in _tails(key):
                    self._index[way][tail].append(position)
            for way, identity in (
                ("uid", ref.series),
                ("uid", ref.fact("sop_uid")),
                ("study", ref.study),
                ("patient", ref.patient),
            ):
                if identity:
                    self._index[way][identity].append(position)
            folders[name.rpartition("/")[0]].append(position)
        for folder, inside in folders.items():
            for key in {tail.lower() for head in _heads(folder) for tail in _tails(head)}:
                self._index["folder"][key].extend(inside)

    def find(self, value: str) -> Match:
        """The images that ``value`` names, by the most exact way that finds any."""
        text = _parted(value)
        for way, key in (*_names(text), ("uid", value), ("study", value), ("folder", text.lower()), ("patient", value)):
            found = self._index[way].get(key)
            if found is None and way in self._whole and "/" in key:
                found = next((hits for tail in _tails(key) if (hits := self._whole[way].get(tail))), None)
            if found:
                return Match(tuple(dict.fromkeys(found)), way)
        return Match((), "")

    def each(self, values: Sequence[str]) -> list[Match]:
        """`find` for each value; equal values share one `Match`."""
        seen = {value: self.find(value) for value in dict.fromkeys(values)}
        return [seen[value] for value in values]


def _parted(text: str) -> str:
    """With forward slashes, ``#`` counting as one, and without ``./``, a drive or a slash in front."""
    plain = text.replace("\\", "/").replace("#", "/")
    if plain[1:2] == ":" and plain[:1].isalpha():
        plain = plain[2:]
    return plain.removeprefix("./").lstrip("/")


def _names(name: str) -> tuple[tuple[str, str], tuple[str, str], tuple[str, str]]:
    """The keys of one name: as it is, without extension, and loosely."""
    stem = _EXTENSION.sub("", name) if "." in name else name
    number = _FLOAT.fullmatch(stem) if "." in stem else None
    plain = number[1] if number else stem
    return ("path", name), ("stem", stem), ("loose", (_ZEROS.sub("", plain) if "0" in plain else plain).lower())


def _tails(key: str) -> Iterator[str]:
    """``a/b/c``, ``b/c``, ``c``."""
    yield key
    while "/" in key:
        key = key.partition("/")[2]
        yield key


def _heads(key: str) -> Iterator[str]:
    """``a/b/c``, ``a/b``, ``a``; nothing for an empty text."""
    while key:
        yield key
        key = key.rpartition("/")[0]
