"""Scale-invariant features (Lowe, IJCV 2004) told in a learnt vocabulary.

Described on a regular grid at several sizes (``dense``) or where OpenCV detects something (``detected``). Small pictures are
scaled up first. Volumes are described by a few planes across each axis, and all planes of a volume speak together.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from medloop.compute import Compute
from medloop.errors import InputError
from medloop.features import _dense
from medloop.features._contract import Part, Rows, State, alive, read
from medloop.features._pixels import bytes_of, clean, grey, planes, scaled
from medloop.features._vocabulary import ENCODINGS, encode, learn, normalised
from medloop.prepared.arrays import PreparedArrays
from medloop.types import Array

VERSION = 1
_SAMPLE = 60_000
_IMAGES = 1_500
_GROUP = 16


@dataclass(frozen=True)
class Params:
    """``where``: dense or detected. ``side``: pixels of the longer side after scaling (0: as it is). ``step``, ``sizes``:
    of the dense grid, pixels. ``most``: keypoints detected a plane. ``channels``: grey, each or opponent. ``root``:
    Hellinger (Arandjelović and Zisserman, CVPR 2012). ``encoding``: bovw, vlad or fisher, with ``words`` words on
    ``components`` axes (0: all 128). ``levels``: cells a side of each level of the spatial pyramid. ``power``: signed
    square root. ``per_axis``: planes across each axis of a volume."""

    where: str = "dense"
    side: int = 112
    step: int = 8
    sizes: tuple[float, ...] = (4.0, 8.0)
    most: int = 300
    channels: str = "grey"
    root: bool = True
    encoding: str = "vlad"
    words: int = 32
    components: int = 64
    levels: tuple[int, ...] = (1,)
    power: bool = True
    per_axis: int = 3


CHOICES: tuple[Params, ...] = (
    Params(),
    Params(levels=(1, 2)),
    Params(encoding="fisher", words=16),
    Params(encoding="bovw", words=256, levels=(1, 2)),
    Params(where="detected", encoding="vlad"),
    Params(encoding="fisher", words=16, channels="opponent"),
)


def suits(arrays: PreparedArrays) -> bool:
    """Images of at least 16 pixels a side that have more than two values."""
    return not arrays.binary and min(arrays.shape[2:]) >= 16


def fit(arrays: PreparedArrays, indices: Array, params: Params, seed: int, compute: Compute) -> dict[str, Array]:
    """The vocabulary, from descriptors drawn by ``seed`` from at most 1,500 of the images."""
    if params.encoding not in ENCODINGS:
        raise InputError(
            "bad-feature", got=f"Encoding '{params.encoding}'.", allowed=f"{', '.join(ENCODINGS)}.", fix="Mend the recipe."
        )
    draw = np.random.default_rng(seed)
    chosen = np.asarray(indices)[np.sort(draw.permutation(len(indices))[:_IMAGES])]
    each = max(8, _SAMPLE // max(len(chosen), 1))
    cuts = [chosen[start : start + 32] for start in range(0, len(chosen), 32)]
    jobs = ((tuple(arrays.locate(cut)), params, each, seed) for cut in cuts)
    found = [alive(part, "sift") for part in compute.map(_sample, jobs, label="SIFT vocabulary", total=len(cuts))]
    sample = np.concatenate([*found, np.zeros((0, 128), np.float32)])
    if len(sample) < 2:
        sample = np.zeros((2, 128), np.float32)
    return learn(sample, params.encoding, params.words, params.components, seed)


def _sample(job: tuple[tuple[Part, ...], Params, int, int]) -> Rows:
    parts, params, each, seed = job
    batch = read(parts)
    kept = []
    for found in _described(batch, params):
        descriptors = found[0]
        draw = np.random.default_rng([seed, len(descriptors)]).permutation(len(descriptors))[:each]
        kept.append(descriptors[np.sort(draw)])
    return np.concatenate(kept)


def extract(batch: Array, params: Params, state: State) -> Rows:
    """``(N, C, Z, Y, X)`` to ``(N, D)``."""
    groups = [batch[start : start + _GROUP] for start in range(0, len(batch), _GROUP)]
    return clean(np.concatenate([_said(group, params, state) for group in groups]))


def _said(batch: Array, params: Params, state: State) -> Rows:
    found = _described(batch, params)
    descriptors = np.concatenate([descriptors for descriptors, _ in found])
    places = np.concatenate([places for _, places in found])
    images = np.repeat(np.arange(len(found)), [len(descriptors) for descriptors, _ in found])
    columns = []
    for level in params.levels:
        cell = np.minimum((places * level).astype(np.int64), level - 1)
        owners = images * level**2 + cell[:, 1] * level + cell[:, 0]
        order = slice(None) if level == 1 else np.argsort(owners, kind="stable")
        said = encode(descriptors[order], owners[order], len(found) * level**2, params.encoding, state)
        columns.append(_finished(said, len(found), params))
    return np.concatenate(columns, axis=1)


def _finished(said: Rows, count: int, params: Params) -> Rows:
    """Histograms that sum to 1 in each cell (their root with ``power``), other encodings with power and unit length an image."""
    if params.encoding == "bovw":
        shares = said / np.maximum(said.sum(1, keepdims=True), 1)
        histograms: Rows = (np.sqrt(shares) if params.power else shares).reshape(count, -1)
        return histograms
    return normalised(normalised(said, params.power).reshape(count, -1), False)


def _described(batch: Array, params: Params) -> list[tuple[Rows, Rows]]:
    """For each image its descriptors ``(M, 128)`` and their places ``(M, 2)``, x and y from 0 to 1."""
    stacks = [cut for channel in _channels(batch, params.channels) for cut in planes(channel, params.per_axis)]
    found = [_stack(stack, params) for stack in stacks]
    together = []
    for image in range(len(batch)):
        descriptors = np.concatenate([part[image][0] for part in found])
        places = np.concatenate([part[image][1] for part in found])
        together.append((_rooted(descriptors) if params.root else descriptors, places))
    return together


def _stack(stack: Array, params: Params) -> list[tuple[Rows, Rows]]:
    """Descriptors and places of all planes ``(N, P, h, w)`` of each image."""
    count, many, height, width = stack.shape
    share = params.side / max(height, width) if params.side else 1.0
    height, width = max(8, round(height * share)), max(8, round(width * share))
    pictures = [scaled(picture, width, height) for picture in stack.reshape(count * many, *stack.shape[2:])]
    if params.where == "dense":
        descriptors, places = _dense.describe(np.stack(pictures), params.step, params.sizes)
        return [(part, np.tile(places, (many, 1))) for part in descriptors.reshape(count, -1, 128)]
    detector = cv2.SIFT.create(nfeatures=params.most)
    parts = [_detected(picture, detector) for picture in pictures]
    owned = [parts[start : start + many] for start in range(0, len(parts), many)]
    return [(np.concatenate([part[0] for part in own]), np.concatenate([part[1] for part in own])) for own in owned]


def _detected(picture: Array, detector: cv2.SIFT) -> tuple[Rows, Rows]:
    points, descriptors = detector.detectAndCompute(picture, None)
    if descriptors is None:
        return np.zeros((0, 128), np.float32), np.zeros((0, 2), np.float32)
    places = cv2.KeyPoint.convert(points) / np.array(picture.shape[::-1], np.float32)
    return descriptors / np.float32(512), np.clip(places, 0, 1)


def _rooted(descriptors: Rows) -> Rows:
    rooted: Rows = np.sqrt(descriptors / np.maximum(descriptors.sum(1, keepdims=True), 1e-6))
    return rooted


def _channels(batch: Array, channels: str) -> list[Array]:
    """Byte volumes ``(N, Z, Y, X)`` to describe: grey, each channel, or grey with red-green and yellow-blue."""
    if channels == "grey" or batch.shape[1] == 1:
        return [grey(batch)]
    pixels = bytes_of(batch)
    if channels == "each" or batch.shape[1] != 3:
        return [np.ascontiguousarray(pixels[:, channel]) for channel in range(batch.shape[1])]
    red, green, blue = (pixels[:, channel].astype(np.int16) for channel in range(3))
    opposed = ((red - green + 255) // 2, ((red + green) // 2 - blue + 255) // 2)
    return [grey(batch), *(part.astype(np.uint8) for part in opposed)]
