"""The few elements that a scan wants of a DICOM header, as text and numbers.

Most files are written in explicit or implicit little endian with a preamble; `quick` walks over such a header (PS3.5 chapter 7)
without making objects of the elements that nobody asks for, which is several times faster than a whole parse. Whatever it does
not understand it leaves to pydicom (`Full`). Both give the same answers; a test holds them together.
"""

from __future__ import annotations

import math
import struct
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Protocol

from pydicom import charset, config
from pydicom.dataset import Dataset
from pydicom.filereader import read_partial
from pydicom.multival import MultiValue
from pydicom.tag import Tag
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from medloop.readers._dicom_tags import FLOAT_PIXELS, NESTED, PIXELS, TAGS, VRS

_LONG_READ = 1 << 21
"""Bytes read of a file whose header is longer than what was read to know its kind."""
_LONG = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
_SHORT = frozenset(
    {b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FL", b"FD", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL", b"SS", b"ST", b"TM",
     b"UI", b"UL", b"US"}
)  # fmt: skip
_VR_NAMES = {code: code.decode() for code in _LONG | _SHORT}
_NUMBERS = {"US": "<H", "SS": "<h", "UL": "<I", "SL": "<i", "FD": "<d", "FL": "<f", "AT": "<HH"}
_UNDEFINED = 0xFFFFFFFF
_MEDIA, _SYNTAX = 0x00020002, 0x00020010
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_EXPLICIT = struct.Struct("<HH2sH")
_IMPLICIT = struct.Struct("<HHI")
_WHOLE = struct.Struct("<I")
_DEEPEST = 16


class Elements(Protocol):
    """What a header says, by keyword.

    ``pixels``: the tag of its pixel data, or None. ``media``: the SOP class that its meta group names.
    """

    pixels: int | None
    media: str

    def texts(self, keyword: str) -> list[str]:
        """The values as text without padding; empty where there are none."""
        ...

    def numbers(self, keyword: str) -> list[float]:
        """The values as finite numbers; empty where there are none or one is no number."""
        ...

    def items(self, keyword: str) -> Sequence[Elements]:
        """The items of a sequence."""
        ...

    def content(self, tag: int) -> bytes:
        """The bytes of a private element; empty where there is none."""
        ...


class Odd(Exception):
    """A header that `quick` leaves to pydicom."""


class Full:
    """Elements of a data set that pydicom has parsed."""

    def __init__(self, header: Dataset, pixels: int | None = None) -> None:
        """``pixels``: the tag of the pixel data where reading stopped before it."""
        self._header = header
        self.pixels = next((tag for tag in (PIXELS, *FLOAT_PIXELS) if tag in header), pixels)
        self.media = str(getattr(header, "file_meta", {}).get("MediaStorageSOPClassUID", ""))

    def _values(self, keyword: str) -> list[Any]:
        try:
            value = self._header.get(keyword)
        except (ValueError, TypeError, NotImplementedError, OverflowError, KeyError, AttributeError):
            return []
        if value is None or value == "":
            return []
        return list(value) if isinstance(value, (list, tuple, MultiValue)) else [value]

    def texts(self, keyword: str) -> list[str]:
        """See `Elements`."""
        return [text for value in self._values(keyword) if (text := str(value).replace("\0", "").strip())]

    def numbers(self, keyword: str) -> list[float]:
        """See `Elements`."""
        return _finite(self._values(keyword))

    def items(self, keyword: str) -> Sequence[Elements]:
        """See `Elements`."""
        return [Full(item) for item in self._header.get(keyword) or ()]

    def content(self, tag: int) -> bytes:
        """See `Elements`."""
        element = self._header.get(Tag(tag))
        value = None if element is None else element.value
        return value if isinstance(value, bytes) else b"" if value is None else str(value).encode("latin-1", "replace")


class Quick:
    """Elements cut out of the bytes of a header; nothing is interpreted before it is asked for."""

    def __init__(self, raw: dict[int, tuple[str, bytes]], pixels: int | None, media: str) -> None:
        """``raw``: VR and bytes of the elements wanted."""
        self._raw = raw
        self.pixels = pixels
        self.media = media

    def texts(self, keyword: str) -> list[str]:
        """See `Elements`."""
        found = self._raw.get(TAGS[keyword])
        if found is None or not found[1]:
            return []
        vr, content = found
        if vr in _NUMBERS:
            return [f"{number:g}" for number in self.numbers(keyword)]
        if content.isascii() and b"\x1b" not in content:
            text = content.decode("ascii")
        else:
            text = charset.decode_bytes(content, self._encodings(), {"\\"})
        if "\\" not in text:
            text = text.replace("\0", "").strip()
            return [text] if text else []
        return [part for each in text.split("\\") if (part := each.replace("\0", "").strip())]

    def _encodings(self) -> list[str]:
        names = self._raw.get(TAGS["SpecificCharacterSet"], ("CS", b""))[1].decode("ascii", "replace")
        found: list[str] = charset.convert_encodings([name.strip("\0 ") for name in names.split("\\")])
        return found

    def numbers(self, keyword: str) -> list[float]:
        """See `Elements`."""
        vr, content = self._raw.get(TAGS[keyword], ("", b""))
        if not content:
            return []
        if vr not in _NUMBERS:
            return _finite([part for each in content.split(b"\\") if (part := each.strip(b"\0 "))])
        code = _NUMBERS[vr]
        whole = content[: len(content) // struct.calcsize(code) * struct.calcsize(code)]
        return _finite([(each[0] << 16 | each[1]) if vr == "AT" else each[0] for each in struct.iter_unpack(code, whole)])

    def items(self, keyword: str) -> Sequence[Elements]:
        """See `Elements`: one empty item for a sequence that is there. Headers in which items matter are left to pydicom."""
        return [Quick({}, None, "")] if self._raw.get(TAGS[keyword], ("", b""))[1] else []

    def content(self, tag: int) -> bytes:
        """See `Elements`."""
        vr, content = self._raw.get(tag, ("", b""))
        if vr in _NUMBERS and content:
            return str(struct.unpack_from(_NUMBERS[vr], content)[0]).encode()
        return content


def _finite(values: Sequence[Any]) -> list[float]:
    try:
        numbers = [float(value) for value in values]
    except (ValueError, TypeError, OverflowError):
        return []
    return numbers if all(map(math.isfinite, numbers)) else []


def elements_of(path: Path, head: bytes) -> Elements:
    """The elements of a file that begins with ``head``, by the quick way or by pydicom. Raises what pydicom raises."""
    try:
        return quick(head, whole=False)
    except Odd:
        pass
    except (IndexError, struct.error):
        with path.open("rb") as file, suppress(Odd, IndexError, struct.error):
            longer = file.read(_LONG_READ)
            return quick(longer, whole=len(longer) < _LONG_READ)
    with warnings.catch_warnings(), config.disable_value_validation(), path.open("rb") as file:
        warnings.simplefilter("ignore")
        return full(file)


def full(file: IO[bytes]) -> Full:
    """The elements as pydicom reads them, up to the pixels."""
    seen: list[int] = []

    def at_pixels(tag: Any, vr: str | None, length: int) -> bool:
        del vr, length
        if tag == PIXELS or tag in FLOAT_PIXELS:
            seen.append(int(tag))
        return int(tag) >= FLOAT_PIXELS[0]

    header = read_partial(file, at_pixels, force=True, specific_tags=[Tag(tag) for tag in VRS])
    return Full(header, seen[0] if seen else None)


def quick(head: bytes, *, whole: bool) -> Quick:
    """The elements of a header that begins with ``head`` (``whole``: that is all of the file).

    Raises `Odd` for what pydicom must read, `IndexError` or `struct.error` where more bytes are needed.
    """
    implicit, media, place = _start(head)
    raw: dict[int, tuple[str, bytes]] = {}
    end, last = len(head), 0
    while place < end or not whole:
        tag, vr, length, place = _element(head, place, implicit)
        if tag >= FLOAT_PIXELS[0]:
            return Quick(raw, tag if tag == PIXELS or tag in FLOAT_PIXELS else None, media)
        if tag <= last or tag in NESTED:
            raise Odd
        after = place + length if length != _UNDEFINED else _past_sequence(head, place, vr, implicit, 0)
        if tag in VRS:
            if after > end:
                raise IndexError
            known = vr is None or vr == "UN"
            content = head[place : after - 8 if length == _UNDEFINED else after]
            raw[tag] = (VRS[tag] if known or vr is None else vr, content)
        last, place = tag, after
    if place > end:
        raise Odd
    return Quick(raw, None, media)


def _start(head: bytes) -> tuple[bool, str, int]:
    """Whether the data set is in implicit VR, its SOP class, and where it begins, from the meta group (PS3.10 7.1)."""
    if head[128:132] != b"DICM":
        raise Odd
    place, syntax, media = 132, "", ""
    while head[place : place + 2] == b"\x02\x00":
        tag, _, length, place = _element(head, place, False)
        if tag in (_MEDIA, _SYNTAX):
            text = head[place : place + length].rstrip(b"\0 ").decode("latin-1")
            syntax, media = (text, media) if tag == _SYNTAX else (syntax, text)
        place += length
    if not syntax.startswith(ImplicitVRLittleEndian) or syntax in (ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian):
        raise Odd
    return syntax == ImplicitVRLittleEndian, media, place


def _element(head: bytes, place: int, implicit: bool) -> tuple[int, str | None, int, int]:
    """``(tag, VR, length, where its value begins)`` of the element at ``place``; the VR of an implicit one is None."""
    if implicit:
        group, number, length = _IMPLICIT.unpack_from(head, place)
        if head[place + 4 : place + 6] in _VR_NAMES:
            raise Odd
        return group << 16 | number, None, length, place + 8
    group, number, code, length = _EXPLICIT.unpack_from(head, place)
    vr = _VR_NAMES.get(code)
    if vr is None:
        raise Odd
    if code in _LONG:
        return group << 16 | number, vr, _WHOLE.unpack_from(head, place + 8)[0], place + 12
    return group << 16 | number, vr, length, place + 8


def _past_sequence(head: bytes, place: int, vr: str | None, implicit: bool, depth: int) -> int:
    """Where a sequence of undefined length ends, given where its items begin (PS3.5 7.5)."""
    if vr not in (None, "SQ") or depth > _DEEPEST:
        raise Odd
    while True:
        group, number, length = _IMPLICIT.unpack_from(head, place)
        place += 8
        tag = group << 16 | number
        if tag == _SEQUENCE_END:
            return place
        if tag != _ITEM:
            raise Odd
        if length != _UNDEFINED:
            place += length
            continue
        while True:
            group, number, _ = _IMPLICIT.unpack_from(head, place)
            if group << 16 | number == _ITEM_END:
                place += 8
                break
            _, inner, length, place = _element(head, place, implicit)
            place = place + length if length != _UNDEFINED else _past_sequence(head, place, inner, implicit, depth + 1)
