"""Images as pages show them: decoded once, kept by content in the workspace's cache, sent a few slices at a time.

What a browser gets is at most 16 bits a pixel; ``slope`` and ``intercept`` lead back to the image's own units.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medloop import readers
from medloop.types import Array, Image, ImageRef, Json, Shape
from medloop.wire import to_json
from medloop.workspace.atomic import write_folder

_VERSION = "1"
_SLAB_BYTES = 2_000_000
_EXACT = ("uint8", "int16", "uint16")
_CT = (40.0, 400.0)
_SAMPLE = 200_000
_DOORS = tuple(threading.Lock() for _ in range(32))


@dataclass(frozen=True, slots=True)
class About:
    """What the viewer must know before the first pixel. ``shape``: (T, C, Z, Y, X); of colour C is 1 and a pixel has three bytes.

    ``window``: (centre, width) in the image's own units. ``flip``: whether rows and columns are shown turned about, so that the
    patient's right is on the left and the front or head above. ``slab``: slices sent at once.
    """

    shape: Shape
    dtype: str
    slope: float
    intercept: float
    colour: bool
    spacing_mm: tuple[float, float, float] | None
    window: tuple[float, float]
    flip: tuple[bool, bool]
    modality: str | None
    slab: int


@dataclass(frozen=True, slots=True)
class Decoded:
    """One decoded image. ``pixels``: (T, C, Z, Y, X) or of colour (T, 1, Z, Y, 3 X), mapped from the disk."""

    about: About
    pixels: Array

    def slab(self, time: int, channel: int, number: int) -> bytes | None:
        """The slices of one slab, little-endian, slice after slice; None where there is none."""
        t, c, z = self.pixels.shape[:3]
        first = number * self.about.slab
        if not (0 <= time < t and 0 <= channel < c and 0 <= first < z):
            return None
        return np.ascontiguousarray(self.pixels[time, channel, first : first + self.about.slab]).tobytes()


def key(ref: ImageRef) -> str:
    """Under which an image's pixels are kept and addressed: the same for the same content."""
    content = [_VERSION, ref.reader, ref.item, ref.digest or [ref.stamp, *ref.files]]
    return hashlib.blake2b(json.dumps(content).encode(), digest_size=16).hexdigest()


def decoded(cache: Path, ref: ImageRef) -> Decoded:
    """The image, read now if it never was. ``cache``: the workspace's. Raises `Unreadable` and `InputError`."""
    name = key(ref)
    place = cache / "pages" / name[:2] / name
    with _DOORS[int(name[:4], 16) % len(_DOORS)]:
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            _keep(place, readers.read(ref))
    about = json.loads((place / "about.json").read_text(encoding="utf-8"))
    return Decoded(_about(about), np.load(place / "pixels.npy", mmap_mode="r"))


def _keep(place: Path, image: Image) -> None:
    pixels, slope, intercept = _sixteen_bits(image)
    size = pixels[0, 0, 0].nbytes
    about = About(
        shape=(pixels.shape[0], pixels.shape[1], *image.pixels.shape[2:]),
        dtype=pixels.dtype.name,
        slope=slope,
        intercept=intercept,
        colour=image.colour,
        spacing_mm=image.spacing_mm,
        window=_window(image),
        flip=_flip(image),
        modality=image.modality,
        slab=max(1, _SLAB_BYTES // max(1, size)),
    )
    with write_folder(place) as folder:
        np.save(folder / "pixels.npy", pixels)
        (folder / "about.json").write_text(json.dumps(to_json(asdict(about))), encoding="utf-8")


def _about(content: Mapping[str, Json]) -> About:
    known: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in content.items()}
    return About(**known)


def _sixteen_bits(image: Image) -> tuple[Array, float, float]:
    """Pixels as sent, little-endian, with slope and intercept back to the image's own units."""
    pixels, slope, intercept = image.pixels, 1.0, 0.0
    if pixels.dtype.name not in _EXACT or (image.colour and pixels.dtype != np.uint8):
        top = 255 if image.colour else 65535
        low, high = _ends(pixels)
        whole = pixels.dtype.kind in "iub" and high - low <= top
        slope, intercept = 1.0 if whole else max((high - low) / top, 1e-12), low
        scaled = np.rint((np.nan_to_num(pixels.astype(np.float64), nan=low, posinf=high, neginf=low) - low) / slope)
        pixels = np.clip(scaled, 0, top).astype(np.uint8 if image.colour else np.uint16)
        if image.colour:
            slope, intercept = 1.0, 0.0
    if image.colour:
        mixed = np.moveaxis(pixels, 1, -1)
        pixels = mixed.reshape(*mixed.shape[:3], -1)[:, None]
    return np.ascontiguousarray(pixels.astype(pixels.dtype.newbyteorder("<"), copy=False)), slope, intercept


def _ends(pixels: Array) -> tuple[float, float]:
    finite = pixels[np.isfinite(pixels)] if pixels.dtype.kind == "f" else pixels
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)


def _window(image: Image) -> tuple[float, float]:
    """As the file recommends, else what is usual, else nearly all that there is."""
    if image.colour or (image.window is None and image.pixels.dtype == np.uint8):
        return 127.5, 255.0
    if image.window is not None and image.window[1] > 0:
        return float(image.window[0]), float(image.window[1])
    if image.modality == "CT":
        return _CT
    values = image.pixels.reshape(-1)
    values = values[:: max(1, values.size // _SAMPLE)]
    low, high = (
        np.percentile(values[np.isfinite(values)] if values.dtype.kind == "f" else values, (0.5, 99.5)) if values.size else (0, 1)
    )
    low, high = (float(low), float(high)) if high > low else _ends(values)
    return (low + high) / 2, max(high - low, 1e-6)


def _flip(image: Image) -> tuple[bool, bool]:
    """Whether rows, and whether columns, run against how a slice is looked at."""
    if image.affine_lps is None:
        return False, False
    columns = np.asarray(image.affine_lps, dtype=np.float64)[:3, :2]
    worlds = [int(np.abs(columns[:, axis]).argmax()) for axis in (1, 0)]
    rows, across = ((columns[world, axis] < 0) != (world == 2) for world, axis in zip(worlds, (1, 0), strict=True))
    return bool(rows), bool(across)
