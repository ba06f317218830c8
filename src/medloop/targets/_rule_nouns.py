"""Rules as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from medloop.types import Json

KINDS = ("measure", "count", "inside", "fraction", "growth")


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a clinician.

    ``kind``: one of `KINDS`. ``what``: the measure (``measure``, ``growth``) or the class. ``of``: the class that it lies in
    (``inside``) or is a part of (``fraction``). ``low`` and ``high``: the bounds, both allowed, None where there is none; of a
    measure in ``unit``, of ``inside`` and ``fraction`` shares, of ``growth`` times last time. ``weight``: of the penalty while a
    network learns, 0 for none.
    """

    name: str
    kind: str
    what: str
    of: str = ""
    low: float | None = None
    high: float | None = None
    unit: str = ""
    reason: str = ""
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What rules can be about.

    ``measures``: names to the unit, and where it is another in images without a spacing, that too. ``masks``: classes of label
    maps, in order. ``boxes``: classes of boxes. ``spacing``: whether the images have one, None where some may.
    """

    measures: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    masks: tuple[str, ...] = ()
    boxes: tuple[str, ...] = ()
    spacing: bool | None = None

    def units(self, measure: str, spacing: bool | None = None) -> tuple[str, ...]:
        """What the measure can come in, in an image with or without a spacing."""
        known = self.measures[measure]
        spacing = self.spacing if spacing is None else spacing
        return known if spacing is None else known[:1] if spacing else known[-1:]

    def to_json(self) -> dict[str, Json]:
        """Plain JSON."""
        measures = {name: list(units) for name, units in self.measures.items()}
        return {"measures": measures, "masks": list(self.masks), "boxes": list(self.boxes), "spacing": self.spacing}

    @staticmethod
    def from_json(content: Mapping[str, Json]) -> Vocabulary:
        """The inverse of `to_json`."""
        measures = {name: tuple(units) for name, units in content["measures"].items()}
        return Vocabulary(measures, tuple(content["masks"]), tuple(content["boxes"]), content["spacing"])


@dataclass(frozen=True, slots=True)
class Rules:
    """Rules with what they are about: all that a check needs."""

    rules: tuple[Rule, ...] = ()
    about: Vocabulary = field(default_factory=Vocabulary)

    def __len__(self) -> int:
        return len(self.rules)
