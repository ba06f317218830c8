import io

import numpy as np
import pytest
from PIL import Image as Pillow

from medloop.types import UNKNOWN
from medloop.writers import png


def opened(content):
    return Pillow.open(io.BytesIO(content))


def test_values_of_the_mask_files_come_back():
    mask = np.array([[0, 1, 2], [2, 1, 0]], np.uint8)
    picture = opened(png.mask_bytes(mask, (0, 128, 255)))
    assert picture.mode == "L"
    assert np.array_equal(np.asarray(picture), [[0, 128, 255], [255, 128, 0]])


def test_without_values_the_pixels_are_the_classes_and_shown_in_colours():
    mask = np.arange(12, dtype=np.uint8).reshape(3, 4)
    mask[2, 3] = UNKNOWN
    picture = opened(png.mask_bytes(mask))
    assert np.array_equal(np.asarray(picture), mask)
    shown = np.asarray(picture.convert("RGB"))
    assert tuple(shown[0, 0]) == (0, 0, 0)
    assert len(np.unique(shown[:2].reshape(-1, 3), axis=0)) == 8
    assert tuple(shown[2, 3]) == (128, 128, 128)


@pytest.mark.parametrize("values", [(0, 128), (0, 300, 5)])
def test_values_that_do_not_fit_are_refused(values):
    with pytest.raises(ValueError, match=r"class|greys"):
        png.mask_bytes(np.array([[0, 2]], np.uint8), values)


def test_a_volume_is_refused():
    with pytest.raises(ValueError, match="flat"):
        png.mask_bytes(np.zeros((2, 3, 4), np.uint8))


def test_colours_of_the_mask_files_come_back():
    mask = np.array([[0, 1, 2]], np.uint8)
    picture = opened(png.mask_bytes(mask, (0, 0x1FF0000, 200)))
    assert np.array_equal(np.asarray(picture), [[[0, 0, 0], [255, 0, 0], [200, 200, 200]]])


def test_a_map_is_written_as_greys():
    steps = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
    picture = opened(png.map_bytes(steps))
    assert picture.mode == "L"
    assert np.array_equal(np.asarray(picture), steps)
    with pytest.raises(ValueError, match="flat"):
        png.map_bytes(steps[None])
