"""Figures of measures by the measure: a row each, with its unit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from medloop.types import Metric, Target

FIGURES = ("mae", "bias", "limit_low", "limit_high", "icc")
"""What is told of each measure (`medloop.evaluation.agreement`)."""


def key(figure: str, measure: str, unit: str) -> str:
    """The name of a figure of one measure: ``mae_longest_diameter_mm``; ``icc`` has no unit."""
    return "_".join(filter(None, (figure, measure.replace(" ", "_"), "" if figure == "icc" else unit)))


def named(target: Target) -> Iterator[tuple[str, str]]:
    """Each measure and its unit."""
    return zip(target.classes, target.units or ("",) * len(target.classes), strict=True)


def rows(target: Target, figures: Mapping[str, Metric]) -> list[tuple[str, list[tuple[str, Metric]]]]:
    """Of each measure its name with the unit, and its figures."""
    missing = Metric(None, reason="not computed")
    return [
        (f"{name} ({unit})" if unit else name, [(figure, figures.get(key(figure, name, unit), missing)) for figure in FIGURES])
        for name, unit in named(target)
    ]
