"""What is learnt beside classes: how scores become an answer, how good an answer is, how it is drawn. NumPy only, without torch.

A target is a module of this room with ``KIND``: the kind of `Target` that it serves, whose value is the module's name
(`TargetModule`), or None for a helper (a task without labels, rules). Every module says ``metrics``. What one case adds to the
figures is a small tally, so that answers pass by one at a time and are never held all at once::

    module = targets.of(target.kind)
    tallies = [module.tally(target, found, truth, spacing_mm) for found, truth, spacing_mm in answers]
    figures = module.metrics(target, tallies, patients)

Truth and answer of a case are both `Findings`: of the truth only what its target is about is filled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, cast

from medloop import registry
from medloop.types import Array, Findings, Integers, Metric, SpacingMm, Target, TargetKind

__all__ = ["TargetModule", "of"]


class TargetModule(Protocol):
    """A module that serves a kind of structured target.

    It also has ``decode``, from what a network says to the answer, with the arguments that its kind needs, and where answers are
    tidied a ``Cleaning``: frozen, ``to_json()`` and ``from_json(content)``, learnt on out-of-fold scores by ``learn_cleaning``.
    """

    KIND: TargetKind

    def tally(self, target: Target, found: Findings, truth: Findings, spacing_mm: SpacingMm | None) -> Any:
        """What one case adds to the figures: a frozen dataclass of small arrays. ``spacing_mm`` of the image as read."""

    def merit(self, tally: Any) -> float:
        """How well the case went, higher is better; NaN where it is not judged. For the best, middle and worst case."""

    def metrics(self, target: Target, tallies: Sequence[Any], patients: Integers, seed: int = 0) -> dict[str, Metric]:
        """Every figure of N cases with its interval. ``patients`` ``(N,)``; equal numbers are resampled together."""

    def slice_of(self, found: Findings, truth: Findings | None = None) -> int:
        """The slice of a volume that shows the case best; 0 where nothing is there to show."""

    def picture(self, rgb: Array, target: Target, found: Findings, truth: Findings | None = None, z: int = 0) -> Array:
        """The slice ``z`` drawn on ``rgb`` ``(Y, X, 3)`` uint8: a new array of the same shape, answer filled, truth as contour."""


def of(kind: TargetKind) -> TargetModule:
    """The module that serves this kind of structured target."""
    return cast(TargetModule, registry.load("targets", kind.value))
