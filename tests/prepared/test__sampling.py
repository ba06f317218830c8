"""Voxels at the places of another grid; SciPy, asked point by point, is the judge."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from medloop.prepared import _sampling

SHAPE = st.tuples(st.integers(1, 7), st.integers(1, 9), st.integers(1, 11))


def places(matrix: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """``(3, Z, Y, X)``: ``z, y, x`` in the old grid of each new voxel."""
    z, y, x = np.indices(shape, np.float64)
    return np.einsum("ij,j...->i...", matrix, np.stack([x, y, z, np.ones_like(x)]))[2::-1]


def asked(pixels: np.ndarray, matrix: np.ndarray, shape: tuple[int, ...], order: int, outside: float) -> np.ndarray:
    at = places(matrix, shape)
    size = np.array(pixels.shape).reshape(3, 1, 1, 1)
    inside = ((at >= -0.5) & (at <= size - 0.5)).all(axis=0)
    values = ndimage.map_coordinates(pixels, np.clip(at, 0, size - 1), order=order, mode="nearest")
    return np.where(inside, values, outside)


@st.composite
def parallel(draw) -> np.ndarray:
    """Axes swapped, flipped, scaled and shifted; places never lie on a tie."""
    order = draw(st.permutations([0, 1, 2]))
    matrix = np.eye(4)
    matrix[:3, :3] = np.eye(3)[list(order)] * [
        draw(st.sampled_from([-1, 1])) * draw(st.sampled_from([0.37, 1.0, 2.61])) for _ in "xyz"
    ]
    matrix[:3, 3] = [draw(st.integers(-3, 9)) + 0.1234 for _ in "xyz"]
    return matrix


@settings(max_examples=80, deadline=None)
@given(old=SHAPE, new=SHAPE, matrix=parallel(), seed=st.integers(0, 9))
def test_parallel_grids(old, new, matrix, seed) -> None:
    pixels = np.random.default_rng(seed).integers(1, 200, old)
    assert _sampling._lines(matrix, old, new) is not None
    np.testing.assert_array_equal(_sampling.nearest(pixels, matrix, new, 7), asked(pixels, matrix, new, 0, 7))
    values = pixels.astype(np.float32)
    np.testing.assert_allclose(_sampling.linear(values, matrix, new, -1.0), asked(values, matrix, new, 1, -1.0), atol=1e-3)


def test_turned_grids() -> None:
    rng = np.random.default_rng(3)
    pixels = rng.integers(1, 200, (9, 11, 13))
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = turn * 0.8, (6, 5, 4) - turn @ (3.2, 3.2, 3.2)
    new = (8, 9, 10)
    assert _sampling._lines(matrix, pixels.shape, new) is None
    np.testing.assert_array_equal(_sampling.nearest(pixels, matrix, new, 7), asked(pixels, matrix, new, 0, 7))
    values = pixels.astype(np.float32)
    np.testing.assert_allclose(_sampling.linear(values, matrix, new, -1.0), asked(values, matrix, new, 1, -1.0), atol=1e-3)


def test_of_two_equally_near_voxels_the_lower_one() -> None:
    halved = np.diag([2.0, 1, 1, 1])
    halved[0, 3] = 0.5
    np.testing.assert_array_equal(_sampling.nearest(np.arange(6).reshape(1, 1, 6), halved, (1, 1, 3)), [[[0, 2, 4]]])


@pytest.mark.parametrize("dtype", ["uint8", "int32", "bool"])
def test_labels_keep_their_type(dtype: str) -> None:
    pixels = np.ones((2, 3, 4), dtype)
    assert _sampling.nearest(pixels, np.eye(4), (3, 3, 5)).dtype == pixels.dtype
    assert _sampling.nearest(pixels, np.eye(4), (2, 3, 4)) is not pixels
