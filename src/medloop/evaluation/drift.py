"""Has something changed between a time before and now? Several checks at once, with one rate of false alarms for all of them.

Each check gives a p-value that holds whatever the numbers are like: a permutation test for how pictures look (`shift.compare`),
Fisher's exact test for shares, a chi-square test for several labels, Mann and Whitney's for confidences. Holm's step-down (1979,
Scand J Stat 6:65) then bounds the chance that any check raises a false alarm at all. An alarm also asks that the change matter.
Rows must be independent: one of each patient.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from medloop.evaluation import shift
from medloop.types import Array, Floats

ALPHA = 0.05
"""The chance that a run in which nothing has changed raises any alarm."""
FEWEST = shift.FEWEST
"""Fewer rows on one side tell nothing."""
_EXPECTED = 5.0
_ROUNDS = 499, 4999
_MATTERS = {"images": shift.MATTERS - 0.5, "proposals": 0.1, "confidence": 0.1, "unlike": 0.05, "agreement": 0.05}
"""From which effect a change matters. ``images``, ``confidence``: AUC of telling the times apart, less 0.5. Others: shares."""


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison. ``what``: images, proposals, confidence, unlike, agreement. ``where``: everywhere, or a site or scanner.
    ``before``, ``here``: rows. ``p_holm``: after all checks of the run were seen."""

    what: str
    where: str
    before: int
    here: int
    effect: float
    p: float
    says: str
    p_holm: float = 1.0
    alarm: bool = False


def settle(checks: Sequence[Check], alpha: float = ALPHA) -> list[Check]:
    """The checks with their p-values after Holm, and which of them are alarms; alarms first, the largest change first."""
    found = [
        replace(each, p_holm=p, alarm=p <= alpha and each.effect >= _MATTERS[each.what])
        for each, p in zip(checks, holm([each.p for each in checks]), strict=True)
    ]
    return sorted(found, key=lambda each: (not each.alarm, -each.effect))


def holm(values: Sequence[float]) -> list[float]:
    """P-values adjusted for their number: at most ``alpha`` of runs have any false one at or below ``alpha``."""
    order = np.argsort(values, kind="stable")
    adjusted = np.empty(len(values))
    reached = 0.0
    for rank, at in enumerate(order):
        reached = max(reached, min(1.0, (len(values) - rank) * values[at]))
        adjusted[at] = reached
    return [float(each) for each in adjusted]


def of_images(where: str, before: Floats, here: Floats, names: Sequence[str], checks: int, seed: int = 0) -> Check | None:
    """How images look: ``(n, D)``, a row a patient. ``checks``: how many there are in all, so that p can become small enough."""
    rounds = max(_ROUNDS[0], min(_ROUNDS[1], int(2 * checks / ALPHA)))
    found = shift.compare(before, here, names, seed, rounds)
    if found is None:
        return None
    facts = "; ".join(f"{fact.name} {fact.before:.3g} before, {fact.here:.3g} now" for fact in found.facts)
    says = f"the images look different (telling then from now: AUC {found.auc:.2f}; 0.5 is alike)" + (f": {facts}" if facts else "")
    return Check("images", where, found.rows[0], found.rows[1], max(0.0, found.auc - 0.5), found.p, says)


def of_labels(where: str, before: Sequence[str], here: Sequence[str]) -> Check | None:
    """How often each label is proposed."""
    if min(len(before), len(here)) < FEWEST:
        return None
    names = sorted({*before, *here})
    table = np.array([[list(side).count(name) for name in names] for side in (before, here)])
    shares = table / table.sum(axis=1, keepdims=True)
    apart = shares[1] - shares[0]
    at = int(np.abs(apart).argmax())
    says = f"‘{names[at]}’ is proposed for {_percent(shares[1, at])} of patients instead of {_percent(shares[0, at])}"
    return Check("proposals", where, len(before), len(here), float(np.abs(apart).sum() / 2), _p_of_table(table), says)


def of_confidence(where: str, before: Floats, here: Floats) -> Check | None:
    """How sure proposals are."""
    if min(len(before), len(here)) < FEWEST:
        return None
    test = stats.mannwhitneyu(here, before, method="asymptotic")
    effect = abs(float(test.statistic) / (len(before) * len(here)) - 0.5)
    says = f"confidence is {np.mean(here):.2f} on average instead of {np.mean(before):.2f}"
    return Check("confidence", where, len(before), len(here), effect, float(test.pvalue), says)


def of_shares(what: str, where: str, before: Array, here: Array, told: str) -> Check | None:
    """A share: ``(n,)`` bool of each side. ``told``: what it is a share of, as ``readers agree with``."""
    if min(len(before), len(here)) < FEWEST:
        return None
    table = np.array([[int(side.sum()), len(side) - int(side.sum())] for side in (before, here)])
    one, two = table[0, 0] / len(before), table[1, 0] / len(here)
    says = f"{told} {_percent(two)} instead of {_percent(one)}"
    return Check(what, where, len(before), len(here), abs(float(two - one)), _p_of_table(table), says)


def _p_of_table(table: Array) -> float:
    """P of two rows with equal shares: exact for two columns; columns that are too rare for a chi-square are put together."""
    table = table[:, table.sum(axis=0) > 0]
    least = table.sum(axis=0) * table.sum(axis=1).min() / table.sum()
    if table.shape[1] > 2 and (least < _EXPECTED).any():
        table = np.column_stack([table[:, least >= _EXPECTED], table[:, least < _EXPECTED].sum(axis=1)])
    if table.shape[1] < 2:
        return 1.0
    if table.shape[1] == 2:
        return float(stats.fisher_exact(table).pvalue)
    expected = table.sum(axis=0) * table.sum(axis=1).min() / table.sum()
    if (expected < _EXPECTED).any():
        order = np.argsort(expected)
        rare = table[:, order[:2]].sum(axis=1)
        return _p_of_table(np.column_stack([table[:, order[2:]], rare]))
    return float(stats.chi2_contingency(table, correction=False).pvalue)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
