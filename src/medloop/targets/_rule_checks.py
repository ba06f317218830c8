"""Rules held against an answer."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from medloop.evaluation.detection import SHOWN
from medloop.targets import _rule_units as units
from medloop.targets._components import instances
from medloop.targets._rule_nouns import Rule, Rules
from medloop.types import Array, Findings, SpacingMm, Violation


def check(
    rules: Rules, findings: Findings, spacing_mm: SpacingMm | None = None, prior: Findings | None = None
) -> tuple[Violation, ...]:
    """Every rule that the answer breaks, or that could not be held against it, in the order of the rules.

    ``spacing_mm``: of the image as read; without it measures of masks are in pixels. ``prior``: what was found in the patient
    last time; without it rules of growth say nothing. A rule about the size or place of what is not there is not broken.
    """
    found = (_check(rule, rules, findings, spacing_mm is not None, prior) for rule in rules.rules)
    return tuple(each for each in found if each is not None)


def _check(rule: Rule, rules: Rules, findings: Findings, spacing: bool, prior: Findings | None) -> Violation | None:
    if rule.kind == "measure":
        return _measure(rule, findings, rules.about.units(rule.what, spacing)[0])
    if rule.kind == "growth":
        return _growth(rule, findings, prior, rules.about.units(rule.what, spacing)[0])
    if rule.kind == "count":
        return _count(rule, rules, findings)
    if findings.mask is None:
        return _unchecked(rule, "there is no mask")
    what = findings.mask == rules.about.masks.index(rule.what) + 1
    of = findings.mask == rules.about.masks.index(rule.of) + 1
    if rule.kind == "inside":
        return _share(rule, float(enclosed(of)[what].mean()), f"of {rule.what} lies in {rule.of}") if what.any() else None
    both = int(what.sum()) + int(of.sum())
    return _share(rule, int(what.sum()) / both, f"of {rule.of} is {rule.what}") if both else None


def _measure(rule: Rule, findings: Findings, unit: str) -> Violation | None:
    value = findings.measures.get(rule.what)
    if value is None:
        return _unchecked(rule, f"{rule.what} was not measured")
    if math.isnan(value) or (value == 0 and unit):
        return None
    if not units.same_kind(unit, rule.unit):
        return _unchecked(rule, f"{rule.what} is {value:.4g} {unit}, which cannot be told in {rule.unit}")
    value *= units.factor(unit, rule.unit)
    return None if _allowed(rule, value) else _broken(rule, f"{rule.what} {value:.4g} {rule.unit}".rstrip())


def _growth(rule: Rule, findings: Findings, prior: Findings | None, unit: str) -> Violation | None:
    """New where nothing was before is more than any growth."""
    if prior is None:
        return None
    value, before = findings.measures.get(rule.what), prior.measures.get(rule.what)
    if value is None or before is None:
        return _unchecked(rule, f"{rule.what} was not measured {'now' if value is None else 'last time'}")
    if math.isnan(value):
        return None
    if unit.startswith("px"):
        return _unchecked(rule, f"{rule.what} is {value:.4g} {unit}, and the image does not say how large a pixel is")
    if math.isnan(before) or before == 0:
        new = value > 0 and rule.high is not None
        return _broken(rule, f"{rule.what} {value:.4g} {unit}".rstrip() + ", nothing last time") if new else None
    times = value / before
    told = f"{rule.what} {value:.4g} {unit}".rstrip() + f", {times:.3g} times the {before:.4g} of last time"
    return None if _allowed(rule, times) else _broken(rule, told)


def _count(rule: Rule, rules: Rules, findings: Findings) -> Violation | None:
    """Connected parts of a mask; where there is none, boxes that are shown."""
    if rule.what in rules.about.masks and findings.mask is not None:
        value = rules.about.masks.index(rule.what) + 1
        number = int((instances(np.where(findings.mask == value, findings.mask, 0)).classes == value).sum())
    elif rule.what in rules.about.boxes and findings.box_classes is not None and findings.box_scores is not None:
        mine = findings.box_classes == rules.about.boxes.index(rule.what)
        number = int((mine & (findings.box_scores >= SHOWN)).sum())
    else:
        return _unchecked(rule, "there is neither a mask nor a box to count")
    return None if _allowed(rule, number) else _broken(rule, f"{number} {rule.what}")


def enclosed(of: Array) -> NDArray[np.bool_]:
    """Which voxels ``(Z, Y, X)`` lie in ``of`` or are enclosed by it: it is met in more than half of the directions along the axes.

    In a mask each voxel has one class, so that a tumour is a hole in its liver, or a notch at its edge: both count as inside, what
    lies beside it does not.
    """
    axes = [axis for axis in range(of.ndim) if of.shape[axis] > 1]
    met = np.zeros(of.shape, np.int64)
    for axis in axes:
        met += np.logical_or.accumulate(of, axis=axis)
        met += np.flip(np.logical_or.accumulate(np.flip(of, axis), axis=axis), axis)
    return np.asarray(of | (met > len(axes)))


def _share(rule: Rule, share: float, words: str) -> Violation | None:
    return None if _allowed(rule, share) else _broken(rule, f"{share:.1%} {words}")


def _allowed(rule: Rule, value: float) -> bool:
    return (rule.low is None or value >= rule.low) and (rule.high is None or value <= rule.high)


def _broken(rule: Rule, value: str) -> Violation:
    return Violation(rule.name, value, allowed(rule))


def _unchecked(rule: Rule, why: str) -> Violation:
    """What cannot be checked is told like what is broken: nobody may take it for obeyed."""
    return Violation(rule.name, f"not checked: {why}", allowed(rule))


def allowed(rule: Rule) -> str:
    """The bounds in words."""
    share = rule.kind in ("inside", "fraction")
    unit = " times last time" if rule.kind == "growth" else f" {rule.unit}" if rule.unit else ""
    bounds = [
        f"{words} {format(bound, '.4g') if not share else format(bound, '.4%').rstrip('0%').rstrip('.') + ' %'}{unit}"
        for words, bound in (("at least", rule.low), ("at most", rule.high))
        if bound is not None
    ]
    return " and ".join(bounds) + (", or a reason" if rule.kind == "growth" else "")
