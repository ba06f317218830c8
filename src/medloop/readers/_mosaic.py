"""Siemens mosaics: the slices of one volume laid out as tiles of one picture.

The number of tiles and the direction of the slices stand in private elements or in the CSA header ("SIEMENS CSA HEADER").
The stated position is that of a slice as large as the whole mosaic; half the difference in size leads to the tile's corner.
"""

from __future__ import annotations

import math
import struct

import numpy as np

from medloop.readers._dicom_elements import Elements
from medloop.readers._dicom_tags import CSA_CREATORS, MOSAIC_COUNT, MOSAIC_CREATOR
from medloop.types import Array, Json

_WANTED = frozenset({"NumberOfImagesInMosaic", "SliceNormalVector"})


def layout(header: Elements) -> Json:
    """``{"slices", "normal"}`` of a mosaic, or None where its number of slices cannot be told. ``normal`` may be None."""
    csa = _csa(header)
    own = header.content(MOSAIC_CREATOR).strip(b"\0 ") == b"SIEMENS MR HEADER"
    said = [header.content(MOSAIC_COUNT).decode("latin-1").strip("\0 ")] if own else []
    count = next((int(float(text)) for text in (*said, *csa.get("NumberOfImagesInMosaic", [])) if _is_number(text)), 0)
    normal = csa.get("SliceNormalVector", [])
    if count < 1:
        return None
    return {"slices": count, "normal": [float(each) for each in normal] if len(normal) == 3 else None}


def side(slices: int) -> int:
    """Tiles in a row of the mosaic."""
    return math.ceil(math.sqrt(slices))


def corner(position: Array, orientation: Array, spacing: tuple[float, float], size: tuple[int, int], slices: int) -> Array:
    """LPS position of the first tile's first pixel. ``spacing`` and ``size``: (rows, columns) of the whole mosaic."""
    tiles = side(slices)
    down = (size[0] - size[0] // tiles) / 2 * spacing[0]
    right = (size[1] - size[1] // tiles) / 2 * spacing[1]
    moved: Array = position + orientation[:3] * right + orientation[3:] * down
    return moved


def cut(picture: Array, slices: int) -> Array:
    """The slices ``(Z, Y, X)`` of a mosaic ``(Y, X)``, row by row of tiles."""
    tiles = side(slices)
    rows, columns = picture.shape[0] // tiles, picture.shape[1] // tiles
    grid = picture[: rows * tiles, : columns * tiles].reshape(tiles, rows, tiles, columns)
    return grid.transpose(0, 2, 1, 3).reshape(tiles * tiles, rows, columns)[:slices]


def direction(orientation: Array, normal: Json) -> Array:
    """Unit vector from slice to slice: across the rows and columns, to the side that the CSA header says."""
    across: Array = np.cross(orientation[:3], orientation[3:])
    return -across if normal is not None and float(np.dot(across, normal)) < 0 else across


def csa_values(content: bytes, wanted: frozenset[str]) -> dict[str, list[str]]:
    """The texts of some entries of a Siemens CSA header of either type (the second begins with ``SV10``).

    An entry is: name (64 bytes), multiplicity, type (4 letters), syngo type, number of items, 77 or 205; an item is: four
    numbers of which the second (type 2) or the first (type 1) is its length, then its text, padded to four bytes.
    """
    second = content[:4] == b"SV10"
    place = 8 if second else 0
    count, _ = struct.unpack_from("<2I", content, place)
    place += 8
    answer: dict[str, list[str]] = {}
    first_length = 0
    for _ in range(min(count, 1000)):
        name, _, _, _, items, _ = struct.unpack_from("<64si4s3i", content, place)
        place += 84
        first_length = first_length or (0 if second else items)
        texts = []
        for _ in range(items):
            numbers = struct.unpack_from("<4i", content, place)
            length = max(0, numbers[1] if second else numbers[0] - first_length)
            place += 16
            texts.append(content[place : place + length].split(b"\0")[0].decode("latin-1").strip())
            place += (length + 3) // 4 * 4
        key = name.split(b"\0")[0].decode("latin-1")
        if key in wanted:
            answer[key] = [text for text in texts if text]
    return answer


def _csa(header: Elements) -> dict[str, list[str]]:
    """The entries needed from the CSA image header, wherever its private block was put (PS3.5 7.8.1)."""
    for creator in CSA_CREATORS:
        if header.content(creator).strip(b"\0 ") == b"SIEMENS CSA HEADER":
            try:
                return csa_values(header.content((creator >> 16 << 16) + (creator & 0xFF) * 256 + 0x10), _WANTED)
            except struct.error:
                return {}
    return {}


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdecimal()
