"""PNG, JPEG, TIFF and BMP pictures, through Pillow; tifffile for the TIFF kinds that Pillow cannot read.

What comes out: grey ``(1, 1, Z, Y, X)`` or colour ``(1, 3, Z, Y, X)``, 8 bit as uint8, 16 bit as uint16, floats as float32.
One-bit pictures become 0 and 255, palettes become the colours they stand for, transparent parts are blended onto black,
EXIF rotation is applied. Pages of equal size in one TIFF are slices (Z); of pages of different sizes the first is used.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import PIL.Image as pil
import tifffile
from PIL import ImageOps, UnidentifiedImageError

from medloop.errors import Unreadable
from medloop.readers._pieces import Assembled, Scanned, facts_of, stamp_of
from medloop.types import Array, Image, ImageRef, Json

VERSION = 1
MAX_PIXELS = 80_000_000
"""Pictures with more pixels (all pages together) are not decoded; a 13-megapixel mammogram is far below."""

_FORMATS = ("PNG", "JPEG", "TIFF", "BMP")
_MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_ORIENTATION, _BITS_PER_SAMPLE, _SAMPLE_FORMAT = 0x0112, 258, 339
_MISREAD = {(8, 2), (32, 1)}
"""Bits and sample format (1 unsigned, 2 signed) of TIFF numbers that Pillow takes for others."""
_TURNED = (5, 6, 7, 8)
_WIDE = {"I;16", "I;16B", "I;16L", "I;16N"}


def claims(head: bytes, path: Path) -> bool:
    """Whether the first bytes are those of a picture."""
    del path
    return head.startswith(_MAGIC) or (head.startswith(b"BM") and head[6:10] == b"\0\0\0\0" and len(head) >= 26)


def scan(path: Path, head: bytes) -> Json:
    """Size, kind and number of pages from the header alone. Raises `Unreadable`."""
    del head
    with _explained(path):
        try:
            with pil.open(path, formats=_FORMATS) as picture:
                return _header(path, picture)
        except UnidentifiedImageError:
            if path.suffix.lower() not in (".tif", ".tiff"):
                raise
        with tifffile.TiffFile(path) as file:
            return _tiff_header(file)


def assemble(scans: Sequence[Scanned]) -> Assembled:
    """One image for each file."""
    done = Assembled()
    for file in scans:
        found = file.found
        if found["skipped"]:
            done.warnings.append(f"{file.name}: its pages have different sizes; only the first is used.")
        facts = facts_of(
            (
                ("rows", found["rows"]),
                ("columns", found["columns"]),
                ("bits", found["bits"]),
                ("format", found["format"]),
                ("file_bytes", file.size),
            )
        )
        colour = bool(found["colour"])
        shape = (1, 3 if colour else 1, int(found["pages"]), int(found["rows"]), int(found["columns"]))
        done.refs.append(
            ImageRef(
                name=file.name,
                reader="raster",
                files=(file.path,),
                shape=shape,
                dtype=found["dtype"],
                colour=colour,
                stamp=stamp_of([file]),
                facts=facts,
            )
        )
    return done


def read(ref: ImageRef) -> Image:
    """The picture ``(1, C, Z, Y, X)``. Raises `Unreadable`."""
    path = Path(ref.files[0])
    with _explained(path):
        try:
            with pil.open(path, formats=_FORMATS) as picture:
                found = _header(path, picture)
                pages = _cv2_pages(path) if found["deep"] else _pages(picture, int(found["pages"]))
        except UnidentifiedImageError:
            pages = _tiff_pages(path)
    stack = np.stack(pages[: ref.shape[2]])
    if stack.ndim == 4:
        return Image(pixels=np.ascontiguousarray(stack.transpose(3, 0, 1, 2)[None]), colour=True)
    return Image(pixels=stack[None, None])


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Whatever a decoder raises or warns of, as one reason."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", pil.DecompressionBombWarning)
            yield
    except (pil.DecompressionBombError, pil.DecompressionBombWarning):
        raise Unreadable(f"too large: more than {MAX_PIXELS:,} pixels; scale it down or cut it up") from None
    except UnidentifiedImageError:
        raise Unreadable(_why_unknown(path)) from None
    except (
        OSError,
        SyntaxError,
        ValueError,
        EOFError,
        TypeError,
        KeyError,
        IndexError,
        AttributeError,
        tifffile.TiffFileError,
    ) as error:
        raise Unreadable(f"broken or cut off: {error}") from None
    except MemoryError:
        raise Unreadable("too large for the memory of this machine") from None


def _why_unknown(path: Path) -> str:
    kind = path.suffix.lower().lstrip(".").upper() or "picture"
    return f"broken: its header is not that of a {kind} file" if path.stat().st_size else "the file is empty (0 bytes)"


def _limited(rows: int, columns: int, pages: int) -> None:
    if rows * columns * pages > MAX_PIXELS:
        size = f"{columns} by {rows}" + (f" by {pages} pages" if pages > 1 else "")
        raise Unreadable(f"too large: {size} pixels; the limit is {MAX_PIXELS:,}; scale it down or cut it up")
    if rows * columns * pages == 0:
        raise Unreadable("it has no pixels")


def _header(path: Path, picture: pil.Image) -> Json:
    """The header of an opened picture as JSON; nothing is decoded."""
    columns, rows = picture.size
    pages, skipped = _count_pages(picture)
    _limited(rows, columns, pages)
    if _orientation(picture) in _TURNED:
        rows, columns = columns, rows
    deep = _png_is_deep_colour(path) if picture.format == "PNG" else picture.format == "TIFF" and _tiff_is_deep_colour(picture)
    colour = deep or _is_colour(picture)
    wide = deep or picture.mode in _WIDE
    dtype = "uint16" if wide else {"F": "float32", "I": "int32"}.get(picture.mode, "uint8")
    bits = 1 if picture.mode == "1" else np.dtype(dtype).itemsize * 8
    kind = "JPEG" if picture.format == "MPO" else picture.format
    return {
        "rows": rows, "columns": columns, "pages": pages, "skipped": skipped, "colour": colour, "deep": deep,
        "dtype": dtype, "bits": bits, "format": kind,
    }  # fmt: skip


def _count_pages(picture: pil.Image) -> tuple[int, int]:
    """Pages used and pages left aside because their size differs from the first."""
    count = int(getattr(picture, "n_frames", 1)) if picture.format == "TIFF" else 1
    if count == 1:
        return 1, 0
    size, mode, same = picture.size, picture.mode, True
    for page in range(1, count):
        picture.seek(page)
        same = same and (picture.size, picture.mode) == (size, mode)
    picture.seek(0)
    return (count, 0) if same else (1, count - 1)


def _orientation(picture: pil.Image) -> int:
    """EXIF orientation, 1 where none is given before the pixels."""
    if picture.format == "PNG" and "exif" not in picture.info:
        return 1
    return int(picture.getexif().get(_ORIENTATION, 1)) if picture.format != "BMP" else 1


def _png_is_deep_colour(path: Path) -> bool:
    """Whether a PNG has 16-bit colour, which Pillow would cut to 8 bits (IHDR: bit depth, colour type)."""
    with path.open("rb") as file:
        head = file.read(26)
    return head[24] == 16 and head[25] in (2, 6)


def _tiff_is_deep_colour(picture: pil.Image) -> bool:
    """Whether a TIFF has 16-bit colour, which Pillow would cut to 8 bits. Numbers that Pillow misreads are left to tifffile."""
    tags = getattr(picture, "tag_v2", {})
    bits = tuple(tags.get(_BITS_PER_SAMPLE, (1,)))
    if (bits[0], next(iter(tags.get(_SAMPLE_FORMAT, (1,))))) in _MISREAD:
        raise UnidentifiedImageError
    return bits[0] == 16 and len(bits) >= 3


def _is_colour(picture: pil.Image) -> bool:
    if picture.mode in ("P", "PA"):
        palette = np.asarray(picture.getpalette("RGB") or [0, 0, 0]).reshape(-1, 3)
        return bool((palette != palette[:, :1]).any())
    return picture.mode not in ("1", "L", "LA", "La", "I", "F") and picture.mode not in _WIDE


def _pages(picture: pil.Image, count: int) -> list[Array]:
    colour, turn = _is_colour(picture), _orientation(picture) != 1
    pages = []
    for page in range(count):
        if count > 1:
            picture.seek(page)
        shown = _plain(ImageOps.exif_transpose(picture) if turn else picture, colour)
        pages.append(np.array(shown))
    return pages


def _plain(picture: pil.Image, colour: bool) -> pil.Image:
    """RGB, L, F, I or 16-bit grey; transparency blended onto black."""
    if picture.mode in ("F", "I") or picture.mode in _WIDE:
        return picture
    if "A" in picture.mode or "a" in picture.mode or "transparency" in picture.info:
        whole = picture.convert("RGBA")
        ground = pil.new("RGBA", whole.size, (0, 0, 0, 255))
        picture = pil.alpha_composite(ground, whole)
    return picture.convert("RGB" if colour else "L")


def _cv2_pages(path: Path) -> list[Array]:
    """Pages of 16-bit colour as (Y, X, 3) uint16; transparency is blended onto black."""
    done, pages = cv2.imdecodemulti(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if not done:
        raise Unreadable("broken or cut off: its pixels cannot be decoded")
    return [_unblended(np.asarray(page)) for page in pages]


def _unblended(page: Array) -> Array:
    """RGB (Y, X, 3) of a page in OpenCV's order BGR or BGRA."""
    if page.shape[-1] == 4:
        page = np.rint(page[..., :3] * (page[..., 3:].astype(np.float64) / 65535)).astype(np.uint16)
    return np.ascontiguousarray(page[..., ::-1])


def _tiff_header(file: tifffile.TiffFile) -> Json:
    first = file.pages[0]
    same = [page for page in file.pages if page.shape == first.shape and page.dtype == first.dtype]
    pages = len(same) if len(same) == len(file.pages) else 1
    if first.dtype is None or len(first.shape) not in (2, 3) or (len(first.shape) == 3 and first.shape[-1] not in (3, 4)):
        raise Unreadable(f"a TIFF with pages of shape {first.shape}, which is neither a grey nor a colour picture")
    rows, columns = first.shape[:2]
    _limited(rows, columns, pages)
    dtype = np.dtype(first.dtype)
    return {
        "rows": rows, "columns": columns, "pages": pages, "skipped": len(file.pages) - pages, "colour": len(first.shape) == 3,
        "deep": False, "dtype": "float32" if dtype.kind == "f" else dtype.name, "bits": dtype.itemsize * 8, "format": "TIFF",
    }  # fmt: skip


def _tiff_pages(path: Path) -> list[Array]:
    with tifffile.TiffFile(path) as file:
        found = _tiff_header(file)
        pages = [np.asarray(file.pages[index].asarray()) for index in range(found["pages"])]
    plain = [page[..., :3] if page.ndim == 3 else page for page in pages]
    return [page.astype(found["dtype"], copy=False) for page in plain]
