"""Label maps: an image of another reader whose values are names, as whole numbers, on the grid of the image it belongs to.

A reference of this reader is not found in a folder but made (`reference`) once it is known which image a mask belongs to.
A grey value is itself, a colour is ``0x1RRGGBB`` (one that is grey is its grey value). What lies outside the mask's grid is -1.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from medloop import registry
from medloop.errors import Unreadable
from medloop.readers._pieces import Assembled, Scanned
from medloop.types import Array, Image, ImageRef, Integers, Json

VERSION = 1
OUTSIDE = -1
_COLOUR = 0x1000000
_WHOLE = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """``shape`` ``(z, y, x)`` and LPS affine of an image."""

    shape: tuple[int, int, int]
    affine_lps: Array


def claims(head: bytes, path: Path) -> bool:
    """No file is a label map by itself."""
    del head, path
    return False


def scan(path: Path, head: bytes) -> Json:
    """Never asked for. Raises `Unreadable`."""
    del path, head
    raise Unreadable("a label map is read through the reader of its file")


def assemble(scans: Sequence[Scanned]) -> Assembled:
    """Nothing: label maps are not found in folders."""
    del scans
    return Assembled()


def reference(mask: ImageRef, onto: Grid | None = None) -> ImageRef:
    """The label map in ``mask``; with ``onto`` resampled to that grid, the nearest voxel each."""
    how: dict[str, Json] = {
        "reader": mask.reader,
        "item": mask.item,
        "shape": mask.shape,
        "dtype": mask.dtype,
        "colour": mask.colour,
    }
    shape = mask.shape[2:]
    if onto is not None:
        how["onto"] = {"shape": onto.shape, "affine": np.round(onto.affine_lps[:3], 7).ravel().tolist()}
        shape = onto.shape
    item = json.dumps(how, separators=(",", ":"))
    return replace(
        mask,
        reader="labelmap",
        item=item,
        shape=(1, 1, *shape),
        dtype="int32",
        colour=False,
        stamp=hashlib.blake2b(f"{mask.stamp}\0{item}".encode(), digest_size=16).hexdigest(),
    )


def read(ref: ImageRef) -> Image:
    """The values ``(1, 1, Z, Y, X)`` int32. Raises `Unreadable`, also for values that are no whole numbers."""
    how = json.loads(ref.item)
    inner = replace(
        ref, reader=how["reader"], item=how["item"], shape=tuple(how["shape"]), dtype=how["dtype"], colour=how["colour"]
    )
    image: Image = registry.load("readers", inner.reader).read(inner)
    values = whole(image)
    affine, spacing = image.affine_lps, image.spacing_mm
    if onto := how.get("onto"):
        if affine is None:
            raise Unreadable("it does not say where it lies in the patient")
        grid = Grid(tuple(onto["shape"]), np.vstack([np.reshape(onto["affine"], (3, 4)), [0, 0, 0, 1]]))
        values, affine = resampled(values, affine, grid), grid.affine_lps
        x, y, z = (float(length) for length in np.linalg.norm(affine[:3, :3], axis=0))
        spacing = (z, y, x)
    return Image(pixels=values[None, None], spacing_mm=spacing, affine_lps=affine, modality=image.modality)


def whole(image: Image) -> Integers:
    """The values ``(Z, Y, X)`` int32 of a label map as another reader gives it. Raises `Unreadable` for what can be none."""
    pixels = image.pixels
    if pixels.shape[0] != 1 or pixels.shape[1] not in (1, 3):
        raise Unreadable(f"a mask has one value a voxel; it has {pixels.shape[0]} time points and {pixels.shape[1]} channels")
    if pixels.shape[1] == 3:
        return _colours(pixels[0])
    plain = pixels[0, 0]
    if plain.dtype.kind == "f":
        rounded = np.rint(plain)
        if not np.isfinite(plain).all() or float(np.abs(plain - rounded).max(initial=0)) > _WHOLE:
            raise Unreadable("its values are no whole numbers, as a mask's must be")
        plain = rounded
    if plain.size and (plain.min() < 0 or plain.max() >= _COLOUR):
        raise Unreadable(f"its values go from {plain.min():g} to {plain.max():g}, a mask's are whole numbers from 0")
    return np.ascontiguousarray(plain, dtype=np.int32)


def resampled(values: Integers, affine_lps: Array, onto: Grid) -> Integers:
    """The nearest value for each voxel of the grid ``onto``; -1 outside. ``affine_lps``: of ``values`` ``(Z, Y, X)``."""
    step = np.linalg.inv(affine_lps) @ onto.affine_lps
    depth, height, width = onto.shape
    out = np.full(onto.shape, OUTSIDE, np.int32)
    rows, columns = np.mgrid[0:height, 0:width]
    sizes = np.array(values.shape[::-1]).reshape(3, 1, 1)
    for z in range(depth):
        place = step[:3, 0].reshape(3, 1, 1) * columns + step[:3, 1].reshape(3, 1, 1) * rows
        place = np.rint(place + (step[:3, 2] * z + step[:3, 3]).reshape(3, 1, 1)).astype(np.int64)
        inside = ((place >= 0) & (place < sizes)).all(axis=0)
        x, y, slices = place[:, inside]
        out[z][inside] = values[slices, y, x]
    return out


def value_of(colour: tuple[int, int, int]) -> int:
    """The value of a colour."""
    red, green, blue = colour
    return red if red == green == blue else _COLOUR + (red << 16) + (green << 8) + blue


def named(value: int) -> str:
    """A value as a person writes it: ``128`` or ``#ff0000``."""
    return f"#{value - _COLOUR:06x}" if value >= _COLOUR else str(value)


def _colours(planes: Array) -> Integers:
    """Values of colours ``(3, Z, Y, X)`` uint8."""
    if planes.dtype != np.uint8:
        raise Unreadable(f"a mask in colours has 8 bits a channel, not {planes.dtype}")
    red, green, blue = planes.astype(np.int32)
    grey = (red == green) & (green == blue)
    return np.ascontiguousarray(np.where(grey, red, _COLOUR + (red << 16) + (green << 8) + blue), dtype=np.int32)
