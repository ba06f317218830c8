"""Which answers may stand without a person, at a promised rate of errors among them.

The promise bounds selective risk (Geifman and El-Yaniv, NeurIPS 2017): of the answers accepted, at most ``rate`` are wrong, with a
stated confidence, for new cases like those judged. Thresholds are tested one after another in an order that is fixed before any
mistake is looked at, and the testing stops at the first that fails, so that choosing among them costs nothing (fixed-sequence
testing as in Learn then Test, Angelopoulos et al. 2021). Each test is the exact binomial bound of Clopper and Pearson (1934);
cases of one patient count as in `intervals.effective_cases`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from medloop.errors import InputError
from medloop.evaluation import intervals
from medloop.types import Array, Floats, Integers

CONFIDENCE = 0.95
_STEPS = 100
_FIRST = 2.5
"""Where the scores say nothing of the mistakes to expect, testing begins at so many times the fewest cases that could pass."""


@dataclass(frozen=True, slots=True)
class Promise:
    """At most ``rate`` of the answers whose confidence is ``threshold`` or more are wrong; None: there is no promise.

    ``bound``: the upper bound of their rate of errors, at ``confidence``. ``share``: of the ``cases`` judged how many are accepted;
    ``accepted`` and ``mistakes`` count them. ``why``: in a sentence.
    """

    rate: float
    confidence: float
    threshold: float | None
    share: float
    bound: float | None
    accepted: int
    mistakes: int
    cases: int
    why: str

    def accepts(self, scores: Floats) -> Array:
        """``(N,)`` bool: which answers may stand without a person. NaN never does."""
        if self.threshold is None:
            return np.zeros(len(scores), np.bool_)
        return np.asarray(np.asarray(scores) >= self.threshold)


@dataclass(frozen=True, slots=True)
class Passed:
    """One threshold that passed: the bound at it, how many answers it accepts, and how many of these are wrong."""

    threshold: float
    bound: float
    accepted: int
    mistakes: int


def promised(
    scores: Floats, correct: Array, rate: float, confidence: float = CONFIDENCE, patients: Integers | None = None
) -> Promise:
    """The lowest threshold of ``scores`` ``(N,)`` at which no more than ``rate`` of the answers are wrong, or none, and why.

    ``correct``: ``(N,)`` bool. Score and correctness must be of answers to cases that the model had not learnt from. ``patients``:
    ``(N,)`` whose case each is (None: all of different patients). Raises `InputError` for a rate or confidence that makes no sense.
    """
    _refuse_nonsense(rate, confidence)
    known = np.isfinite(scores)
    scores, wrong = np.asarray(scores, np.float64)[known], ~np.asarray(correct, np.bool_)[known]
    people = np.arange(len(scores)) if patients is None else np.asarray(patients)[known]
    tail = 1 - confidence
    needed = fewest(rate, confidence)
    best = first = None
    for tested in tests(scores, wrong, people, sizes(scores, people, rate, confidence), tail):
        first = first or tested
        if tested.bound > rate:
            break
        best = tested
    return _told(best, first, needed, len(scores), rate, confidence)


def fewest(rate: float, confidence: float = CONFIDENCE) -> int:
    """How many cases without one mistake it takes at least to promise ``rate``."""
    return math.ceil(math.log(1 - confidence) / math.log1p(-rate) - 1e-9)


def sizes(scores: Floats, patients: Integers, rate: float, confidence: float = CONFIDENCE) -> Integers:
    """How many of the surest cases to test with, in the order of testing: from where a pass is likeliest on to all of them.

    Only scores and patients are looked at, never mistakes: scores that are probabilities tell how many mistakes to expect.
    """
    order = np.argsort(-scores, kind="stable")
    first = np.zeros(len(scores), np.int64)
    first[np.unique(patients[order], return_index=True)[1]] = 1
    people, needed = np.cumsum(first), fewest(rate, confidence)
    possible = np.flatnonzero(people >= needed)
    if len(possible) == 0:
        return possible
    least = int(possible[0])
    begin = max(least, int(np.searchsorted(people, min(_FIRST * needed, people[-1]))))
    ordered = scores[order]
    if ordered[-1] >= 0 and ordered[0] <= 1:
        spare = (rate - np.cumsum(1 - ordered) / np.arange(1, len(scores) + 1)) * np.sqrt(people)
        likely = least + int(np.argmax(spare[least:]))
        begin = likely if spare[likely] > 0 else begin
    return np.unique(np.linspace(begin + 1, len(scores), _STEPS).astype(np.int64))


def tests(scores: Floats, wrong: Array, patients: Integers, order: Iterable[int], tail: float) -> Iterator[Passed]:
    """The bound at the threshold of each number of surest cases, in this order, as far as it is asked for.

    Thresholds that accept fewer than `intervals.FEWEST_PATIENTS` patients are passed over.
    """
    ranked = np.sort(scores)[::-1]
    for size in order:
        threshold = float(ranked[size - 1])
        accepted = scores >= threshold
        if len(np.unique(patients[accepted])) < intervals.FEWEST_PATIENTS:
            continue
        errors = wrong[accepted]
        effective = intervals.effective_cases(errors, patients[accepted])
        bound = intervals.upper_bound(float(np.mean(errors)), effective, tail)
        yield Passed(threshold, bound, len(errors), int(errors.sum()))


def _told(best: Passed | None, first: Passed | None, needed: int, cases: int, rate: float, confidence: float) -> Promise:
    said = f"at most {_percent(rate)} wrong, {_percent(confidence)} confidence"
    if best is not None:
        why = (
            f"Of the {best.accepted} judged cases that were at least as sure, {best.mistakes} were wrong: with "
            f"{_percent(confidence)} confidence at most {_percent(best.bound)} are."
        )
        share = best.accepted / cases
        return Promise(rate, confidence, best.threshold, share, best.bound, best.accepted, best.mistakes, cases, why)
    if first is None:
        why = f"{cases} judged cases are too few to promise {said}: it takes at least {needed} patients, all of them right."
        return Promise(rate, confidence, None, 0.0, None, 0, 0, cases, why)
    why = (
        f"Nothing can be promised ({said}): of the {first.accepted} surest judged cases {first.mistakes} were wrong, so that up to "
        f"{_percent(first.bound)} may be."
    )
    return Promise(rate, confidence, None, 0.0, first.bound, 0, 0, cases, why)


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _refuse_nonsense(rate: float, confidence: float) -> None:
    for name, value, low, high in (("error rate", rate, 0.0, 1.0), ("confidence", confidence, 0.5, 1.0)):
        if not low < value < high:
            raise InputError(
                f"bad-{name.replace(' ', '-')}",
                got=f"The {name} {value:g}.",
                allowed=f"A number between {low:g} and {high:g}, such as {0.02 if low == 0 else 0.95}.",
                fix=f"Set another {name}.",
            )
