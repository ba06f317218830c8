"""Whether two collections of pictures look alike: a classifier two-sample test (Lopez-Paz and Oquab, ICLR 2017).

A linear discriminant is asked, by cross-validation, from which of the two collections each row comes. If it can tell, they differ.
How often it would seem to tell by luck is found by dealing the rows out anew at random (a permutation test), so that the rate of
false alarms is what is said whatever the rows are like. An alarm also asks that the difference be large enough to matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from medloop.types import Floats, Integers

ALPHA = 0.01
"""The share of false alarms among collections that do not differ."""
MATTERS = 0.58
"""The AUC of telling the collections apart from which a difference matters."""
FEWEST = 20
"""Fewer rows on one side tell nothing."""
MOST = 2000
"""At most so many rows of each side are compared, drawn at random."""
_ROUNDS, _FOLDS, _RIDGE, _LIMIT = 499, 5, 0.05, 5.0
_NAMED, _FACT = 3, 0.2


@dataclass(frozen=True, slots=True)
class Fact:
    """One named number: its means before and here, and their difference in standard deviations."""

    name: str
    before: float
    here: float
    difference: float


@dataclass(frozen=True, slots=True)
class Shift:
    """``auc``: of telling the collections apart, 0.5 means alike. ``p``: how often luck alone reaches it. ``alarm``: they differ,
    and it matters. ``facts``: the named numbers that differ most, largest first. ``rows``: compared, before and here."""

    auc: float
    p: float
    alarm: bool
    facts: tuple[Fact, ...] = ()
    rows: tuple[int, int] = (0, 0)

    def says(self, what: str) -> str:
        """One or two sentences: how far the ``what`` images look like those that were learnt from."""
        if not self.alarm:
            return f"The {what} images look like those it learnt from (telling which is which: AUC {self.auc:.2f}; 0.5 is alike)."
        facts = [f"{fact.name} ({fact.here:.3g} here, {fact.before:.3g} there)" for fact in self.facts]
        most = f" Most different: {'; '.join(facts)}." if facts else ""
        luck = f"p {'<' if self.p < ALPHA else '='} {max(self.p, ALPHA):.2f}"
        return (
            f"The {what} images look different from those it learnt from: a simple test tells which is which with an AUC of "
            f"{self.auc:.2f} (0.5: alike; {luck}).{most} Expect other errors, and probabilities that are off."
        )


def compare(before: Floats, here: Floats, names: Sequence[str], seed: int = 0, rounds: int | None = None) -> Shift | None:
    """Compare ``(n, D)`` with ``(m, D)``: a row for each independent patient. None where a side has fewer than `FEWEST` rows.

    ``names``: of the first columns; only these are told as facts. ``rounds``: of dealing out anew; p is not below 1 in so many.
    """
    draw = np.random.default_rng(seed)
    rounds = rounds or _ROUNDS
    one, two = (_some(np.asarray(rows, np.float64), draw) for rows in (before, here))
    if min(len(one), len(two)) < FEWEST:
        return None
    facts = _facts(one, two, names)
    rows = _standardised(np.concatenate([one, two]))
    sides = np.zeros((len(rows), rounds + 1))
    sides[len(one) :, 0] = 1
    for number in range(1, rounds + 1):
        sides[:, number] = draw.permutation(sides[:, 0])
    found = _aucs(_told(rows, sides, draw.permutation(len(rows)) % _FOLDS), sides)
    p = float((found[1:] >= found[0]).sum() + 1) / (rounds + 1)
    auc = float(found[0])
    return Shift(auc, p, p <= ALPHA and auc >= MATTERS, facts, (len(before), len(here)))


def _some(rows: Floats, draw: np.random.Generator) -> Floats:
    return rows if len(rows) <= MOST else rows[draw.permutation(len(rows))[:MOST]]


def _standardised(rows: Floats) -> Floats:
    """Columns of mean 0 and deviation 1, far values drawn in; columns that are the same throughout are left out."""
    deviation = rows.std(axis=0)
    live = deviation > 1e-9 * np.maximum(1e-9, np.abs(rows).max(axis=0))
    scaled = (rows[:, live] - rows[:, live].mean(axis=0)) / deviation[live]
    return np.asarray(np.clip(scaled, -_LIMIT, _LIMIT))


def _told(rows: Floats, sides: Floats, fold: Integers) -> Floats:
    """``(n, R)`` how much each row looks like the second side, by a discriminant learnt on the other folds, for each column of
    ``sides`` (ridge regression on the centred side, which is Fisher's discriminant)."""
    told = np.empty_like(sides)
    for number in range(_FOLDS):
        held, seen = fold == number, fold != number
        x = rows[seen] - rows[seen].mean(axis=0)
        y = sides[seen] - sides[seen].mean(axis=0)
        weights = np.linalg.solve(x.T @ x + _RIDGE * len(x) * np.eye(x.shape[1]), x.T @ y)
        told[held] = (rows[held] - rows[seen].mean(axis=0)) @ weights
    return told


def _aucs(told: Floats, sides: Floats) -> Floats:
    """``(R,)`` the AUC of each column."""
    ranks = stats.rankdata(told, axis=0)
    ones = sides.sum(axis=0)
    return np.asarray(((ranks * sides).sum(axis=0) - ones * (ones + 1) / 2) / (ones * (len(sides) - ones)))


def _facts(before: Floats, here: Floats, names: Sequence[str]) -> tuple[Fact, ...]:
    found = []
    for at, name in enumerate(names):
        one, two = before[:, at], here[:, at]
        spread = float(np.sqrt((one.var() + two.var()) / 2))
        gap = float(two.mean() - one.mean())
        if abs(gap) > 1e-9 and abs(gap) >= _FACT * spread:
            found.append(
                Fact(name, float(one.mean()), float(two.mean()), gap / spread if spread > 0 else float(np.sign(gap)) * 99.0)
            )
    return tuple(sorted(found, key=lambda fact: -abs(fact.difference))[:_NAMED])
