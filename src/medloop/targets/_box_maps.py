"""Boxes as maps that a network can learn, and back: where centres lie, and how far the edges are from there.

As CenterNet (Zhou et al. 2019) and TTFNet (Liu et al., AAAI 2020): every box is a Gaussian hill on the map of its class, wider
along its longer side; edges are learnt all over the hill's top, so that few steps teach much.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter
from scipy.special import expit

from medloop.evaluation.rectangles import Boxes, volumes
from medloop.targets._box_solid import in_slice
from medloop.types import Array, Floats

MOST = 100
"""Candidates of one class in one picture."""
_WIDTH = 0.54 / 6
"""Standard deviation of a hill over the box's side, as TTFNet."""
_NARROWEST = 0.4
_REACH = 3.0
_LEAST = 0.01


@dataclass(frozen=True, slots=True, eq=False)
class BoxMaps:
    """What a network should say of N pictures, or of the slices of N volumes, with K classes.

    ``centres``: ``(N, K, [Z,] y, x)`` from 0 to 1, 1 at the cell of a centre. ``sizes``: ``(N, 4, [Z,] y, x)``, from the cell's
    middle to the upper, left, lower and right edge, in pixels of the input. ``weights``: ``(N, [Z,] y, x)``, how much a cell's
    sizes count; each box counts the same in a slice. ``known``: ``(N,)``. All float32 but ``known``.
    """

    centres: Floats
    sizes: Floats
    weights: Floats
    known: NDArray[np.bool_]


def encode(boxes: Sequence[Boxes], known: Array, classes: int, shape: Sequence[int], stride: int) -> BoxMaps:
    """Maps of ``shape`` ``(y, x)`` cells of ``stride`` pixels for pictures, ``(Z, y, x)`` for volumes, slice by slice.

    A box whose centre lies outside is left out.
    """
    count = len(boxes)
    maps = BoxMaps(
        np.zeros((count, classes, *shape), np.float32),
        np.zeros((count, 4, *shape), np.float32),
        np.zeros((count, *shape), np.float32),
        np.asarray(known, bool),
    )
    for place in range(count):
        if not maps.known[place]:
            continue
        if len(shape) == 2:
            _draw(boxes[place], (maps.centres[place], maps.sizes[place], maps.weights[place]), stride)
            continue
        for z in range(shape[0]):
            _draw(in_slice(boxes[place], z), (maps.centres[place, :, z], maps.sizes[place, :, z], maps.weights[place, z]), stride)
    return maps


def _draw(boxes: Boxes, maps: tuple[Floats, Floats, Floats], stride: int) -> None:
    """Onto centres, sizes and weights. Larger boxes first: where hills meet, a cell's sizes are those of the smaller box."""
    centres, all_sizes, weights = maps
    rows, columns = weights.shape
    for number in np.argsort(-volumes(boxes.edges), kind="stable"):
        y0, x0, y1, x1 = boxes.edges[number, [1, 2, 4, 5]]
        cell_y, cell_x = int((y0 + y1) / 2 // stride), int((x0 + x1) / 2 // stride)
        if not (0 <= cell_y < rows and 0 <= cell_x < columns):
            continue
        hill_y = _hill(rows, cell_y, (y1 - y0) / stride)
        hill_x = _hill(columns, cell_x, (x1 - x0) / stride)
        hill = hill_y[:, None] * hill_x[None, :]
        centre = centres[boxes.classes[number]]
        np.maximum(centre, hill, out=centre)
        top = hill > _LEAST
        at_y, at_x = (np.arange(rows) + 0.5) * stride, (np.arange(columns) + 0.5) * stride
        sizes = np.broadcast_arrays((at_y - y0)[:, None], (at_x - x0)[None], (y1 - at_y)[:, None], (x1 - at_x)[None])
        top &= np.min(sizes, axis=0) > 0
        top[cell_y, cell_x] = True
        all_sizes[:, top] = np.stack(sizes)[:, top]
        weights[top] = (hill / hill[top].sum())[top]


def _hill(cells: int, middle: int, side: float) -> Floats:
    deviation = max(_WIDTH * side, _NARROWEST)
    apart = (np.arange(cells) - middle) / deviation
    return np.asarray(np.where(np.abs(apart) <= _REACH, np.exp(-(apart**2) / 2), 0))


def decode(centres: Floats, sizes: Floats, stride: int, shape: tuple[int, int], most: int = MOST) -> Boxes:
    """Candidates in one flat picture of ``shape`` ``(Y, X)`` pixels, best first: the ``most`` highest peaks of every class.

    ``centres``: ``(K, Y/s, X/s)`` logits. ``sizes``: ``(4, Y/s, X/s)`` as in `BoxMaps`. Of a hill only the top stays; what still
    overlaps is for `Cleaning`.
    """
    centres = np.asarray(centres, np.float32)
    peaks = centres == maximum_filter(centres, (1, 3, 3), mode="nearest")
    found = [_highest(centres[k], peaks[k], most) for k in range(len(centres))]
    classes = np.repeat(np.arange(len(centres)), [len(each) for each in found])
    cells = np.concatenate(found)
    scores = expit(centres.reshape(len(centres), -1)[classes, cells].astype(np.float64))
    up, left, down, right = sizes.reshape(4, -1)[:, cells].astype(np.float64)
    row, column = np.divmod(cells, centres.shape[2])
    at_y, at_x = (row + 0.5) * stride, (column + 0.5) * stride
    y0, y1 = np.clip(at_y - up, 0, shape[0]), np.clip(at_y + down, 0, shape[0])
    x0, x1 = np.clip(at_x - left, 0, shape[1]), np.clip(at_x + right, 0, shape[1])
    nothing, one = np.zeros(len(cells)), np.ones(len(cells))
    boxes = Boxes.of(np.stack([nothing, y0, x0, one, y1, x1], axis=1), classes, scores)
    return boxes.select(np.flatnonzero(volumes(boxes.edges) > 0)).ranked()


def _highest(centres: Floats, peaks: Array, most: int) -> NDArray[np.int64]:
    cells = np.flatnonzero(peaks)
    if len(cells) > most:
        heights = centres.reshape(-1)[cells]
        cells = cells[np.argsort(-heights, kind="stable")[:most]]
    return np.asarray(cells, np.int64)
