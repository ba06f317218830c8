"""How well measurements agree: mean absolute error, bias and limits of agreement, intraclass correlation.

``bias``: mean of found less true; ``limit_low`` and ``limit_high``: bias less and plus 1.96 standard deviations of the
difference, between which 95 % of differences lie (Bland and Altman, Lancet 1986; Stat Methods Med Res 1999). ``icc``: one
measurement, absolute agreement, two-way (ICC(A,1) of McGraw and Wong 1996; ICC(2,1) of Shrout and Fleiss 1979). Intervals by the
bootstrap over patients. A case of which truth or answer is unknown (NaN) is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medloop.evaluation import intervals, overlap, weighted
from medloop.evaluation.intervals import Statistic
from medloop.types import Array, Floats, Integers, Metric

_NONE = "no case here has it in both truth and answer"
_SAME = "all true and found values are the same"


@dataclass(frozen=True, slots=True, eq=False)
class BlandAltman:
    """What a Bland-Altman plot shows of n cases: ``mean`` and ``difference`` ``(n,)``, bias and limits with their intervals."""

    mean: Floats
    difference: Floats
    bias: Metric
    limit_low: Metric
    limit_high: Metric


def bland_altman(truth: Floats, found: Floats, patients: Integers, seed: int = 0) -> BlandAltman:
    """Of one measurement ``(N,)``, found against true."""
    figures = agree(truth, found, patients, seed)
    both = np.isfinite(truth) & np.isfinite(found)
    mean, difference = (truth[both] + found[both]) / 2, found[both] - truth[both]
    return BlandAltman(mean, difference, figures["bias"], figures["limit_low"], figures["limit_high"])


def agree(truth: Floats, found: Floats, patients: Integers, seed: int = 0) -> dict[str, Metric]:
    """``mae``, ``bias``, ``limit_low``, ``limit_high``, ``icc`` of one measurement ``(N,)``."""
    both = np.isfinite(truth) & np.isfinite(found)
    real, said = truth[both].astype(np.float64), found[both].astype(np.float64)
    parts = {
        "mae": weighted.mean(np.abs(said - real)),
        "bias": weighted.mean(said - real),
        "limit_low": weighted.limit_of_agreement(said - real, -1),
        "limit_high": weighted.limit_of_agreement(said - real, 1),
        "icc": icc(real, said),
    }
    if not both.any():
        return dict.fromkeys(parts, Metric(None, reason=_NONE))
    return intervals.bootstrap(parts, patients[both], seed, {"icc": _SAME})


def score(
    names: Sequence[str], units: Sequence[str], values: tuple[Floats, Floats], patients: Integers, seed: int = 0
) -> dict[str, Metric]:
    """Each figure of `agree` for each of M measurements, such as ``mae_longest_diameter_mm``; ``icc_longest_diameter`` has no unit.

    ``values``: truth and answer, ``(N, M)`` each, NaN where unknown.
    """
    truth, found = values
    scored: dict[str, Metric] = {}
    for column, (name, unit) in enumerate(zip(names, units, strict=True)):
        plain = name.replace(" ", "_")
        for figure, metric in agree(truth[:, column], found[:, column], patients, seed).items():
            scored["_".join(filter(None, (figure, plain, "" if figure == "icc" else unit)))] = metric
    return scored


def errors(
    name: str, unit: str, classes: Sequence[str], values: tuple[Floats, Floats], patients: Integers, seed: int = 0
) -> dict[str, Metric]:
    """Mean absolute error of one measure of K classes, such as ``diameter_error_mm``, and of each, ``diameter_error_mm_tumour``.

    ``values``: truth and answer, ``(N, K)`` each, NaN where a class is absent; a case where only one has it is left out, and told.
    """
    truth, found = values
    each = [overlap.known_mean(column) for column in np.abs(found - truth).T]
    keys = [f"{name}_{unit}", *(f"{name}_{unit}_{one}" for one in classes)]
    drawn = intervals.bootstrap(
        dict(zip(keys, [weighted.macro(each), *each], strict=True)), patients, seed, dict.fromkeys(keys, _NONE)
    )
    apart = np.isfinite(truth) != np.isfinite(found)
    counts = [int(apart.any(axis=1).sum()), *apart.sum(axis=0).tolist()]
    return {key: overlap.left_out(drawn[key], count, len(apart)) for key, count in zip(keys, counts, strict=True)}


def icc(first: Array, second: Array) -> Statistic:
    """Intraclass correlation of two measurements of each case: 1 where they are equal, lowered by bias as by scatter."""
    pair = np.stack([first, second]).astype(np.float64)
    each, half = pair.mean(axis=0)[:, None], (pair[1] - pair[0])[:, None] / 2

    def value(weights: Floats) -> Floats:
        count = weights.sum(axis=0)
        centre = weighted.divided((weights * each).sum(axis=0), count)
        shift = weighted.divided((weights * half).sum(axis=0), count)
        rows = 2 * weighted.divided((weights * (each - centre) ** 2).sum(axis=0), count - 1)
        rest = 2 * weighted.divided((weights * (half - shift) ** 2).sum(axis=0), count - 1)
        columns = 2 * count * shift**2
        below = rows + rest + 2 * weighted.divided(columns - rest, count)
        return weighted.divided(rows - rest, np.where(np.abs(below) > 1e-300, below, 0.0))

    return value
