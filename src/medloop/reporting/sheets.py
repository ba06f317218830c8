"""Pictures for pages: images as a person expects to see them, and files small enough to send.

A volume is shown as three slices side by side (at a quarter, half and three quarters of its filled extent), axial and
radiological (the patient's right on the left) where its geometry is known; a volume of two values as three projections.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image as Pillow

from medloop.types import Array, Image

LONGEST = 320
SHOWN, LEAST_SHOWN = 166, 160
"""Pictures are shown so high, and at least so wide, in CSS pixels."""
_GAP = 4
_CT_WINDOW = (40.0, 400.0)
_LOSSLESS = 20_000
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture, shown ``width`` by ``height`` CSS pixels, with what is said below it. ``uri`` None: it could not be read.

    ``beside``: a second picture of the same case, under the same words.
    """

    uri: str | None
    name: str
    lines: tuple[str, ...]
    width: int = SHOWN
    height: int = SHOWN
    beside: Picture | None = None

    @staticmethod
    def of(found: Array | None, name: str, lines: tuple[str, ...], high: int = SHOWN) -> Picture:
        """From ``(Y, X, 3)`` uint8, or None. ``high``: how high it is shown."""
        if found is None:
            return Picture(None, name, lines)
        scale = max(high / found.shape[0], LEAST_SHOWN / found.shape[1])
        return Picture(data_uri(found), name, lines, round(scale * found.shape[1]), round(scale * found.shape[0]))

    def with_beside(self, found: Array, what: str) -> Picture:
        """The same with ``found`` ``(Y, X, 3)`` uint8 beside it."""
        return replace(self, beside=Picture.of(found, self.name, (what,)))


def as_picture(image: Image) -> Array:
    """``(Y, X, 3)`` uint8: the first time point; colour as it is, otherwise the first channel through its window."""
    pixels = image.pixels[0]
    if image.colour and pixels.shape[0] == 3 and pixels.shape[1] == 1:
        return fitted(np.moveaxis(_bytes(pixels[:, 0], image), 0, -1), _ratio(image))
    volume = pixels[0]
    if volume.shape[0] == 1:
        return _grey(fitted(_bytes(volume[0], image), _ratio(image)))
    volume, ratio = _radiological(volume, image)
    if len(np.unique(volume[::2, ::2, ::2])) <= 2:
        parts = [_projection(volume, axis) for axis in range(3)]
        return _grey(montage(parts))
    shown = _bytes(volume[_where(volume)], image)
    return _grey(montage([fitted(part, ratio) for part in shown]))


def as_grey(image: Image) -> Array:
    """``(Z, Y, X)`` uint8: the first time point; luma of colour, otherwise the first channel through its window."""
    pixels = image.pixels[0]
    if image.colour and pixels.shape[0] == 3:
        shown = _bytes(pixels, image).astype(np.float32)
        return np.asarray(np.rint(np.tensordot(_LUMA, shown, axes=1)).astype(np.uint8))
    return _bytes(pixels[0], image)


def slice_of(image: Image, z: int) -> Array:
    """The slice ``z`` of the first time point on its own grid, ``(Y, X, 3)`` uint8 through its window."""
    pixels = image.pixels[0]
    if image.colour and pixels.shape[0] == 3:
        return np.ascontiguousarray(np.moveaxis(_bytes(pixels[:, z], image), 0, -1))
    return _grey(_bytes(pixels[0], image)[z])


def upright(picture: Array, image: Image) -> Array:
    """A slice ``(Y, X, 3)`` of the image as it is read, in square pixels: the patient's right on the left, front or head above."""
    if image.affine_lps is not None:
        columns = np.asarray(image.affine_lps, dtype=np.float64)[:3, :2]
        for axis, turned in ((0, 1), (1, 0)):
            world = int(np.abs(columns[:, axis]).argmax())
            if (columns[world, axis] < 0) != (world == 2):
                picture = np.flip(picture, turned)
    return fitted(np.ascontiguousarray(picture), _ratio(image))


def montage(parts: list[Array]) -> Array:
    """Pictures ``(Y, X)`` side by side, centred on one height."""
    height = max(part.shape[0] for part in parts)
    columns = []
    for part in parts:
        above = (height - part.shape[0]) // 2
        columns += [np.pad(part, ((above, height - part.shape[0] - above), (0, 0))), np.zeros((height, _GAP), dtype=part.dtype)]
    return np.concatenate(columns[:-1], axis=1)


def fitted(picture: Array, ratio: float = 1.0, longest: int = LONGEST) -> Array:
    """The picture with square pixels (``ratio``: height of a pixel over its width), no side longer than ``longest``."""
    height, width = picture.shape[0] * max(ratio, 1.0), picture.shape[1] * max(1 / ratio, 1.0)
    scale = min(1.0, longest / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    if size == (picture.shape[1], picture.shape[0]):
        return picture
    return np.asarray(Pillow.fromarray(picture).resize(size, Pillow.Resampling.LANCZOS))


def data_uri(picture: Array) -> str:
    """The picture as a data URI: PNG where that is small, else JPEG of high quality."""
    image = Pillow.fromarray(np.ascontiguousarray(picture))
    if picture.ndim == 3 and (picture[..., 0] == picture[..., 1]).all() and (picture[..., 0] == picture[..., 2]).all():
        image = Pillow.fromarray(np.ascontiguousarray(picture[..., 0]))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    kind = "png"
    if buffer.tell() > _LOSSLESS:
        buffer, kind = io.BytesIO(), "jpeg"
        image.save(buffer, "JPEG", quality=88, subsampling=0)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def _bytes(pixels: Array, image: Image) -> Array:
    """0 to 255 through the window: the file's own, else the usual one for CT, else bytes as they are, else 0.5 to 99.5 percent."""
    if image.window is not None:
        centre, width = image.window
        low, high = centre - width / 2, centre + width / 2
    elif image.modality == "CT":
        low, high = _CT_WINDOW[0] - _CT_WINDOW[1] / 2, _CT_WINDOW[0] + _CT_WINDOW[1] / 2
    elif pixels.dtype == np.uint8 and int(pixels.max(initial=0)) > 1:
        return pixels
    else:
        known = pixels[np.isfinite(pixels)] if pixels.dtype.kind == "f" else pixels
        low, high = (float(each) for each in np.percentile(known, [0.5, 99.5])) if known.size else (0.0, 1.0)
        if high <= low:
            low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    scaled = (np.nan_to_num(pixels.astype(np.float32)) - low) / (high - low if high > low else 1.0)
    return np.asarray(np.clip(255 * scaled + 0.5, 0, 255).astype(np.uint8))


def _grey(picture: Array) -> Array:
    return np.repeat(picture[..., None], 3, axis=-1)


def _ratio(image: Image) -> float:
    return 1.0 if image.spacing_mm is None else _sane(image.spacing_mm[1] / image.spacing_mm[2])


def _sane(ratio: float) -> float:
    return ratio if 0.2 <= ratio <= 5 else 1.0


def _radiological(volume: Array, image: Image) -> tuple[Array, float]:
    """The volume ``(Z, Y, X)`` turned so that slices are axial, rows run to the back and columns to the patient's left."""
    if image.affine_lps is None or image.spacing_mm is None:
        return volume, _ratio(image)
    columns = np.asarray(image.affine_lps, dtype=np.float64)[:3, :3]
    of_axis = np.abs(columns).argmax(axis=0)
    if len(set(of_axis.tolist())) < 3:
        return volume, _ratio(image)
    for axis in range(3):
        if columns[of_axis[axis], axis] < 0:
            volume = np.flip(volume, 2 - axis)
    source = [int(np.flatnonzero(of_axis == world)[0]) for world in (2, 1, 0)]
    spacing = [image.spacing_mm[2 - axis] for axis in source]
    return np.transpose(volume, [2 - axis for axis in source]), _sane(spacing[1] / spacing[2])


def _where(volume: Array) -> list[int]:
    """The slices at a quarter, half and three quarters of the extent in which there is something to see."""
    thin = volume[:, ::4, ::4].astype(np.float32).reshape(len(volume), -1)
    spread = np.nan_to_num(thin).std(axis=1)
    filled = np.flatnonzero(spread > 0.25 * spread.max()) if spread.max() > 0 else np.arange(len(volume))
    first, last = int(filled[0]), int(filled[-1])
    return [first + round((last - first) * part) for part in (0.25, 0.5, 0.75)]


def _projection(volume: Array, axis: int) -> Array:
    """The sum along one axis, brightest where the shape is thickest."""
    depth = (volume > volume.min()).sum(axis=axis).astype(np.float32)
    top = float(depth.max())
    return np.asarray((255 * depth / top if top > 0 else depth).astype(np.uint8))
