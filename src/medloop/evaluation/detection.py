"""How well findings are found: average precision, FROC, and how far off place and size are. Flat pictures and volumes.

Definitions. ``map50``: average precision at an overlap (intersection over union) of 0.5; ``map``: its mean over 0.5, 0.55, ...,
0.95; both as COCO (Lin et al., ECCV 2014): the 100 best answers of a class in a case, best first, each taking the free finding that
it overlaps most; precision made falling; mean over 101 recalls. ``froc_r`` (Bunch et al. 1977; as LUNA16, Setio et al. 2017): the
largest sensitivity with at most r false positives a case; a second answer on one finding counts neither way; ``froc_mean`` is the
mean over `RATES`. Each is the mean over the classes that have findings. ``centre_distance`` and ``diameter_error`` (mean absolute;
a diameter is the longest edge) are those of findings hit (`medloop.evaluation.matching`) by answers that are shown, in mm or px;
``shown_sensitivity`` and ``shown_false`` (false positives a case) are what a reader sees, all classes together.

Answers are matched once; the bootstrap over patients weighs cases. What is unknown is left out before, and so are invalid boxes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from medloop.evaluation import intervals, weighted
from medloop.evaluation.intervals import Statistic
from medloop.evaluation.matching import Matched, Pairs, Ranked, pairs, ranked
from medloop.types import Floats, Integers, Metric

RATES = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""False positives a case at which sensitivity is told."""
SHOWN = 0.5
"""The score from which an answer is shown."""
_RECALLS = np.linspace(0, 1, 101)
_BLOCK = 4_000_000
_ABSENT = "there is no such finding in these cases"
_NONE_HIT = "no finding was hit"


def score(classes: Sequence[str], cases: Sequence[Matched], patients: Integers, seed: int = 0) -> dict[str, Metric]:
    """Every figure of N matched cases; ``map50_<class>``, ``map_<class>`` and ``froc_1_<class>`` are those of one class."""
    ranks = [ranked(cases, [k]) for k in range(len(classes))]
    precisions = [_Once(_precision(each)) for each in ranks]
    sensitivities = [_Once(_sensitivity(each)) for each in ranks]
    parts: dict[str, Statistic] = {
        "map50": weighted.macro([_row(each, slice(0, 1)) for each in precisions]),
        "map": weighted.macro([_row(each, slice(None)) for each in precisions]),
        "froc_mean": weighted.macro([_row(each, slice(None)) for each in sensitivities]),
    }
    for number, rate in enumerate(RATES):
        parts[f"froc_{rate:g}"] = weighted.macro([_row(each, slice(number, number + 1)) for each in sensitivities])
    parts |= _as_shown(ranks)
    for name, precision, sensitivity in zip(classes, precisions, sensitivities, strict=True):
        parts[f"map50_{name}"], parts[f"map_{name}"] = _row(precision, slice(0, 1)), _row(precision, slice(None))
        parts[f"froc_1_{name}"] = _row(sensitivity, slice(RATES.index(1.0), RATES.index(1.0) + 1))
    drawn = intervals.bootstrap(parts, patients, seed, dict.fromkeys(parts, _ABSENT))
    ill = np.sum([each.findings for each in ranks], axis=0) > 0
    bounded = {name: _perfect(metric, len(np.unique(patients[ill]))) for name, metric in drawn.items() if name != "shown_false"}
    return drawn | bounded | _off(pairs(cases, SHOWN), patients, seed)


def mean_precision(cases: Sequence[Matched], classes: int) -> float:
    """``map50`` alone, without an interval; NaN where nothing is there."""
    whole = np.ones((len(cases), 1))
    return float(weighted.mean_known(np.stack([_precision(ranked(cases, [k]))(whole)[0] for k in range(classes)]))[0])


def own_precision(case: Matched) -> float:
    """``map50`` of one case alone; where nothing is there, 1 less the highest score answered."""
    if not case.findings.any():
        return 1 - float(case.scores.max(initial=0.0))
    return mean_precision([case], len(case.findings))


def rivals(a: Matched, b: Matched) -> tuple[Floats, Floats]:
    """Two answers to one case, each ``(1 + K,)``: `own_precision`; and ``map50`` of each class, NaN where the truth has none."""
    return _own(a), _own(b)


def _own(case: Matched) -> Floats:
    each = (_precision(ranked([case], [k]))(np.ones((1, 1)))[0, 0] for k in range(len(case.findings)))
    return np.array([own_precision(case), *each], np.float64)


def curve(cases: Sequence[Matched], number: int) -> tuple[Floats, Floats]:
    """FROC of a class, for drawing: false positives a case and sensitivity, from the strictest threshold on."""
    ranks = ranked(cases, [number])
    last = _last(ranks)
    falses, hits = np.cumsum(ranks.false)[last], np.cumsum(ranks.hit)[last]
    return np.r_[0, falses] / max(1, len(cases)), np.r_[0, hits] / max(1, int(ranks.findings.sum()))


def _as_shown(ranks: Sequence[Ranked]) -> dict[str, Statistic]:
    """Of answers as they are shown, all classes together: the share of findings that are hit, and false ones a case."""
    findings = np.sum([each.findings for each in ranks], axis=0).astype(np.float64)
    counts = len(findings)
    hits, falses = np.zeros(counts), np.zeros(counts)
    for each in ranks:
        seen = each.scores >= SHOWN
        hits += np.bincount(each.case[seen & each.hit], minlength=counts)
        falses += np.bincount(each.case[seen & each.false], minlength=counts)
    return {
        "shown_sensitivity": lambda weights: weighted.divided(hits @ weights, findings @ weights),
        "shown_false": weighted.mean(falses),
    }


def _off(found: Pairs, patients: Integers, seed: int) -> dict[str, Metric]:
    """How far off the answers are, in mean, for the cases that have hits."""
    cases, rows = np.unique(found.case, return_inverse=True)
    off = {"centre_distance": found.distance, "diameter_error": np.abs(found.diameter_found - found.diameter)}
    names = {f"{name}_{found.unit}": values for name, values in off.items()}
    if not len(cases):
        return dict.fromkeys(names, Metric(None, reason=_NONE_HIT))
    parts = {name: _spread(weighted.mean(values), rows) for name, values in names.items()}
    return intervals.bootstrap(parts, patients[cases], seed)


def _spread(statistic: Statistic, rows: Integers) -> Statistic:
    return lambda weights: statistic(weights[rows])


def _precision(ranks: Ranked) -> Statistic:
    """Weights ``(N, R)`` to average precision at each of `OVERLAPS`: ``(T, R)``, NaN where no finding is drawn."""
    rights = [np.flatnonzero(row) for row in ranks.right]

    def value(weights: Floats) -> Floats:
        taken = np.cumsum(weights[ranks.case], axis=0)
        there = ranks.findings @ weights
        found = np.stack([_area(weights[ranks.case[right]], taken[right], there) for right in rights])
        return np.where(there > 0, found, np.nan)

    return _in_blocks(value, len(ranks.case))


def _area(weights: Floats, taken: Floats, there: Floats) -> Floats:
    """Mean precision over 101 recalls. ``weights`` and ``taken``: ``(P, R)`` of right answers, and of all down to each of them.

    Between right answers precision only falls, so that these are enough.
    """
    right = np.cumsum(weights, axis=0)
    precision = np.divide(right, taken, out=np.zeros_like(right), where=taken > 0)
    falling = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
    falling = np.concatenate([falling, np.zeros((1, right.shape[1]))])
    recall = np.divide(right, there, out=np.zeros_like(right), where=there > 0)
    found = np.empty(right.shape[1])
    for column in range(right.shape[1]):
        found[column] = falling[np.searchsorted(recall[:, column], _RECALLS), column].mean()
    return found


def _sensitivity(ranks: Ranked) -> Statistic:
    """Weights ``(N, R)`` to sensitivity at each of `RATES`: ``(F, R)``. Answers of one score come together or not at all."""
    last = _last(ranks)
    hit = ranks.hit.astype(np.float64)[:, None]
    false = ranks.false.astype(np.float64)[:, None]

    def value(weights: Floats) -> Floats:
        each, cases, there = weights[ranks.case], weights.sum(axis=0), ranks.findings @ weights
        hits = np.cumsum(each * hit, axis=0)[last]
        falses = np.cumsum(each * false, axis=0)[last]
        hits = np.concatenate([np.zeros((1, len(cases))), hits])
        found = np.empty((len(RATES), len(cases)))
        for column, count in enumerate(cases):
            allowed = np.searchsorted(falses[:, column], np.asarray(RATES) * count, side="right")
            found[:, column] = hits[allowed, column]
        return weighted.divided(found, there)

    return _in_blocks(value, len(ranks.case))


def _last(ranks: Ranked) -> Integers:
    """The last of each run of answers of one score."""
    return np.flatnonzero(np.r_[np.diff(ranks.scores) != 0, True][: len(ranks.scores)])


def _in_blocks(value: Statistic, answers: int) -> Statistic:
    """The same, a few rounds at a time, so that memory does not grow with rounds times answers."""
    step = max(1, _BLOCK // max(1, answers))

    def blocks(weights: Floats) -> Floats:
        starts = range(0, weights.shape[1], step)
        return np.concatenate([value(np.ascontiguousarray(weights[:, start : start + step])) for start in starts], axis=1)

    return blocks


class _Once:
    """A statistic of several rows that several figures share: computed once for the weights of a block."""

    def __init__(self, value: Statistic) -> None:
        self._value = value
        self._asked: Floats | None = None
        self._given: Floats = np.zeros((0, 0))

    def __call__(self, weights: Floats) -> Floats:
        if self._asked is not weights:
            self._asked, self._given = weights, self._value(weights)
        return self._given


def _row(rows: Callable[[Floats], Floats], which: slice) -> Statistic:
    """The mean of some rows."""
    return lambda weights: np.asarray(rows(weights)[which].mean(axis=0))


def _perfect(found: Metric, patients: int) -> Metric:
    """Where all is right every resample is too; the number of patients with findings then bounds it below."""
    if found.value != 1.0 or found.low is None:
        return found
    return replace(found, low=intervals.lower_bound(1.0, patients, 0.025))
