"""Vocabularies of local descriptors and what an image says in them: BoVW, VLAD, Fisher vectors.

Bags of visual words: Csurka et al., 2004. VLAD: Jégou et al., CVPR 2010. Fisher vectors: Perronnin, Sánchez and Mensink,
ECCV 2010 (diagonal Gaussians, means and variances), with signed square root and unit length.
"""

from __future__ import annotations

import numpy as np
from sklearn.cluster import MiniBatchKMeans
from sklearn.mixture import GaussianMixture

from medloop.features._contract import Rows, State
from medloop.types import Array

ENCODINGS = ("bovw", "vlad", "fisher")


def learn(sample: Rows, encoding: str, words: int, components: int, seed: int) -> dict[str, Array]:
    """A vocabulary from a sample ``(M, D)`` of descriptors: axes (``components``, 0: as they are), then words."""
    words = max(1, min(words, len(sample) // 2))
    state: dict[str, Array] = {}
    if components:
        mean = sample.mean(0)
        centred = sample - mean
        _values, vectors = np.linalg.eigh(centred.T.astype(np.float64) @ centred / len(sample))
        kept = vectors[:, ::-1][:, :components]
        kept *= np.sign(kept[np.abs(kept).argmax(0), np.arange(kept.shape[1])])
        state |= {"mean": mean.astype(np.float32), "rotation": kept.astype(np.float32)}
        sample = project(sample, state)
    if encoding != "fisher":
        found = MiniBatchKMeans(words, batch_size=4096, n_init=3, max_iter=30, random_state=seed).fit(sample)
        return state | {"centres": found.cluster_centers_.astype(np.float32)}
    mixture = GaussianMixture(words, covariance_type="diag", reg_covar=1e-5, max_iter=40, tol=5e-3, random_state=seed)
    mixture.fit(sample.astype(np.float64))
    return state | {
        "weights": mixture.weights_.astype(np.float32),
        "centres": mixture.means_.astype(np.float32),
        "variances": mixture.covariances_.astype(np.float32),
    }


def project(descriptors: Rows, state: State) -> Rows:
    """Descriptors ``(M, D)`` in the vocabulary's axes."""
    if "rotation" not in state:
        return descriptors
    turned: Rows = np.matmul(descriptors - state["mean"], state["rotation"])
    return turned


def encode(descriptors: Rows, owners: Array, count: int, encoding: str, state: State) -> Rows:
    """What each of ``count`` owners (an image, or a part of one) says: ``(count, D)``, before normalisation.

    ``owners``: ``(M,)`` whole numbers, the owner of each descriptor, ascending. BoVW gives counts, VLAD sums of
    differences, Fisher vectors the mean gradient.
    """
    projected = project(descriptors, state)
    if encoding == "fisher":
        return _fisher(projected, owners, count, state)
    words = _nearest(projected, state["centres"])
    size = len(state["centres"])
    counts = np.bincount(owners * size + words, minlength=count * size).reshape(count, size)
    if encoding == "bovw":
        return counts.astype(np.float32)
    sums = _summed(projected, owners * size + words, count * size).reshape(count, size, -1)
    differences: Rows = sums - counts[..., None].astype(np.float32) * state["centres"]
    return differences.reshape(count, -1)


def normalised(rows: Rows, power: bool) -> Rows:
    """Signed square root (``power``) and unit length; a row of zeros stays."""
    if power:
        rows = np.copysign(np.sqrt(np.abs(rows)), rows)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: Rows = (rows / np.maximum(length, 1e-12)).astype(np.float32)
    return unit


def _nearest(points: Rows, centres: Rows) -> Array:
    nearest: Array = (points @ (2 * centres.T) - (centres**2).sum(1)).argmax(1)
    return nearest


def _summed(values: Rows, places: Array, count: int) -> Rows:
    """Sums ``(count, D)`` of the values that share a place."""
    order = np.argsort(places, kind="stable")
    sums = np.zeros((count, values.shape[1]), np.float32)
    if len(order):
        ordered = places[order]
        starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
        sums[ordered[starts]] = np.add.reduceat(values[order], starts, axis=0)
    return sums


def _fisher(points: Rows, owners: Array, count: int, state: State) -> Rows:
    """Mean gradient with respect to means and deviations of the Gaussians, ``(count, 2 K D)``."""
    weights, centres, variances = state["weights"], state["centres"], state["variances"]
    shares = _responsibilities(points, weights, centres, variances)
    held = np.bincount(owners, minlength=count)
    starts = np.concatenate([[0], np.cumsum(held)])
    size, axes = centres.shape
    rows = np.zeros((count, 2, size, axes), np.float32)
    deviations = np.sqrt(variances)
    squares = points**2
    for owner in np.flatnonzero(held):
        part = slice(starts[owner], starts[owner + 1])
        share = shares[part]
        zeroth = share.sum(0)[:, None]
        first = share.T @ points[part]
        second = share.T @ squares[part]
        rows[owner, 0] = (first - zeroth * centres) / deviations
        rows[owner, 1] = (second - 2 * first * centres + zeroth * (centres**2 - variances)) / variances
    root = np.sqrt(weights)[:, None]
    rows[:, 0] /= root
    rows[:, 1] /= np.sqrt(np.float32(2)) * root
    rows /= np.maximum(held, 1).astype(np.float32)[:, None, None, None]
    return rows.reshape(count, -1)


def _responsibilities(points: Rows, weights: Rows, centres: Rows, variances: Rows) -> Rows:
    precision = 1 / variances
    constant = np.log(weights) - 0.5 * (np.log(variances).sum(1) + (centres**2 * precision).sum(1))
    log = points @ (centres * precision).T - 0.5 * (points**2 @ precision.T) + constant
    log -= log.max(1, keepdims=True)
    np.exp(log, out=log)
    shares: Rows = log / log.sum(1, keepdims=True)
    return shares
