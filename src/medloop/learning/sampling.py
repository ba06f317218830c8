"""In which order an epoch goes through the cases: shuffled, and more often where a class is rare. From ``(seed, epoch)`` alone."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from medloop.types import Array, Integers, Target, TargetKind

_STREAM = 1  # apart from the numbers that augmentation draws


def order(n: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Every one of n cases once, shuffled."""
    return _generator(seed, epoch).permutation(n)


def balanced(strata: Integers, seed: int, epoch: int, *, strength: float = 1.0) -> NDArray[np.int64]:
    """As many cases as there are, shuffled, with classes more nearly equally often: ``(N,)`` positions, some twice, some not at
    all.

    ``strata``: ``(N,)`` the class of each case (`strata_of`). ``strength``: 0 as they are, 1 equally often, between them in
    between (a class is drawn in proportion to its count to the power ``1 - strength``). A class is gone through whole before a
    case comes again.
    """
    source = _generator(seed, epoch)
    n = len(strata)
    if n == 0:
        return np.empty(0, np.int64)
    found, counts = np.unique(strata, return_counts=True)
    shares = counts ** (1.0 - strength)
    quotas = _rounded(n * shares / shares.sum(), n)
    drawn = [
        _cycled(np.flatnonzero(strata == stratum), int(quota), source)
        for stratum, quota in zip(found, quotas, strict=True)
        if quota
    ]
    return source.permutation(np.concatenate(drawn))


def strata_of(target: Target, values: Array) -> NDArray[np.int64]:
    """The class by which a case is balanced: its own; for multi-label its rarest positive one, or none (K); numbers: all alike."""
    if target.kind is TargetKind.NUMBER:
        return np.zeros(len(values), np.int64)
    if target.kind is not TargetKind.MULTILABEL:
        return np.asarray(values, np.int64)
    positive = np.asarray(values) == 1
    rarest = np.argsort(positive.sum(axis=0), kind="stable")
    first = positive[:, rarest].argmax(axis=1)
    return np.asarray(np.where(positive.any(axis=1), rarest[first], positive.shape[1]), np.int64)


def batches(places: NDArray[np.int64], size: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """``(first, positions)``: an epoch's order in batches of at most ``size``; a last single picture joins the one before."""
    cuts = list(range(0, len(places), size))
    if len(cuts) > 1 and len(places) - cuts[-1] == 1:
        cuts.pop()
    for first, end in itertools.pairwise([*cuts, len(places)]):
        yield first, places[first:end]


def _generator(seed: int, epoch: int) -> np.random.Generator:
    return np.random.default_rng([seed % 2**63, epoch, _STREAM])


def _rounded(quotas: NDArray[np.float64], total: int) -> NDArray[np.int64]:
    """Whole numbers that add up to ``total``: the largest remainders are rounded up."""
    whole = np.floor(quotas).astype(np.int64)
    whole[np.argsort(whole - quotas, kind="stable")[: total - int(whole.sum())]] += 1
    return whole


def _cycled(rows: NDArray[np.int64], count: int, source: np.random.Generator) -> NDArray[np.int64]:
    """So many of these rows: shuffled rounds, one after another."""
    rounds = -(-count // len(rows))
    return np.concatenate([source.permutation(rows) for _ in range(rounds)])[:count]
