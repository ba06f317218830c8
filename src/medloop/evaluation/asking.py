"""Which cases to ask a person about next: those the model is least sure of, as far as they differ from each other.

Uncertainty alone asks about many copies of one hard kind of case, diversity alone about many easy ones. Here the least sure cases
are gathered, several times as many as are wanted, and parted into as many clusters as are wanted by k-means whose weights are how
unsure each is (Zhdanov, Diverse mini-batch active learning, 2019); of every cluster the case in its middle is asked about. Before
anything is learnt the same parting of all cases gives a typical start (Hacohen et al., ICML 2022: few labels want typical cases).
Equal input and seed give equal answers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medloop.types import Floats, Integers

GATHERED = 5
"""So many times as many unsure cases are gathered as are asked about."""
MOST = 4000
"""Among more cases than this a start is looked for in a random part of them."""
_TURNS = 8


def margin(probabilities: Floats, *, several: bool = False) -> Floats:
    """``(N,)`` how sure answers ``(N, K)`` are, 0 for not at all: what the likeliest class has more than the second.

    ``several``: any number of classes may be true (multi-label); then the least sure of them counts. NaN is not sure at all.
    """
    known = np.nan_to_num(np.asarray(probabilities, np.float64))
    if several:
        return np.asarray(np.abs(2 * known - 1).min(axis=1))
    if known.shape[1] < 2:
        return np.zeros(len(known))
    two = np.partition(known, known.shape[1] - 2, axis=1)[:, -2:]
    return np.asarray(two[:, 1] - two[:, 0])


def ask(margins: Floats, rows: Floats, count: int, seed: int = 0) -> Integers:
    """``(count,)`` positions to ask about, the least sure first. ``margins``: ``(N,)``, small if unsure. ``rows``: ``(N, D)``."""
    count = min(count, len(rows))
    unsure = np.argsort(margins, kind="stable")[: GATHERED * count]
    scale = float(np.median(margins[unsure])) if len(unsure) else 0.0
    weights = np.exp(-margins[unsure] / scale) if scale > 0 else np.ones(len(unsure))
    chosen = unsure[middles(rows[unsure], weights, count, seed)]
    return np.asarray(chosen[np.argsort(margins[chosen], kind="stable")])


def start(rows: Floats, count: int, seed: int = 0) -> Integers:
    """``(count,)`` typical cases that differ from each other, to begin with where nothing is known."""
    some = np.random.default_rng(seed).permutation(len(rows))[: max(MOST, count)]
    return np.asarray(some[middles(rows[some], np.ones(len(some)), min(count, len(rows)), seed)])


def order(margins: Floats, rows: Floats, batch: int, seed: int = 0, most: int | None = None) -> Integers:
    """Positions in the order of asking, batch after batch as if nothing were learnt between; behind ``most`` by margin alone."""
    left = np.arange(len(rows))
    found: list[Integers] = []
    wanted = len(rows) if most is None else min(most, len(rows))
    while len(rows) - len(left) < wanted:
        taken = ask(margins[left], rows[left], batch, seed)
        found.append(left[taken])
        left = np.delete(left, taken)
    return np.concatenate([*found, left[np.argsort(margins[left], kind="stable")]]).astype(np.int64)


def middles(rows: Floats, weights: Floats, count: int, seed: int) -> Integers:
    """``(count,)`` different positions: of ``count`` clusters of ``(N, D)``, weighted ``(N,)``, the case nearest to each middle."""
    if count >= len(rows):
        return np.arange(len(rows))
    rows = np.asarray(rows, np.float32)
    centres = rows[_seeds(rows, weights, count, np.random.default_rng(seed))]
    for _ in range(_TURNS):
        member = _distances(rows, centres).argmin(axis=1)
        total = np.bincount(member, weights, count)
        sums = np.stack([np.bincount(member, weights * column, count) for column in rows.T], axis=1)
        moved = np.where(total[:, None] > 0, sums / np.maximum(total, 1e-300)[:, None], centres).astype(np.float32)
        if np.array_equal(moved, centres):
            break
        centres = moved
    return _nearest(_distances(rows, centres))


def _seeds(rows: Floats, weights: Floats, count: int, draw: np.random.Generator) -> Sequence[int]:
    """Where the clusters begin: drawn one by one, the likelier the farther from those drawn (k-means++)."""
    chosen = [_drawn(weights, draw)]
    far = np.full(len(rows), np.inf)
    for _ in range(count - 1):
        far = np.minimum(far, _distances(rows, rows[chosen[-1:]])[:, 0])
        free = np.ones(len(rows))
        free[chosen] = 0
        chances = weights * far
        chosen.append(_drawn(chances if chances.sum() > 0 else free, draw))
    return chosen


def _drawn(chances: Floats, draw: np.random.Generator) -> int:
    running = np.cumsum(chances)
    return int(min(np.searchsorted(running, draw.random() * running[-1], side="right"), len(chances) - 1))


def _distances(rows: Floats, centres: Floats) -> Floats:
    """``(N, k)`` squared distances."""
    squares = np.einsum("nd,nd->n", rows, rows)[:, None] - 2 * rows @ centres.T + np.einsum("kd,kd->k", centres, centres)
    return np.asarray(np.maximum(squares, 0))


def _nearest(distances: Floats) -> Integers:
    """Of every column the nearest row that no column before has taken."""
    taken = np.zeros(len(distances), np.bool_)
    found = np.empty(distances.shape[1], np.int64)
    for place, column in enumerate(distances.T):
        found[place] = np.where(taken, np.inf, column).argmin()
        taken[found[place]] = True
    return found
