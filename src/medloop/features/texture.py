"""Texture: local binary patterns, grey-level co-occurrence, Gabor energies, at several scales.

Local binary patterns: Ojala, Pietikäinen and Mäenpää, PAMI 2002 (rotation-invariant uniform patterns of 8 neighbours).
Co-occurrence: Haralick, Shanmugam and Dinstein, 1973. Volumes are described by planes across each axis.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from skimage.feature import graycoprops

from medloop.compute import Compute
from medloop.features._contract import Rows, State
from medloop.features._pixels import bytes_of, clean, grey, planes, scaled
from medloop.prepared.arrays import PreparedArrays
from medloop.types import Array

VERSION = 1
_PROPERTIES = ("contrast", "dissimilarity", "homogeneity", "energy", "correlation")
_DIRECTIONS = ((0, 1), (1, 1), (1, 0), (1, -1))
_SMALL = 1e-9
_AT_ONCE = 2**18  # values
_WAVE = 3.0  # pixels from crest to crest of the Gabor filters
_SIDE = 7  # pixels of their kernels


@dataclass(frozen=True)
class Params:
    """``radii``: of the binary patterns, pixels. ``levels``: grey levels of co-occurrence (0: none). ``distances``: of
    co-occurrence, pixels. ``scales``: how many times smaller the picture is made for the Gabor filters. ``regions``:
    everything but co-occurrence for each cell of a grid of so many a side. ``each``: the channels one by one instead of
    grey. ``per_axis``: planes across each axis of a volume."""

    radii: tuple[int, ...] = (1, 2, 3)
    levels: int = 16
    distances: tuple[int, ...] = (1, 2, 4)
    scales: tuple[int, ...] = (1, 2, 4)
    regions: int = 1
    each: bool = False
    per_axis: int = 5


CHOICES: tuple[Params, ...] = (Params(), Params(regions=2), Params(regions=4), Params(each=True))


def suits(arrays: PreparedArrays) -> bool:
    """Images of at least 16 pixels a side that have more than two values."""
    return not arrays.binary and min(arrays.shape[2:]) >= 16


def fit(arrays: PreparedArrays, indices: Array, params: Params, seed: int, compute: Compute) -> dict[str, Array]:
    """Nothing is learnt."""
    del arrays, indices, params, seed, compute
    return {}


def extract(batch: Array, params: Params, state: State) -> Rows:
    """``(N, C, Z, Y, X)`` to ``(N, D)``."""
    del state
    size = max(1, _AT_ONCE // max(1, batch[0].size))
    groups = [batch[start : start + size] for start in range(0, len(batch), size)]
    return clean(np.concatenate([_together(group, params) for group in groups]))


def _together(batch: Array, params: Params) -> Rows:
    pixels = bytes_of(batch)
    channels = [pixels[:, channel : channel + 1] for channel in range(pixels.shape[1])] if params.each else [pixels]
    columns = []
    for channel in channels:
        for cut in planes(grey(channel), params.per_axis):
            count, many, height, width = cut.shape
            rows = _describe(cut.reshape(count * many, height, width), params)
            columns.append(rows.reshape(count, many, -1).mean(1))
    return np.concatenate(columns, axis=1)


def _describe(pictures: Array, params: Params) -> Rows:
    columns = [patterns(pictures, radius, params.regions) for radius in params.radii]
    if params.levels:
        columns.append(_cooccurrence(pictures, params))
    if params.scales:
        columns.append(_gabor(pictures, params))
    return np.concatenate(columns, axis=1)


def patterns(pictures: Array, radius: int, regions: int) -> Rows:
    """Shares of the 10 rotation-invariant uniform patterns in ``(N, Y, X)`` bytes, for each cell of the grid."""
    bits = _neighbours(pictures.astype(np.float32), radius)
    ones = np.zeros(bits[0].shape, np.uint8)
    changes = np.zeros(bits[0].shape, np.uint8)
    for bit, after in zip(bits, [*bits[1:], bits[0]], strict=True):
        ones += bit
        changes += bit != after
    codes = np.where(changes <= 2, ones, 9)
    return _cell_shares(codes, 10, regions)


def _neighbours(pictures: Rows, radius: int) -> list[Array]:
    """Whether each of the 8 neighbours on a circle is at least as bright as its centre; between pixels, bilinear."""
    count, height, width = pictures.shape
    padded = np.pad(pictures, ((0, 0), (radius, radius), (radius, radius)), mode="reflect")
    found = []
    for step in range(8):
        down, right = -radius * np.sin(step * np.pi / 4), radius * np.cos(step * np.pi / 4)
        top, left = int(np.floor(down + _SMALL)), int(np.floor(right + _SMALL))
        part_down, part_right = float(max(down - top, 0)), float(max(right - left, 0))
        value = np.zeros((count, height, width), np.float32)
        for dy, dx, weight in (
            (0, 0, (1 - part_down) * (1 - part_right)),
            (0, 1, (1 - part_down) * part_right),
            (1, 0, part_down * (1 - part_right)),
            (1, 1, part_down * part_right),
        ):
            if weight > 1e-6:
                row, column = radius + top + dy, radius + left + dx
                value += np.float32(weight) * padded[:, row : row + height, column : column + width]
        found.append(value >= pictures - 1e-3)
    return found


def _cell_shares(codes: Array, kinds: int, regions: int) -> Rows:
    count, height, width = codes.shape
    rows = np.minimum(np.arange(height) * regions // height, regions - 1)
    columns = np.minimum(np.arange(width) * regions // width, regions - 1)
    cell = rows[:, None] * regions + columns
    place = (np.arange(count)[:, None, None] * regions**2 + cell) * kinds + codes
    counts = np.bincount(place.ravel(), minlength=count * regions**2 * kinds).reshape(count, regions**2, kinds)
    shares: Rows = (counts / np.maximum(counts.sum(2, keepdims=True), 1)).reshape(count, -1).astype(np.float32)
    return shares


def _cooccurrence(pictures: Array, params: Params) -> Rows:
    """Haralick's measures, averaged over four directions, for each distance."""
    levels = params.levels
    codes = pictures.astype(np.int64) * levels // 256
    columns = []
    for distance in params.distances:
        total = np.zeros((len(pictures), levels, levels))
        for down, right in _DIRECTIONS:
            total += _pairs(codes, down * distance, right * distance, levels)
        total += total.transpose(0, 2, 1)
        total /= np.maximum(total.sum((1, 2), keepdims=True), 1)
        matrix = np.ascontiguousarray(total.transpose(1, 2, 0))[..., None]
        columns += [graycoprops(matrix, name)[:, 0] for name in _PROPERTIES]
        columns.append(-(total * np.log2(np.maximum(total, 1e-12))).sum((1, 2)))
    return np.column_stack(columns).astype(np.float32)


def _pairs(codes: Array, down: int, right: int, levels: int) -> Array:
    """Counts ``(N, levels, levels)`` of pairs of pixels so far apart."""
    count, height, width = codes.shape
    down, right = min(down, height - 1), int(np.sign(right)) * min(abs(right), width - 1)
    here = codes[:, : height - down, max(0, -right) : width - max(0, right)]
    there = codes[:, down:, max(0, right) : width - max(0, -right)]
    place = (np.arange(count)[:, None, None] * levels + here) * levels + there
    counts: Array = np.bincount(place.ravel(), minlength=count * levels**2).reshape(count, levels, levels).astype(float)
    return counts


def _gabor(pictures: Array, params: Params) -> Rows:
    """Mean and deviation of the size of each filter's answer, in each cell of the grid, in each direction, at each scale."""
    found = []
    for picture in pictures.astype(np.float32) / 255:
        row: list[float] = []
        for scale in params.scales:
            height, width = (max(_SIDE, side // scale) for side in picture.shape)
            row += _answers(scaled(picture, width, height), params.regions)
        found.append(row)
    return np.array(found, np.float32)


def _answers(picture: Rows, regions: int) -> list[float]:
    numbers: list[float] = []
    for even, odd in _BANK:
        size = cv2.magnitude(cv2.filter2D(picture, -1, even), cv2.filter2D(picture, -1, odd))
        for band in np.array_split(size, regions, axis=0):
            for cell in np.array_split(band, regions, axis=1):
                mean, deviation = cv2.meanStdDev(cell)
                numbers += [float(mean[0, 0]), float(deviation[0, 0])]
    return numbers


def _kernel(angle: float) -> tuple[Rows, Rows]:
    """Even and odd Gabor filter without response to an even grey."""
    pair = [cv2.getGaborKernel((_SIDE, _SIDE), _WAVE / 2, angle, _WAVE, 1.0, phase, cv2.CV_32F) for phase in (0.0, np.pi / 2)]
    even, odd = (kernel - kernel.mean() for kernel in pair)
    weight = float(np.abs(even).sum())
    return even / weight, odd / weight


_BANK = tuple(_kernel(turn * np.pi / 4) for turn in range(4))
