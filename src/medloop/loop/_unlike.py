"""How unlike the training data a picture looks, and which others look like it: distances between appearances."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medloop.dataset.appearance import Appearance
from medloop.types import Array, Floats, Integers

FEWEST = 30
"""Fewer images learnt from do not say what is usual."""
_NEIGHBOURS = 3
_USUAL, _SLACK = 0.99, 1.25
_CLIP = 12.0


@dataclass(frozen=True, slots=True, eq=False)
class Usual:
    """What the training data look like: ``rows`` ``(n, D)`` standardised, ``mean`` and ``scale`` ``(D,)``; ``limit``: the distance
    to its neighbours beyond which a picture is unlike them all."""

    rows: Floats
    mean: Floats
    scale: Floats
    limit: float

    @classmethod
    def of(cls, looks: Appearance | None) -> Usual | None:
        """From how the images learnt from look; None where too little is known of that.

        The limit is one and a quarter times the distance that one in a hundred of them has to the others.
        """
        if looks is None or len(looks) < FEWEST:
            return None
        values = looks.values.astype(np.float64)
        mean, spread = values.mean(axis=0), values.std(axis=0)
        scale = np.maximum(spread, 1e-3 * np.maximum(1.0, np.abs(mean)))
        rows = (values - mean) / scale
        own = _distances(rows, rows, skip_self=True)
        return cls(rows, mean, scale, float(_SLACK * np.quantile(own, _USUAL)))

    def placed(self, looks: Appearance) -> Floats:
        """``(N, D)`` on the scale of the training data."""
        return np.asarray((looks.values.astype(np.float64) - self.mean) / self.scale)

    def unlikeness(self, looks: Appearance) -> Floats:
        """``(N,)``: the distance over the limit; above 1 a picture is unlike everything learnt from."""
        return _distances(self.placed(looks), self.rows) / max(self.limit, 1e-9)


def nearest(places: Floats, others: Floats, count: int) -> tuple[Integers, Floats]:
    """For each of ``(N, D)`` the nearest ``count`` rows of ``others`` ``(M, D)`` and how far they are, ``(N, count)`` each."""
    count = min(count, len(others))
    found = np.empty((len(places), count), np.int64)
    far = np.empty((len(places), count))
    for at, place in enumerate(places):
        gaps = np.sqrt(((np.clip(others, -_CLIP, _CLIP) - np.clip(place, -_CLIP, _CLIP)) ** 2).mean(axis=1))
        order = np.argsort(gaps, kind="stable")[:count]
        found[at], far[at] = order, gaps[order]
    return found, far


def _distances(places: Floats, rows: Floats, *, skip_self: bool = False) -> Floats:
    """``(N,)``: the mean distance (root mean square over columns) to the nearest rows."""
    return np.array(
        [_mean_of_least(((rows - place) ** 2).mean(axis=1), at if skip_self else None) for at, place in enumerate(places)]
    )


def _mean_of_least(squares: Array, own: int | None) -> float:
    if own is not None:
        squares[own] = np.inf
    least = np.partition(squares, _NEIGHBOURS - 1)[:_NEIGHBOURS]
    return float(np.sqrt(least).mean())
