"""Large images seen through windows that overlap: what is said of each is laid together, the middle of a window counts most.

As nnU-Net does (Isensee et al., Nature Methods 2021): windows overlap by half, answers are weighted by a Gaussian about the
window's middle. Memory is that of one image's answers and of one window's maps.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from medloop.types import Array, Floats

Patch = tuple[int, int, int]
Run = Callable[[Array], Mapping[str, Array]]
"""Pixels ``(n, C, Y, X)`` or ``(n, C, Z, Y, X)`` uint8 to answers by name."""
_OF_PLACES = ("masks", "errors", "centres", "sizes")
_OF_PIXELS = ("masks", "errors")
_SPREAD = 8
_FAINTEST = 1e-3


def through(run: Run, pixels: Array, patch: Patch, stride: int = 1) -> Mapping[str, Array]:
    """What the network says of images ``(n, C, Z, Y, X)``; places always have a slice axis: ``(n, K, Z, Y, X)``.

    ``patch``: ``(z, y, x)`` at most at once, 0 for the whole side. ``stride``: pixels between cells of ``centres`` and ``sizes``.
    """
    size = sizes_of(pixels.shape[2:], patch)
    if size == pixels.shape[2:]:
        return _said(run, pixels)
    found = [_one(run, image, size, stride) for image in pixels]
    return {name: np.stack([each[name] for each in found]) for name in found[0]}


def sizes_of(shape: Sequence[int], patch: Patch) -> Patch:
    """Of the windows, ``(z, y, x)``."""
    z, y, x = (min(part or side, side) for part, side in zip(patch, shape, strict=True))
    return z, y, x


def starts(shape: Sequence[int], size: Patch, stride: int = 1) -> list[tuple[int, int, int]]:
    """Where windows begin: evenly spread, half a window apart or less, the last one at the border; in y and x at whole strides."""
    steps = (1, stride, stride)
    along = [_starts(side, part, step) for side, part, step in zip(shape, size, steps, strict=True)]
    return [(z, y, x) for z, y, x in itertools.product(*along)]


def _starts(side: int, part: int, step: int) -> list[int]:
    room = side - part
    count = 1 if room <= 0 else -(-room * 2 // part) + 1
    found = {round(room * number / max(count - 1, 1)) // step * step for number in range(count)}
    return sorted(found | ({-(-room // step) * step} if room > 0 else set()))


def _said(run: Run, pixels: Array) -> dict[str, Array]:
    flat = pixels.shape[2] == 1
    said = run(pixels[:, :, 0] if flat else pixels)
    return {name: each[:, :, None] if flat and name in _OF_PLACES else each for name, each in said.items()}


def _one(run: Run, image: Array, size: Patch, stride: int) -> dict[str, Array]:
    """One image ``(C, Z, Y, X)``. A window that reaches beyond the border, by less than a stride, sees the border repeated."""
    sums: dict[str, Floats] = {}
    weights: dict[str, Floats] = {}
    places = starts(image.shape[1:], size, stride)
    for z, y, x in places:
        for name, said in _said(run, _cut(image, (z, y, x), size)[None]).items():
            value = np.asarray(said[0], np.float32)
            if name not in _OF_PLACES:
                sums[name] = sums.get(name, np.zeros_like(value)) + value / len(places)
                continue
            cells = 1 if name in _OF_PIXELS else stride
            if name not in sums:
                shape = (image.shape[1], *(-(-side // cells) for side in image.shape[2:]))
                sums[name], weights[name] = np.zeros((len(value), *shape), np.float32), np.zeros(shape, np.float32)
            there = tuple(slice(at, at + side) for at, side in zip((z, y // cells, x // cells), value.shape[1:], strict=True))
            part = tuple(slice(0, side) for side in weights[name][there].shape)
            weight = _weight(value.shape[1:])[part]
            sums[name][(slice(None), *there)] += value[(slice(None), *part)] * weight
            weights[name][there] += weight
    return {name: each / weights[name] if name in weights else each for name, each in sums.items()}


def _cut(image: Array, start: tuple[int, int, int], size: Patch) -> Array:
    """``(C, *size)``."""
    found = image[(slice(None), *(slice(at, at + part) for at, part in zip(start, size, strict=True)))]
    lacking = [part - side for part, side in zip(size, found.shape[1:], strict=True)]
    return np.pad(found, [(0, 0), *((0, each) for each in lacking)], mode="edge") if any(lacking) else found


def _weight(shape: Sequence[int]) -> Floats:
    """``(z, y, x)``: 1 in the middle, next to nothing in the corners."""
    weight = np.ones(tuple(shape), np.float32)
    for axis, side in enumerate(shape):
        away = (np.arange(side) + 0.5 - side / 2) / max(side / _SPREAD, 1e-6)
        weight *= np.exp(-(away**2) / 2).reshape([-1 if each == axis else 1 for each in range(len(shape))])
    return np.maximum(weight, _FAINTEST).astype(np.float32)


def chunks(count: int, size: int) -> Iterator[slice]:
    """So many at a time."""
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))
