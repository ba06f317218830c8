"""Pixels made up on the spot are read like stored ones, in this process and in others."""

import numpy as np
import pytest

from medloop.compute import Compute
from medloop.prepared.canvas import Canvas


def first_pixels(arrays):
    return arrays.take(np.arange(len(arrays)))[:, 0, 0, 0, 0].tolist()


@pytest.mark.parametrize("workers", [0, 1])
def test_made_up_pixels_are_read_also_when_the_canvas_is_used_again(stored_arrays, workers):
    stored = stored_arrays(np.zeros((3, 2, 1, 4, 5), np.uint8), spacing_mm=(1.0, 2.0, 3.0))
    with Compute(workers) as compute, Canvas(stored, 4) as canvas:
        keys = set()
        for count, start in ((4, 10), (2, 20), (4, 30)):
            pixels = np.broadcast_to(np.arange(start, start + count, dtype=np.uint8).reshape(-1, 1, 1, 1, 1), (count, 2, 1, 4, 5))
            shown = canvas.show(pixels, np.zeros(count, np.int64))
            assert first_pixels(shown) == list(range(start, start + count))
            assert list(compute.map(first_pixels, [shown])) == [list(range(start, start + count))]
            assert shown.spacing_mm == (1.0, 2.0, 3.0)
            keys.add(shown.key)
        assert len(keys) == 3
        folder = shown.paths[0].parent
    assert not folder.exists()


def test_images_keep_the_kind_of_the_rows_they_are_like(stored_arrays):
    shapes = stored_arrays(np.arange(16).reshape(4, 1, 1, 2, 2).astype(np.uint8) % 2)
    with Canvas(shapes, 2) as canvas:
        assert canvas.show(np.zeros((2, 1, 1, 2, 2), np.uint8), np.array([1, 3])).binary
