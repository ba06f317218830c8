"""What a browser is sent leads back to the image's own numbers."""

from __future__ import annotations

import numpy as np
import pytest

from medloop import readers
from medloop.types import Image, ImageRef
from medloop.web import decoded as module
from medloop.web.decoded import decoded, key

REF = ImageRef(name="x", reader="raster", files=("x",), digest="d")


def sent(monkeypatch, tmp_path, pixels, **facts):
    monkeypatch.setattr(readers, "read", lambda ref: Image(pixels, **facts))
    return decoded(tmp_path, REF)


def back(image):
    """The image's own numbers from all slabs."""
    t, _, z, y, x = image.about.shape
    places = [(time, channel) for time in range(t) for channel in range(image.pixels.shape[1])]
    slabs = range(-(-z // image.about.slab))
    parts = [b"".join(image.slab(*place, slab) for slab in slabs) for place in places]
    shape = (z, y, x, 3) if image.about.colour else (z, y, x)
    values = np.array([np.frombuffer(each, image.about.dtype) for each in parts]).reshape(t, -1, *shape)
    return values * image.about.slope + image.about.intercept


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", ">i2"])
def test_whole_numbers_of_16_bits_come_as_they_are(monkeypatch, tmp_path, dtype):
    rng = np.random.default_rng(0)
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    pixels = rng.integers(low, high, (2, 2, 3, 4, 5), endpoint=True).astype(dtype)
    image = sent(monkeypatch, tmp_path, pixels, modality="CT", window=(40, 400))
    assert np.array_equal(back(image), pixels)
    assert image.about.window == (40, 400)


def test_numbers_beyond_16_bits_come_within_a_step(monkeypatch, tmp_path):
    pixels = np.random.default_rng(0).normal(0, 1000, (1, 1, 3, 8, 8)).astype(np.float32)
    pixels[0, 0, 0, 0, 0] = np.nan
    image = sent(monkeypatch, tmp_path, pixels, modality="MR")
    step = (np.nanmax(pixels) - np.nanmin(pixels)) / 65535
    assert np.nanmax(np.abs(back(image) - pixels)) <= 0.51 * step
    assert np.nanmin(pixels) < image.about.window[0] < np.nanmax(pixels)


def test_whole_numbers_that_fit_are_only_moved(monkeypatch, tmp_path):
    pixels = np.arange(70_000, 70_060, dtype=np.int32).reshape(1, 1, 1, 6, 10)
    assert np.array_equal(back(sent(monkeypatch, tmp_path, pixels)), pixels)


def test_colour_comes_pixel_by_pixel(monkeypatch, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (1, 3, 1, 4, 5), dtype=np.uint8)
    found = back(sent(monkeypatch, tmp_path, pixels, colour=True))
    assert np.array_equal(np.moveaxis(found[0, 0, 0], -1, 0), pixels[0, :, 0])


def test_slabs_cover_a_deep_volume_once(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "_SLAB_BYTES", 200)
    pixels = np.arange(1 * 1 * 7 * 8 * 8, dtype=np.int16).reshape(1, 1, 7, 8, 8)
    image = sent(monkeypatch, tmp_path, pixels)
    assert image.about.slab == 1
    assert np.array_equal(back(image), pixels)
    assert image.slab(0, 0, 7) is None
    assert image.slab(1, 0, 0) is None


def test_an_image_is_read_once(monkeypatch, tmp_path):
    pixels = np.zeros((1, 1, 1, 4, 4), np.uint8)
    sent(monkeypatch, tmp_path, pixels)
    monkeypatch.setattr(readers, "read", lambda ref: pytest.fail("read again"))
    assert decoded(tmp_path, REF).about.shape == (1, 1, 1, 4, 4)


def test_other_content_has_another_key():
    assert (
        len({key(REF), key(ImageRef(name="x", reader="raster", files=("x",), digest="e")), key(ImageRef("x", "raster", ("y",)))})
        == 3
    )


def test_a_slice_is_turned_so_that_the_front_is_above(monkeypatch, tmp_path):
    turned = np.diag([-1.0, -1.0, 1.0, 1.0])
    image = sent(monkeypatch, tmp_path, np.zeros((1, 1, 2, 4, 4), np.int16), affine_lps=turned)
    assert image.about.flip == (True, True)
