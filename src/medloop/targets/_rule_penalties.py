"""Rules as penalties: what a network that learns masks can feel of them."""

from __future__ import annotations

from dataclasses import dataclass

from medloop.targets import _rule_units as units
from medloop.targets._rule_nouns import Rule, Rules

_SIZES = {"area": ("mm2", 2), "volume": ("ml", 3)}


@dataclass(frozen=True, slots=True)
class Penalty:
    """A bound on something that mask probabilities have in expectation.

    ``kind``: ``size`` (the sum of a class, bounds in mm2 or mm3, or in pixels where ``axes`` is 0), ``fraction``, ``inside``, or
    ``present`` (a class is there: low 1, or it is not: high 0). ``what`` and ``of``: channels of the scores, 0 is of no class.
    ``axes``: how many axes of a voxel its size has.
    """

    rule: str
    kind: str
    what: int
    of: int = 0
    low: float | None = None
    high: float | None = None
    axes: int = 0
    weight: float = 1.0


def penalties(rules: Rules) -> tuple[Penalty, ...]:
    """Of the rules that have one: bounds of area and volume, fractions, ``inside``, and counts of none or of one at least.

    The others are checked in the answer alone.
    """
    found = (_penalty(rule, rules) for rule in rules.rules if rule.weight > 0)
    return tuple(each for each in found if each is not None)


def _penalty(rule: Rule, rules: Rules) -> Penalty | None:
    masks = rules.about.masks
    if rule.kind in ("inside", "fraction"):
        what, of = masks.index(rule.what) + 1, masks.index(rule.of) + 1
        return Penalty(rule.name, rule.kind, what, of, rule.low, rule.high, weight=rule.weight)
    if rule.kind == "count" and rule.what in masks:
        low = 1.0 if rule.low else None
        high = 0.0 if rule.high == 0 else None
        what = masks.index(rule.what) + 1
        return None if low is None and high is None else Penalty(rule.name, "present", what, 0, low, high, weight=rule.weight)
    return _size(rule, masks) if rule.kind == "measure" else None


def _size(rule: Rule, masks: tuple[str, ...]) -> Penalty | None:
    """A bound on ``<class> area`` or ``<class> volume``."""
    kind, _, measure = rule.what.rpartition(" ")
    if kind not in masks or measure not in _SIZES:
        return None
    if rule.unit.startswith("px"):
        return Penalty(rule.name, "size", masks.index(kind) + 1, 0, rule.low, rule.high, 0, rule.weight)
    unit, axes = _SIZES[measure]
    scale = units.factor(rule.unit, unit) * (1000.0 if axes == 3 else 1.0)
    low, high = (None if bound is None else bound * scale for bound in (rule.low, rule.high))
    return Penalty(rule.name, "size", masks.index(kind) + 1, 0, low, high, axes, rule.weight)
