"""How good masks are: what one case adds, and the figures of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medloop.evaluation import agreement, overlap, surfaces, weighted
from medloop.evaluation.evidence import Agreement
from medloop.targets._extent import Extent, extent
from medloop.types import UNKNOWN, Findings, Floats, Integers, Metric, SpacingMm, Target

_SIZES = {
    ("mm", True): ("area", "mm2"),
    ("px", True): ("area", "px2"),
    ("mm", False): ("volume", "ml"),
    ("px", False): ("volume", "px3"),
}
"""How the size of a class is called and in which unit, by the unit of lengths and whether it is a picture."""


@dataclass(frozen=True, slots=True, eq=False)
class MaskTally:
    """What one case adds to the figures of masks of K classes, and of all joined where there are several (P parts).

    ``confusion``: ``(K + 1, K + 1)`` voxels, rows are the truth. ``hd95`` and ``surface_dice``: ``(P,)``, NaN where undefined, in
    ``unit``: ``mm``, or ``px`` where the spacing is unknown. ``truth``, ``found``: how large the classes are. ``flat``: a picture.
    """

    confusion: Integers
    hd95: Floats
    surface_dice: Floats
    unit: str
    truth: Extent
    found: Extent
    flat: bool


def tally(target: Target, found: Findings, truth: Findings, spacing_mm: SpacingMm | None) -> MaskTally:
    """Both masks ``(Z, Y, X)`` are on one grid; without an answer nothing was found."""
    if truth.mask is None:
        raise ValueError("a case without a true mask is not judged")
    answer = found.mask if found.mask is not None else np.zeros_like(truth.mask)
    classes = len(target.classes)
    apart = surfaces.compare(truth.mask, answer, classes, spacing_mm)
    judged = np.where(truth.mask == UNKNOWN, UNKNOWN, answer)
    return MaskTally(
        confusion=overlap.confusion(truth.mask, answer, classes),
        hd95=apart.hd95,
        surface_dice=apart.surface_dice,
        unit=apart.unit,
        truth=extent(truth.mask, classes, spacing_mm),
        found=extent(judged, classes, spacing_mm),
        flat=len(answer) == 1,
    )


def merit(tally: MaskTally) -> float:
    """Mean Dice of the classes that truth or answer have."""
    return float(weighted.mean_known(overlap.dice(tally.confusion)))


def rivals(a: MaskTally, b: MaskTally) -> tuple[Floats, Floats]:
    """See `medloop.evaluation.overlap.rivals`."""
    return overlap.rivals(a.confusion, b.confusion)


def metrics(target: Target, tallies: Sequence[MaskTally], patients: Integers, seed: int = 0) -> dict[str, Metric]:
    """Dice and IoU (`medloop.evaluation.overlap`), distances (`medloop.evaluation.surfaces`), and ``diameter_error_mm``.

    That is how far off the longest diameter of each class's largest part is, in mean; ``_px`` where the spacing is unknown.
    """
    confusions = np.stack([each.confusion for each in tallies])
    figures = overlap.score(target.classes, confusions, patients, seed)
    figures |= surfaces.score(target.classes, tallies, patients, seed)
    for unit in ("mm", "px"):
        which = np.array([each.unit == unit for each in tallies], dtype=bool)
        if which.any():
            values = _side_by_side([each for each in tallies if each.unit == unit], "diameter")
            figures |= agreement.errors("diameter_error", unit, target.classes, values, patients[which], seed)
    return figures


def compared(target: Target, tallies: Sequence[MaskTally]) -> tuple[Agreement, ...]:
    """Longest diameter and size of each class beside their truth, for plots of agreement."""
    found = []
    for kind in dict.fromkeys((each.unit, each.flat) for each in tallies):
        chosen = [each for each in tallies if (each.unit, each.flat) == kind]
        name, unit = _SIZES[kind]
        for measure, told, units in (("diameter", "longest diameter", kind[0]), ("size", name, unit)):
            truth, answer = _side_by_side(chosen, measure)
            for k, one in enumerate(target.classes):
                both = np.isfinite(truth[:, k]) & np.isfinite(answer[:, k])
                if both.any():
                    found.append(Agreement(f"{one} {told}", units, truth[both, k], answer[both, k]))
    return tuple(found)


def _side_by_side(tallies: Sequence[MaskTally], measure: str) -> tuple[Floats, Floats]:
    """Truth and answer, ``(N, K)`` each."""
    pairs = [(getattr(each.truth, measure), getattr(each.found, measure)) for each in tallies]
    truth, found = zip(*pairs, strict=True)
    return np.stack(truth), np.stack(found)
