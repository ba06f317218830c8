"""Pictures of every kind come out as grey or RGB arrays, right way up; what cannot be read says why."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import PIL.Image as pil
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from medloop import readers
from medloop.errors import InputError, Unreadable
from medloop.readers import raster

GREY = np.arange(48, dtype=np.uint8).reshape(6, 8) * 5
COLOUR = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
DEEP = GREY.astype(np.uint16) * 256 + 7


def _read(gather, path: Path):
    (ref,) = gather(path).refs
    image = readers.read(ref)
    assert (image.pixels.shape, image.pixels.dtype.name, image.colour) == (ref.shape, ref.dtype, ref.colour)
    return image.pixels


def _rgb(pixels):
    return pixels[0, :, 0].transpose(1, 2, 0)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
def test_grey_and_colour_are_exact(tmp_path: Path, gather, suffix):
    pil.fromarray(GREY).save(tmp_path / f"g.{suffix}")
    pil.fromarray(COLOUR).save(tmp_path / f"c.{suffix}")
    assert np.array_equal(_read(gather, tmp_path / f"g.{suffix}")[0, 0, 0], GREY)
    assert np.array_equal(_rgb(_read(gather, tmp_path / f"c.{suffix}")), COLOUR)


def test_jpeg(tmp_path: Path, gather):
    pil.fromarray(GREY).save(tmp_path / "g.jpg", quality=95)
    pil.fromarray(COLOUR).convert("CMYK").save(tmp_path / "c.jpg")
    assert np.abs(_read(gather, tmp_path / "g.jpg")[0, 0, 0].astype(int) - GREY).max() < 10
    assert _read(gather, tmp_path / "c.jpg").shape == (1, 3, 1, 6, 8)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_are_kept(tmp_path: Path, gather, suffix):
    pil.fromarray(DEEP).save(tmp_path / f"g.{suffix}")
    pixels = _read(gather, tmp_path / f"g.{suffix}")
    assert pixels.dtype == np.uint16
    assert np.array_equal(pixels[0, 0, 0], DEEP)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bit_colour_is_kept(tmp_path: Path, gather, suffix):
    deep = COLOUR.astype(np.uint16) * 257
    path = tmp_path / f"c.{suffix}"
    if suffix == "png":
        path.write_bytes(cv2.imencode(".png", deep[..., ::-1])[1].tobytes())
    else:
        tifffile.imwrite(path, deep, photometric="rgb")
    pixels = _read(gather, path)
    assert pixels.dtype == np.uint16
    assert np.array_equal(_rgb(pixels), deep)


def test_losing_the_lower_eight_bits_would_be_caught(tmp_path: Path, gather, monkeypatch):
    monkeypatch.setattr(raster, "_png_is_deep_colour", lambda path: False)
    with pytest.raises(AssertionError):
        test_sixteen_bit_colour_is_kept(tmp_path, gather, "png")


def test_one_bit_becomes_black_and_white(tmp_path: Path, gather):
    pil.fromarray(GREY > 100).save(tmp_path / "b.png")
    assert np.array_equal(_read(gather, tmp_path / "b.png")[0, 0, 0], np.where(GREY > 100, 255, 0))


def test_palettes_become_their_colours_and_grey_palettes_grey(tmp_path: Path, gather):
    pil.fromarray(COLOUR).quantize(256, method=pil.Quantize.MEDIANCUT).save(tmp_path / "c.png")
    assert np.abs(_rgb(_read(gather, tmp_path / "c.png")).astype(int) - COLOUR).mean() < 6
    grey = pil.new("P", (8, 6))
    grey.putpalette([value for level in range(256) for value in (255 - level,) * 3])
    grey.putdata(GREY.ravel().tolist())
    grey.save(tmp_path / "g.png")
    assert np.array_equal(_read(gather, tmp_path / "g.png")[0, 0, 0], 255 - GREY)


def test_transparency_is_blended_onto_black(tmp_path: Path, gather):
    alpha = np.full((6, 8, 1), 255, np.uint8)
    alpha[:, :4] = 0
    pil.fromarray(np.concatenate([COLOUR, alpha], axis=2)).save(tmp_path / "t.png")
    pixels = _rgb(_read(gather, tmp_path / "t.png"))
    assert np.array_equal(pixels[:, 4:], COLOUR[:, 4:])
    assert not pixels[:, :4].any()


@pytest.mark.parametrize("turn", range(1, 9))
def test_exif_rotation(tmp_path: Path, gather, turn):
    upright = np.zeros((16, 32, 3), np.uint8)
    upright[:8, :16] = 250
    stored = {
        1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud, 5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1), 7: lambda a: np.rot90(a, 2).transpose(1, 0, 2), 8: lambda a: np.rot90(a, -1),
    }[turn](upright)  # fmt: skip
    exif = pil.Exif()
    exif[0x0112] = turn
    pil.fromarray(np.ascontiguousarray(stored)).save(tmp_path / "r.jpg", exif=exif, quality=95, subsampling=0)
    pixels = _rgb(_read(gather, tmp_path / "r.jpg"))
    assert np.abs(pixels.astype(int) - upright).max() < 20


def test_pages_of_a_tiff_are_slices(tmp_path: Path, gather):
    pages = [pil.fromarray(GREY + n) for n in range(3)]
    pages[0].save(tmp_path / "p.tif", save_all=True, append_images=pages[1:])
    assert np.array_equal(_read(gather, tmp_path / "p.tif")[0, 0], np.stack([GREY + n for n in range(3)]))


def test_pages_of_different_sizes_are_told(tmp_path: Path, gather):
    pages = [pil.fromarray(GREY), pil.fromarray(GREY[:3])]
    pages[0].save(tmp_path / "p.tif", save_all=True, append_images=pages[1:])
    assert _read(gather, tmp_path / "p.tif").shape == (1, 1, 1, 6, 8)
    assert gather(tmp_path).warnings == ("p.tif: its pages have different sizes; only the first is used.",)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "uint32", "int8"])
def test_tiffs_that_only_tifffile_reads(tmp_path: Path, gather, dtype):
    values = GREY.astype(dtype) // 2
    tifffile.imwrite(tmp_path / "a.tif", values)
    assert np.array_equal(_read(gather, tmp_path / "a.tif")[0, 0, 0], values)


def test_one_pixel_and_very_wide_pictures_are_read(tmp_path: Path, gather):
    pil.fromarray(GREY[:1, :1]).save(tmp_path / "dot.png")
    pil.new("L", (30_000, 3), 9).save(tmp_path / "wide.png")
    assert _read(gather, tmp_path / "dot.png").shape == (1, 1, 1, 1, 1)
    assert _read(gather, tmp_path / "wide.png").shape == (1, 1, 1, 3, 30_000)


def _huge_png(path: Path, width: int, height: int) -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("size", [(30_000, 30_000), (9_000, 9_000), (2_000_000, 2_000_000)])
def test_decompression_bombs_are_refused_by_their_header(tmp_path: Path, gather, size):
    _huge_png(tmp_path / "bomb.png", *size)
    with pytest.raises(InputError, match="80,000,000"):
        gather(tmp_path)


def test_the_limit_stands_without_pillows_own(tmp_path: Path, gather, monkeypatch):
    monkeypatch.setattr(pil, "MAX_IMAGE_PIXELS", None)
    _huge_png(tmp_path / "bomb.png", 30_000, 30_000)
    with pytest.raises(InputError, match="30000 by 30000 pixels; the limit is 80,000,000"):
        gather(tmp_path)


def test_a_limit_that_is_not_looked_at_would_be_caught(tmp_path: Path, gather, monkeypatch):
    monkeypatch.setattr(raster, "MAX_PIXELS", 10**12)
    with pytest.raises(pytest.fail.Exception):
        test_the_limit_stands_without_pillows_own(tmp_path, gather, monkeypatch)


def test_a_truncated_picture_says_so_when_read(tmp_path: Path, gather):
    noise = np.random.default_rng(1).integers(0, 256, (64, 64), np.uint8)
    for suffix in ("png", "jpg", "bmp", "tif"):
        path = tmp_path / f"t.{suffix}"
        pil.fromarray(noise).save(path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    found = gather(tmp_path)
    reasons = [str(image) for image in readers.read_many(found.refs) if isinstance(image, Unreadable)]
    assert len(reasons) + len(found.rejected) == 4
    assert all(reason.startswith("broken or cut off") for reason in (*reasons, *(each.reason for each in found.rejected)))


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("e.png", b"", "the file is empty (0 bytes)"),
        ("t.png", b"hello there", "named like PNG, but it is a text file"),
        ("x.jpg", b"\x00\x01\x02" * 50, "named like JPG, but its header is not that of such a file"),
        ("h.png", b"\x89PNG\r\n\x1a\n" + b"\0" * 30, "broken"),
        ("h.bmp", b"BM" + b"\0" * 40, "broken"),
        ("h.tif", b"II*\0" + b"\xff" * 40, "broken"),
        ("h.jpeg", b"\xff\xd8\xff" + b"\0" * 40, "broken"),
    ],
)
def test_what_is_no_picture_says_why(tmp_path: Path, gather, name, content, reason):
    pil.fromarray(GREY).save(tmp_path / "fine.png")
    (tmp_path / name).write_bytes(content)
    (rejected,) = gather(tmp_path).rejected
    assert rejected.path == name
    assert rejected.reason.startswith(reason)


@settings(max_examples=150, deadline=None)
@given(kind=st.sampled_from(["png", "jpg", "bmp", "tif"]), place=st.floats(0, 1), junk=st.binary(min_size=1, max_size=12))
def test_damage_gives_a_picture_or_a_reason(tmp_path_factory, gather, kind, place, junk):
    path = tmp_path_factory.mktemp("damage") / f"a.{kind}"
    pil.fromarray(COLOUR).save(path)
    content = bytearray(path.read_bytes())
    at = int(place * (len(content) - 1))
    content[at : at + len(junk)] = junk
    path.write_bytes(content)
    try:
        (ref,) = gather(path).refs
    except InputError:
        return
    for image in readers.read_many([ref]):
        assert isinstance(image, Unreadable) or image.pixels.size
