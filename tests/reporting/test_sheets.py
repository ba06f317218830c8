"""Images as a person expects to see them."""

import base64
import io

import numpy as np
import pytest
from PIL import Image as Pillow

from medloop.reporting import as_picture, sheets
from medloop.types import Image


def _grey(pixels, **facts):
    return Image(pixels=np.asarray(pixels)[None, None, None], **facts)


def test_bytes_and_colour_are_shown_as_they_are():
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)
    assert (as_picture(_grey(pixels))[..., 1] == pixels).all()
    colour = np.random.default_rng(0).integers(0, 255, (1, 3, 1, 8, 8), dtype=np.uint8)
    assert (as_picture(Image(pixels=colour, colour=True)) == np.moveaxis(colour[0, :, 0], 0, -1)).all()


def test_windows():
    ct = np.array([[-1000, -160], [40, 240]], dtype=np.int16)
    assert as_picture(_grey(ct, modality="CT"))[..., 0].tolist() == [[0, 0], [128, 255]]
    assert as_picture(_grey(ct, modality="CT", window=(-580, 840)))[..., 0].tolist() == [[0, 255], [255, 255]]


@pytest.mark.parametrize(
    "pixels", [np.zeros((4, 4), np.float32), np.full((4, 4), np.nan, np.float32), np.full((4, 4), 7, np.int32)]
)
def test_empty_pictures_do_not_fail(pixels):
    assert as_picture(_grey(pixels)).shape == (4, 4, 3)


def test_large_pictures_are_made_smaller_and_pixels_square():
    assert as_picture(_grey(np.zeros((1000, 500), np.uint8))).shape == (320, 160, 3)
    assert as_picture(_grey(np.zeros((50, 100), np.uint8), spacing_mm=(1.0, 2.0, 1.0))).shape == (100, 100, 3)


def test_volumes_show_three_slices():
    volume = np.zeros((20, 16, 16), np.float32)
    volume[4:16] = np.random.default_rng(0).normal(size=(12, 16, 16))
    shown = as_picture(Image(pixels=volume[None, None]))
    assert shown.shape == (16, 3 * 16 + 2 * 4, 3)
    assert sheets._where(volume) == [7, 10, 12]


def test_slices_are_axial_with_the_right_of_the_patient_on_the_left():
    """A bright spot at the patient's left, front, of a volume stored sagittally and upside down."""
    volume = np.random.default_rng(0).uniform(0, 1, (12, 14, 10)).astype(np.float32)
    volume[9, :, 2] = 50  # axis 0 runs to the left; axis 2 runs to the back
    affine = np.zeros((4, 4))
    affine[0, 2], affine[2, 1], affine[1, 0], affine[3, 3] = 1, -1, 1, 1  # index z to L, y to -S, x to P
    image = Image(pixels=volume[None, None], spacing_mm=(1.0, 1.0, 1.0), affine_lps=affine)
    turned, _ = sheets._radiological(volume, image)
    assert turned.shape == (14, 10, 12)
    assert (turned[:, 2, 9] == 50).all()
    row, column = np.unravel_index(as_picture(image)[:, :12, 0].argmax(), (10, 12))
    assert (row, column) == (2, 9)


def test_shapes_are_shown_from_three_sides():
    volume = np.zeros((8, 8, 8), np.uint8)
    volume[2:6, 2:4, 2:8] = 255
    shown = as_picture(Image(pixels=volume[None, None]))[..., 0]
    assert shown.shape == (8, 8 * 3 + 8)
    assert [int(part.max()) for part in (shown[:, :8], shown[:, 12:20], shown[:, 24:])] == [255, 255, 255]
    assert (shown[:, :8] > 0).sum() == 12


def test_data_uris_hold_the_picture():
    small = np.repeat(np.arange(100, dtype=np.uint8).reshape(10, 10, 1), 3, axis=2)
    kind, content = sheets.data_uri(small).split(",")
    assert kind == "data:image/png;base64"
    with Pillow.open(io.BytesIO(base64.b64decode(content))) as again:
        assert (np.asarray(again) == small[..., 0]).all()
    noise = np.random.default_rng(0).integers(0, 255, (320, 320, 3), dtype=np.uint8)
    assert sheets.data_uri(noise).startswith("data:image/jpeg")


def test_small_pictures_are_shown_at_least_160_pixels_wide_and_high():
    for shape in ((28, 28, 3), (300, 100, 3), (100, 300, 3)):
        shown = sheets.Picture.of(np.zeros(shape, np.uint8), "x", ())
        assert min(shown.width, shown.height) >= 160
        assert shown.width / shown.height == pytest.approx(shape[1] / shape[0], rel=0.02)
