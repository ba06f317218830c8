"""Windows that overlap: together they see everything, and what they say is laid where it belongs."""

import numpy as np
import pytest

from medloop.families import _windows
from medloop.families._windows import sizes_of, starts, through

PATCHES = [(1, 30, 40), (9, 17, 21), (12, 33, 16)]


def says(pixels):
    """The pixels themselves as masks of one class, their means in cells of 4 as centres, and the mean of all as a class."""
    deep = pixels if pixels.ndim == 5 else pixels[:, :, None]
    n, _, z, y, x = deep.shape
    padded = np.pad(deep[:, :1], [(0, 0), (0, 0), (0, 0), (0, -y % 4), (0, -x % 4)], mode="edge").astype(np.float32)
    cells = padded.reshape(n, 1, z, padded.shape[3] // 4, 4, padded.shape[4] // 4, 4).mean(axis=(4, 6))
    masks = np.concatenate([255 - deep[:, :1], deep[:, :1]], axis=1).astype(np.float32)
    found = {"masks": masks, "errors": masks[:, 1:], "centres": cells, "classes": deep.mean(axis=(2, 3, 4))}
    return found if pixels.ndim == 5 else {name: each[:, :, 0] if each.ndim == 5 else each for name, each in found.items()}


def image(shape, count=2):
    ramp = np.add.outer(np.arange(shape[0]) * 3, np.add.outer(np.arange(shape[1]), 2 * np.arange(shape[2])))
    return np.stack([np.stack([(ramp + 7 * number) % 256] * 2) for number in range(count)]).astype(np.uint8)


@pytest.mark.parametrize("shape", PATCHES)
@pytest.mark.parametrize("patch", [(0, 0, 0), (8, 16, 16), (4, 0, 12), (100, 100, 100)])
def test_what_windows_say_is_what_is_there(shape, patch):
    pixels = image(shape)
    found = through(says, pixels, patch, stride=4)
    np.testing.assert_allclose(found["masks"][:, 1], pixels[:, 0], atol=1e-3)
    np.testing.assert_array_equal(found["errors"], found["masks"][:, 1:])
    whole = through(says, pixels, (0, 0, 0), stride=4)
    assert found["centres"].shape == whole["centres"].shape
    np.testing.assert_allclose(found["centres"], whole["centres"], atol=3)
    assert found["classes"].shape == whole["classes"].shape


@pytest.mark.parametrize("side", range(1, 40))
@pytest.mark.parametrize("part", [1, 3, 8])
@pytest.mark.parametrize("stride", [1, 4])
def test_every_pixel_is_seen_and_windows_overlap_by_half(side, part, stride):
    size = sizes_of((1, side, 1), (1, part, 1))
    begins = [y for _, y, _ in starts((1, side, 1), size, stride)]
    assert begins[0] == 0
    assert begins[-1] + size[1] >= side
    assert all(y % stride == 0 for y in begins)
    if part > 2 * stride:
        assert max(np.diff(begins), default=0) <= part / 2 + stride


def test_windows_laid_elsewhere_are_noticed(monkeypatch):
    pixels = image((1, 30, 40))
    monkeypatch.setattr(_windows, "_cut", lambda image, start, size: image[:, : size[0], : size[1], : size[2]])
    found = through(says, pixels, (0, 16, 16), stride=4)
    assert np.abs(found["masks"][:, 1] - pixels[:, 0]).max() > 10
