"""Folds that leave whole families of similar pictures out, for collections that do not say which pictures are of one patient.

Where patients are unknown, pictures of one patient, ward or machine lie on both sides of folds drawn at random. What has merely
seen the like then looks as good as what will also do for others, and the difference is what matters when a model is chosen. So
pictures are gathered by their looks (a thumbnail, k-means) and a gathering is held out as a whole: cross-validation in blocks
(Roberts et al., Ecography 40, 2017), or leave-cluster-out (Meredig et al., Mol. Syst. Des. Eng. 3, 2018).
"""

from __future__ import annotations

import cv2
import numpy as np
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

from medloop.prepared.arrays import PreparedArrays
from medloop.types import Array, Floats, Integers

_SIDE, _DIRECTIONS = 16, 30
_LEAST, _AT_ONCE = 10, 8


def gathered(arrays: PreparedArrays, rows: Integers, groups: Integers, stratum: Integers, count: int, seed: int) -> Integers | None:
    """``(n,)`` fold numbers below ``count``; None where these pictures cannot be gathered so that folds are of any use.

    ``rows``: their positions in ``arrays``. ``groups``: what must stay together in any case. ``stratum``: what is to be spread
    evenly; each is found in every fold.
    """
    _, first, member = np.unique(groups, return_index=True, return_inverse=True)
    looks = _looks(arrays, np.asarray(rows)[first])
    looks = np.asarray(PCA(min(_DIRECTIONS, *looks.shape), random_state=seed).fit_transform(looks))
    clusters = max(_LEAST, int(np.sqrt(len(first)) / 2))
    while clusters * 2 < len(first):
        found = KMeans(clusters, n_init=1, random_state=seed).fit_predict(looks)[member]
        fold = _dealt(found, stratum, count, seed)
        if all(len(np.unique(fold[stratum == each])) == count for each in np.unique(stratum)):
            return fold
        clusters *= 2
    return None


def _looks(arrays: PreparedArrays, rows: Integers) -> Floats:
    """``(n, width)``: thumbnails without their brightness and contrast, of a volume from three sides."""
    found = np.concatenate([_seen(pixels) for _, pixels in arrays.batches(rows, _AT_ONCE)])
    found -= found.mean(axis=1, keepdims=True)
    return np.asarray(found / np.maximum(found.std(axis=1, keepdims=True), 1e-6))


def _seen(pixels: Array) -> Floats:
    """``(n, width)`` of ``(n, C, Z, Y, X)``."""
    sides = [pixels.mean(axis=2, dtype=np.float32)]
    if pixels.shape[2] > 1:
        sides += [pixels.mean(axis=3, dtype=np.float32), pixels.mean(axis=4, dtype=np.float32)]
    maps = [side.reshape(-1, *side.shape[2:]) for side in sides]
    small = [np.stack([cv2.resize(each, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA) for each in part]) for part in maps]
    return np.concatenate([part.reshape(len(pixels), -1) for part in small], axis=1)


def _dealt(cluster: Integers, stratum: Integers, count: int, seed: int) -> Integers:
    """``(n,)``: clusters dealt to folds, the largest first, each to where strata are then most even."""
    strata, place = np.unique(stratum, return_inverse=True)
    sizes = np.zeros((int(cluster.max()) + 1, len(strata)))
    np.add.at(sizes, (cluster, place), 1)
    shares = sizes / sizes.sum(axis=0)
    shuffled = np.random.default_rng(seed).permutation(len(sizes))
    held = np.zeros((count, len(strata)))
    fold = np.empty(len(sizes), np.int64)
    for each in shuffled[np.argsort(-sizes[shuffled].sum(axis=1), kind="stable")]:
        cost = ((held + shares[each]) ** 2 - held**2).sum(axis=1)
        fold[each] = int(cost.argmin())
        held[fold[each]] += shares[each]
    return np.asarray(fold[cluster])
