"""Pixels of one DICOM file in the units a person reads them in: rescaled, right way up, colours as RGB.

PS3.3 C.7.6.3 (pixels), C.11.1 (modality LUT and rescale), C.11.2 (VOI LUT and windows, kept for display only).
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pydicom
from pydicom import config
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels import apply_color_lut, apply_modality_lut, pixel_array
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from medloop.errors import Unreadable
from medloop.readers._dicom_elements import Full
from medloop.readers._dicom_header import describe
from medloop.types import Array, Json

_REASON_LETTERS = 240


@dataclass(frozen=True, slots=True)
class Decoded:
    """Frames ``(N, Y, X)`` grey or ``(N, Y, X, 3)`` colour, the window ``(centre, width)`` in their units, and the header."""

    frames: Array
    window: tuple[float, float] | None
    found: Json


def decode(path: str) -> Decoded:
    """Every frame of a file, with its header as the scan sees it. Raises `Unreadable`."""
    try:
        with warnings.catch_warnings(), config.disable_value_validation():
            warnings.simplefilter("ignore")
            header = pydicom.dcmread(path, force=True)
            _with_syntax(header)
            found = describe(Full(header))
            return _shown(header, _frames(header), found)
    except (Unreadable, FileNotFoundError, PermissionError) as error:
        raise Unreadable(str(error) if isinstance(error, Unreadable) else "the file cannot be opened any more") from None
    except MemoryError:
        raise Unreadable("too large for the memory of this machine") from None
    except Exception as error:
        raise Unreadable(f"its pixels cannot be decoded: {_said(error)}") from None


def _with_syntax(header: Dataset) -> None:
    """A file without meta information is taken as written in the encoding that it was parsed with."""
    meta = getattr(header, "file_meta", None)
    if meta is None or "TransferSyntaxUID" not in meta:
        implicit, little = header.original_encoding
        header.file_meta = meta if meta is not None else FileMetaDataset()
        explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        header.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit


def _said(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= _REASON_LETTERS else text[:_REASON_LETTERS] + " …"


def _frames(header: Dataset) -> Array:
    """Decoded frames ``(N, Y, X[, 3])``; palettes are looked up, YBR becomes RGB."""
    pixels: Array = pixel_array(header)
    palette = str(header.get("PhotometricInterpretation", "")) == "PALETTE COLOR"
    if palette:
        pixels = _palette(header, pixels)
    colour = palette or int(header.get("SamplesPerPixel", 1) or 1) > 1
    if pixels.ndim == (3 if colour else 2):
        pixels = pixels[None]
    if pixels.ndim != (4 if colour else 3):
        raise Unreadable(f"its pixels have an odd shape: {pixels.shape}")
    return pixels


def _palette(header: Dataset, pixels: Array) -> Array:
    """The colours that the stored numbers stand for, as uint8 (palettes of 16 bits lose the lower eight)."""
    coloured: Array = np.asarray(apply_color_lut(pixels, header))[..., :3]
    return (coloured >> 8).astype(np.uint8) if coloured.dtype.itemsize > 1 else coloured


def _shown(header: Dataset, stored: Array, found: Json) -> Decoded:
    if stored.ndim == 4:
        return Decoded(stored, None, found)
    window = _window(header)
    rescales = [each.get("rescale") for each in found["slices"]]
    if "lut" in rescales:
        frames, rescales = np.asarray(apply_modality_lut(stored, header)), []
    else:
        rescales = rescales * (len(stored) if len(rescales) == 1 else 1)
        frames = _rescaled(stored, rescales)
    if frames.dtype == np.float64:
        frames = frames.astype(np.float32)
    if found["photometric"] == "MONOCHROME1":
        frames, window = _turned(found, frames, rescales, window)
    return Decoded(frames, window, found)


def _rescaled(stored: Array, rescales: list[Any]) -> Array:
    """Slope and intercept of each frame, exact in integers where both are whole."""
    distinct = {tuple(each) if each else (1.0, 0.0) for each in rescales}
    if distinct == {(1.0, 0.0)}:
        return stored
    if len(distinct) == 1:
        slope, intercept = distinct.pop()
        return rescale(stored, slope, intercept)
    out = np.empty(stored.shape, np.float32)
    for frame, pixels, each in zip(out, stored, rescales, strict=True):
        slope, intercept = each or (1.0, 0.0)
        np.copyto(frame, pixels.astype(np.float64) * slope + intercept, casting="same_kind")
    return out


def rescale(stored: Array, slope: float, intercept: float) -> Array:
    """``stored * slope + intercept``: int16 where both are whole and the values found fit, else float32."""
    if stored.dtype.kind in "iu" and slope.is_integer() and intercept.is_integer() and stored.dtype.itemsize <= 2:
        whole = stored.astype(np.int64) * int(slope) + int(intercept)
        low, high = (int(whole.min()), int(whole.max())) if whole.size else (0, 0)
        if np.iinfo(np.int16).min <= low and high <= np.iinfo(np.int16).max:
            return whole.astype(np.int16)
    return (stored.astype(np.float64) * slope + intercept).astype(np.float32)


def _turned(
    found: Json, frames: Array, rescales: list[Any], window: tuple[float, float] | None
) -> tuple[Array, tuple[float, float] | None]:
    """MONOCHROME1 shown right way up: bright becomes dark within the range that the stored bits can say."""
    half = 1 << max(int(found["stored"]) - 1, 0)
    total = -1.0 if found["signed"] else 2.0 * half - 1.0
    slopes = {tuple(each) if each else (1.0, 0.0) for each in rescales}
    if len(slopes) == 1:
        slope, intercept = slopes.pop()
        total = total * slope + 2 * intercept
    else:
        total = float(frames.min(initial=0)) + float(frames.max(initial=0))
    turned = total - frames.astype(np.float64)
    kept = frames.dtype
    fits = kept.kind == "f" or (np.iinfo(kept).min <= turned.min(initial=0) and turned.max(initial=0) <= np.iinfo(kept).max)
    shown = None if window is None else (total - window[0], window[1])
    return turned.astype(kept if fits else np.float32), shown


def _window(header: Dataset) -> tuple[float, float] | None:
    """The first window that the file recommends; of a VOI LUT the range that it covers."""
    centre, width = (_first(header.get(name)) for name in ("WindowCenter", "WindowWidth"))
    if centre is not None and width is not None and width > 0:
        return centre, width
    tables = header.get("VOILUTSequence")
    if tables and tables[0].get("LUTDescriptor"):
        entries, first, _ = (int(each) for each in tables[0].LUTDescriptor)
        entries = entries or 65536
        return first + entries / 2, float(entries)
    groups = [header.get(name) for name in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")]
    for holder in (each[0] for each in groups if each):
        if holder.get("FrameVOILUTSequence"):
            return _window(holder.FrameVOILUTSequence[0])
    return None


def _first(value: Any) -> float | None:
    several = isinstance(value, (list, tuple, pydicom.multival.MultiValue))
    try:
        number = float(value[0] if several else value)
    except (TypeError, ValueError, IndexError):
        return None
    return number if math.isfinite(number) else None
