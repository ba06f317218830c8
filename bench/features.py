"""Speed of HOG, and of SIFT told in a learnt vocabulary, against the usual libraries on the same pictures.

Pictures are generated: 224×224, like chest X-rays in their frequencies, not in their content. Worker processes are started
and fed once before the clock starts (a run of thousands of pictures pays about two seconds for that once; not counted here).
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from skimage.feature import hog as skimage_hog

from bench.core import Row, seconds
from medloop import features
from medloop.compute import Compute
from medloop.features import Feature, hog, sift
from medloop.prepared import PreparedArrays, RowKind
from medloop.types import Array

_SIDE = 224
_CELL = 16
_WORKERS = 2
_KEYPOINTS = 500
_SIZES = (4.0, 8.0)


def pictures(count: int, seed: int) -> Array:
    """``(N, 224, 224)`` bytes: two lungs, ribs, a heart and noise of every scale, different in each."""
    draw = np.random.default_rng(seed)
    down, across = np.mgrid[-1 : 1 : _SIDE * 1j, -1 : 1 : _SIDE * 1j]
    made = np.empty((count, _SIDE, _SIDE), np.uint8)
    for place in range(count):
        left, right, heart = draw.uniform(0.9, 1.1, (3, 4))
        body = 0.9 - 0.3 * (across**2 + 0.3 * down**2)
        for side, shape in ((-0.45, left), (0.45, right)):
            lung = ((across - side * shape[0]) / 0.33 / shape[1]) ** 2 + ((down + 0.05 * shape[2]) / 0.65 / shape[3]) ** 2
            body = body - 0.45 / (1 + np.exp(12 * (lung - 1)))
        body = body + 0.35 * np.exp(-(((across - 0.12) / 0.2 / heart[0]) ** 2 + ((down - 0.3) / 0.25 / heart[1]) ** 2))
        body = body + 0.05 * np.sin(28 * (down + 0.35 * across**2) * heart[2] + 6 * heart[3])
        for scale, strength in ((32, 0.08), (8, 0.05), (2, 0.05), (0.7, 0.03)):
            noise = cv2.GaussianBlur(draw.normal(size=body.shape), (0, 0), scale)
            body = body + strength * noise / noise.std()
        made[place] = np.clip(255 * body, 0, 255)
    return made


def store(folder: Path, made: Array) -> PreparedArrays:
    """The pictures as prepared arrays on one shard."""
    path = folder / f"{len(list(folder.iterdir()))}.npy"
    np.save(path, made[:, None, None])
    places = np.arange(len(made), dtype=np.int32)
    return PreparedArrays(
        shape=(1, 1, _SIDE, _SIDE),
        dtype=np.dtype(np.uint8),
        paths=(path,),
        shards=np.zeros_like(places),
        rows=places,
        kinds=np.zeros_like(places),
        kind_list=(RowKind(None, "DX", False, None, None),),
        digests=np.zeros((len(made), 16), np.uint8),
        steps_key="bench",
    )


def _table_seconds(arrays: PreparedArrays, feature: Feature, state: dict[str, Array], compute: Compute) -> float:
    """Wall time of the table of all pictures, once the workers are warm; nothing comes from a cache."""
    every = np.arange(len(arrays))
    features.table(arrays, every[: len(every) // 4], feature, state=state, compute=compute)
    return seconds(lambda: features.table(arrays, every, feature, state=state, compute=compute), repeat=3)


def _hog(folder: Path, compute: Compute) -> list[Row]:
    made = pictures(400, 0)
    feature = Feature("hog", hog.Params(grids=(_SIDE // _CELL,), cell=_CELL, bins=9, signed=False))
    arrays = store(folder, made)
    few = made[:60]

    def baseline() -> None:
        for picture in few:
            skimage_hog(picture, 9, (_CELL, _CELL), (2, 2), "L2-Hys", transform_sqrt=True)

    def alone() -> None:
        features.extract(made[:, None, None], feature, {})

    mine = len(made) / _table_seconds(arrays, feature, {}, compute)
    one = len(made) / seconds(alone, repeat=3)
    other = len(few) / seconds(baseline, repeat=3)
    about = "224×224, cells of 16, blocks of 2×2, 9 directions"
    name = "scikit-image hog, one image at a time"
    return [
        _row(f"HOG, table with {_WORKERS} processes", mine, name, other, about),
        _row("HOG, one process", one, name, other, about),
    ]


def _sift(folder: Path, compute: Compute) -> list[Row]:
    made = pictures(240, 1)
    arrays = store(folder, made)
    few = made[:60]
    detector = cv2.SIFT.create(nfeatures=_KEYPOINTS)
    points = [
        cv2.KeyPoint(float(x), float(y), size, 0.0) for size in _SIZES for y in range(3, _SIDE, 8) for x in range(3, _SIDE, 8)
    ]

    def detected() -> None:
        for picture in few:
            detector.detectAndCompute(picture, None)

    def dense() -> None:
        for picture in few:
            detector.compute(picture, points)

    found = []
    for where, baseline, about in (
        ("detected", detected, f"224×224, at most {_KEYPOINTS} keypoints"),
        ("dense", dense, f"224×224, the same {len(points)} keypoints"),
    ):
        feature = Feature("sift", sift.Params(where=where, side=0, most=_KEYPOINTS, sizes=_SIZES))
        state = features.fit(arrays, np.arange(60), feature, seed=0, compute=compute)
        mine = len(made) / _table_seconds(arrays, feature, state, compute)
        for threads, name in ((1, "OpenCV's SIFT in one process, one thread"), (-1, "OpenCV's SIFT in one process, all threads")):
            cv2.setNumThreads(threads)
            other = len(few) / seconds(baseline, repeat=3)
            found.append(_row(f"SIFT {where}, with VLAD of 32 words, {_WORKERS} processes", mine, name, other, about))
    return found


def _row(what: str, mine: float, name: str, other: float, about: str) -> Row:
    return Row(
        what=what, figure=mine, unit="images/s", baseline=name, baseline_figure=other, ratio=mine / other, seeds=[0], notes=about
    )


def rows() -> list[Row]:
    """HOG and SIFT."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, Compute(_WORKERS, few=0) as compute:
        found = [*_hog(Path(folder), compute), *_sift(Path(folder), compute)]
    spent = time.perf_counter() - start
    return [*found, Row(what="this benchmark, start of processes included", figure=spent, unit="s")]
