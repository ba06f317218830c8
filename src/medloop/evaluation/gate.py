"""May a challenger take the champion's place? Decided on the same frozen test cases, paired, by patient.

It may if the one-sided lower bound of its gain lies above 0 and no class and no subgroup of at least `Rules.fewest` cases is worse
by more than its margin. The gain is that of the AUC (`gains.of_aucs`), of numbers that of the mean absolute error, of masks that of
the Dice of a case, of boxes that of the average precision of a case (`Drawn`). Of several targets the main one must be better, and
none of the others, as a whole or for a class or subgroup, worse by more than its margin: they can only veto, so the chance of a
wrong promotion stays that of the main one.

The same test set is looked at several times. The chance of wrongly promoting any of the no-better challengers of its whole life is
at most ``2 * alpha``: the first look may err with probability ``alpha`` (a bound of 97.5 %), the others share another ``alpha``
evenly (Bonferroni), and after the last allowed look the set is used up. Challengers never learn from test cases; who tunes them by
hand until the figures of earlier looks rise breaks this promise (Blum and Hardt 2015, The Ladder).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np

from medloop.evaluation import gains, weighted
from medloop.evaluation.comparison import Side
from medloop.evaluation.gains import Gain
from medloop.types import Array, Floats, Integers, Target, TargetKind


class Decision(StrEnum):
    """What the gate says."""

    PROMOTED = "promoted"
    REFUSED = "refused"
    NEEDS_PERSON = "needs-person"


@dataclass(frozen=True, slots=True)
class Rules:
    """``alpha``: chance of a wrong promotion at the first look, and again at all later ones together. ``fewest``: smaller classes
    and subgroups cannot veto. ``margin``: by how much a group may be worse (of a share or an AUC; of numbers this part of the
    champion's error); ``margins``: of single groups, by ``class=NAME`` or ``ATTRIBUTE=GROUP``. ``patients``: fewer on either side
    of a class prove nothing."""

    alpha: float = 0.025
    looks_allowed: int = 20
    fewest: int = 30
    margin: float = 0.05
    margins: Mapping[str, float] = field(default_factory=dict)
    patients: int = 10

    def tail(self, look: int) -> float:
        """The chance of a wrong promotion that the ``look``-th look (from 1) may take; 0 when the set is used up."""
        if look > self.looks_allowed:
            return 0.0
        return self.alpha if look == 1 else self.alpha / (self.looks_allowed - 1)


@dataclass(frozen=True, kw_only=True, eq=False)
class Trial:
    """N frozen test cases as both models answer them. ``values``: truth as in `Dataset.values`. ``patients``: ``(N,)``.
    ``attributes``: subgroup facts of each case by name, or empty. ``look``: which look at this test set it is, from 1."""

    target: Target
    values: Array
    champion: Side
    challenger: Side
    patients: Integers
    attributes: Sequence[Mapping[str, str]] = ()
    look: int = 1


@dataclass(frozen=True, kw_only=True, eq=False)
class Drawn:
    """N frozen test cases with masks or boxes as both models answer them.

    ``champion``, ``challenger``: ``(N, 1 + K)``, how good the answer is from 0 to 1: in all, then in each class, NaN where the
    truth does not have it. The rest as in `Trial`.
    """

    target: Target
    champion: Floats
    challenger: Floats
    patients: Integers
    attributes: Sequence[Mapping[str, str]] = ()
    look: int = 1


@dataclass(frozen=True, slots=True)
class Change:
    """One figure of both models: over all cases (``group`` empty) or over those of a class or subgroup.

    ``difference`` is above 0 where the challenger is better. ``low`` and ``high``: over all cases the bound (``high`` None), of
    groups the 95 % interval.
    """

    group: str
    metric: str
    cases: int
    champion: float
    challenger: float
    difference: float
    low: float | None
    high: float | None
    margin: float | None = None
    worse: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """``reasons``: plain words, the deciding one first. ``confidence``: of the bound at this look, one-sided."""

    decision: Decision
    reasons: tuple[str, ...]
    gain: Change | None
    groups: tuple[Change, ...]
    look: int
    looks_allowed: int
    confidence: float


def judge(trial: Trial | Drawn, rules: Rules | None = None, beside: Sequence[Trial | Drawn] = ()) -> Verdict:
    """The verdict on a challenger, with its reasons. ``trial``: of the main target; ``beside``: of those that must not be worse."""
    rules = rules or Rules()
    tail = rules.tail(trial.look)
    gain = gain_of(trial)
    whole = _told(gain, "", metric_of(trial.target), len(trial.patients), gain.bound(tail) if gain and tail else None)
    groups = (*groups_of(trial, rules), *(change for each in beside for change in _beside(each, rules)))
    few = [reason for each in beside if (reason := _too_few(gain_of(each), rules, each.target.name))]
    decision, reasons = _decided(gain, whole, groups, trial, rules)
    if few and decision is Decision.PROMOTED:
        decision, reasons = Decision.NEEDS_PERSON, (*few, reasons[0])
    return Verdict(decision, reasons, whole, groups, trial.look, rules.looks_allowed, 1 - tail)


def gain_of(trial: Trial | Drawn) -> Gain | None:
    """The gain over all cases; None where the figure is undefined on them."""
    if len(trial.patients) == 0:
        return None
    return _gain(trial, np.ones(len(trial.patients), dtype=bool))


def groups_of(trial: Trial | Drawn, rules: Rules) -> Iterator[Change]:
    """Every class and every subgroup that is large enough to veto."""
    for name, inside, gain, metric in (*_classes(trial), *_subgroups(trial, rules)):
        if gain is not None and inside >= rules.fewest:
            yield _change(name, inside, gain, metric, rules)


def _beside(trial: Trial | Drawn, rules: Rules) -> Iterator[Change]:
    """A target that must not be worse: as a whole, however few its cases are, and for its classes and subgroups."""
    name, gain = trial.target.name, gain_of(trial)
    if gain is not None:
        yield _change(f"target={name}", len(trial.patients), gain, metric_of(trial.target), rules)
    yield from (replace(each, group=f"{name} {each.group}") for each in groups_of(trial, rules))


def _change(name: str, inside: int, gain: Gain, metric: str, rules: Rules) -> Change:
    margin = rules.margins.get(name, rules.margin) * (gain.a if metric == "mae" else 1.0)
    low, high = gain.between() or (None, None)
    return Change(name, metric, inside, gain.a, gain.b, gain.difference, low, high, margin, gain.difference < -margin)


def _too_few(gain: Gain | None, rules: Rules, of: str = "") -> str:
    """Why nothing can be told; empty where there are enough patients."""
    have = 0 if gain is None else gain.patients
    if have >= rules.patients:
        return ""
    if of:
        return f"Too few test cases to tell of {of}: {have} patients, at least {rules.patients} are needed."
    return f"Too few test cases to tell: {have} patients on the rarer side of a class, at least {rules.patients} are needed."


def _decided(
    gain: Gain | None, whole: Change | None, groups: Sequence[Change], trial: Trial | Drawn, rules: Rules
) -> tuple[Decision, tuple[str, ...]]:
    worse = tuple(
        f"It is worse for {each.group} ({each.cases} cases): {_figure(each.metric)} {each.challenger:.3f} instead of "
        f"{each.champion:.3f}; {each.margin:.3g} less is allowed."
        for each in groups
        if each.worse
    )
    if trial.look > rules.looks_allowed:
        used_up = f"The test set has been looked at {rules.looks_allowed} times, as often as is allowed: draw a new one."
        return Decision.NEEDS_PERSON, (used_up, *worse)
    few = _too_few(gain, rules, trial.target.name if isinstance(trial, Drawn) else "")
    if few or gain is None or whole is None:
        return Decision.NEEDS_PERSON, (few, *worse)
    if whole.low is None:
        if gain.difference <= 0:
            return Decision.REFUSED, ("The two models do not differ in what is judged.", *worse)
        return Decision.NEEDS_PERSON, ("The two models differ by the same amount in every case: no bound can be stated.", *worse)
    surely = f"with {_percent(1 - rules.tail(trial.look))} confidence (look {trial.look} of {rules.looks_allowed})"
    said = f"{_figure(whole.metric)} {whole.challenger:.3f} instead of {whole.champion:.3f}"
    if whole.low <= 0:
        least = f"the difference is known {surely} to be above {whole.low:+.4f} only, and must be known to be above 0"
        return Decision.REFUSED, (f"Not shown to be better: {said}; {least}.", *worse)
    better = f"Better: {said}, by at least {whole.low:.4f} {surely}."
    if worse:
        return Decision.NEEDS_PERSON, (*worse, better)
    return Decision.PROMOTED, (better, _no_group(groups, rules))


def _no_group(groups: Sequence[Change], rules: Rules) -> str:
    if not groups:
        return f"No class or subgroup has {rules.fewest} cases, so none could be checked."
    return f"None of the {len(groups)} classes and subgroups with at least {rules.fewest} cases is worse by more than its margin."


def _told(gain: Gain | None, group: str, metric: str, cases: int, low: float | None) -> Change | None:
    return None if gain is None else Change(group, metric, cases, gain.a, gain.b, gain.difference, low, None)


def metric_of(target: Target) -> str:
    """The figure that decides."""
    return _METRICS.get(target.kind, "auc")


def _gain(trial: Trial | Drawn, inside: Array) -> Gain | None:
    """The gain of the main figure among the cases where ``inside`` ``(N,)`` is true."""
    if isinstance(trial, Drawn):
        return gains.of_means(trial.champion[inside, 0], trial.challenger[inside, 0], trial.patients[inside])
    values, patients = np.asarray(trial.values)[inside], trial.patients[inside]
    a, b = trial.champion.probabilities[inside], trial.challenger.probabilities[inside]
    if trial.target.kind is TargetKind.NUMBER:
        return gains.of_means(np.abs(a[:, 0] - values), np.abs(b[:, 0] - values), patients, less_is_better=True)
    return gains.of_aucs(trial.target, values, a, b, patients)


def _rights(trial: Trial | Drawn) -> tuple[Floats, Floats] | None:
    """Whether each case (multi-label: each label, unknown ones not) is decided rightly, by each model."""
    if isinstance(trial, Drawn) or trial.champion.choices is None or trial.challenger.choices is None:
        return None
    values = np.asarray(trial.values)
    known = np.isfinite(values.astype(np.float64))
    first, second = (np.where(known, values == side.choices, np.nan) for side in (trial.champion, trial.challenger))
    return first, second


def _classes(trial: Trial | Drawn) -> Iterator[tuple[str, int, Gain | None, str]]:
    """Of every class the share of its cases that is found; of masks and boxes how well it is drawn where it is there."""
    if isinstance(trial, Drawn):
        for k, name in enumerate(trial.target.classes, 1):
            inside = np.flatnonzero(np.isfinite(trial.champion[:, k]))
            gain = gains.of_means(trial.champion[inside, k], trial.challenger[inside, k], trial.patients[inside])
            yield f"class={name}", len(inside), gain, metric_of(trial.target)
        return
    rights = _rights(trial)
    if rights is None:
        return
    for k, name in enumerate(trial.target.classes):
        several = trial.target.kind is TargetKind.MULTILABEL
        inside = np.flatnonzero(trial.values[:, k] == 1 if several else np.asarray(trial.values) == k)
        first, second = (side[inside, k] if several else side[inside] for side in rights)
        yield f"class={name}", len(inside), gains.of_means(first, second, trial.patients[inside]), "found"


def _subgroups(trial: Trial | Drawn, rules: Rules) -> Iterator[tuple[str, int, Gain | None, str]]:
    """Of every subgroup the main figure; where its classes are too few for an AUC the share of right decisions."""
    rights = _rights(trial)
    for attribute in sorted({name for each in trial.attributes for name in each}):
        column = np.array([each.get(attribute, "") for each in trial.attributes])
        for group in np.unique(column[column != ""]).tolist():
            inside = column == group
            gain, metric = _gain(trial, inside), metric_of(trial.target)
            if (gain is None or gain.patients < rules.patients) and rights is not None:
                first, second = (weighted.mean_known(side[inside].reshape(int(inside.sum()), -1).T) for side in rights)
                gain, metric = gains.of_means(first, second, trial.patients[inside]), "right"
            yield f"{attribute}={group}", int(inside.sum()), gain, metric


_METRICS = {TargetKind.NUMBER: "mae", TargetKind.MASKS: "dice", TargetKind.BOXES: "precision"}
FIGURES = {
    "auc": "AUC",
    "mae": "mean absolute error",
    "dice": "Dice",
    "precision": "average precision",
    "found": "share found",
    "right": "share right",
}
"""Of each metric of the gate, what people call it."""


def _figure(metric: str) -> str:
    return FIGURES.get(metric, metric)


def _percent(share: float) -> str:
    return f"{100 * share:.4g} %"
