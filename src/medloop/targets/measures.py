"""Measures: how large, of what shape, how sharp and how bright the classes of a mask are; and measures that are labelled
themselves.

Of each class, in this order: ``fraction`` of the voxels of all classes (where there are several), ``count`` of connected parts,
``area`` or ``volume`` of the whole class by counting voxels (IBSI YEKZ), the same of its ``largest`` part; then of that part
``longest diameter`` (L0JK) and ``perpendicular diameter``, ``perimeter`` or ``surface``, ``circularity`` or ``sphericity``,
``elongation``, of volumes ``flatness``, ``solidity``, ``irregularity`` (`medloop.targets._solid`); with an image ``sharpness`` of
that part's border, and of the whole class ``mean intensity``, ``intensity deviation``, ``intensity 10th percentile``, ``intensity
90th percentile`` (`medloop.targets._inside`). A class that is absent has fraction, count and size 0; the rest is NaN. Where the
spacing is unknown, lengths are in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from scipy import ndimage

from medloop.evaluation import agreement
from medloop.targets import masks
from medloop.targets._components import instances, largest
from medloop.targets._inside import intensities, sharpness
from medloop.targets._solid import Diameters, Solid, boxed, diameters, shape, voxel_size
from medloop.types import UNKNOWN, Array, Findings, Floats, Image, Integers, Json, Metric, SpacingMm, Target, TargetKind

KIND = TargetKind.MEASURES
_LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True, slots=True, eq=False)
class MeasureTally:
    """Of one case the measures that are true and those that were found, ``(M,)`` each, NaN where unknown."""

    truth: Floats
    found: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One connected part of a class: its ``size`` (mm2 or ml; pixels or voxels where the spacing is unknown), its diameters, and
    the voxel index ``z, y, x`` of its centre."""

    class_: str
    size: float
    diameters: Diameters
    centre: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Scaling:
    """How measures are said to a network: less ``centre``, over ``spread``, each ``(M,)``."""

    centre: tuple[float, ...]
    spread: tuple[float, ...]

    def to_json(self) -> Json:
        """Plain JSON."""
        return asdict(self)

    @staticmethod
    def from_json(content: Json) -> Scaling:
        """As `to_json` wrote it."""
        return Scaling(tuple(map(float, content["centre"])), tuple(map(float, content["spread"])))

    def encode(self, numbers: Floats) -> Floats:
        """Measures ``(..., M)`` as a network sees them; NaN stays."""
        return np.asarray((numbers - np.array(self.centre)) / np.array(self.spread))


def learn_scaling(numbers: Floats) -> Scaling:
    """From the known measures ``(N, M)`` of training cases: mean and standard deviation, 0 and 1 where there are none."""
    known = [column[np.isfinite(column)] for column in np.asarray(numbers, np.float64).T]
    centres = tuple(float(column.mean()) if len(column) else 0.0 for column in known)
    return Scaling(centres, tuple(float(column.std()) or 1.0 if len(column) else 1.0 for column in known))


def decode(values: Floats, scaling: Scaling) -> Floats:
    """What a network says, ``(..., M)``, in the measures' own units."""
    return np.asarray(values * np.array(scaling.spread) + np.array(scaling.centre))


def describe(classes: Sequence[str], *, flat: bool, physical: bool, image: bool) -> Target:
    """Names and units of what `measure` gives, in its order: of pictures or volumes, with the spacing known or not, with an image
    or not."""
    length = "mm" if physical else "px"
    size, unit = ("area", f"{length}2") if flat else ("volume", "ml" if physical else "px3")
    rows = [("fraction", "")] if len(classes) > 1 else []
    rows += [
        ("count", ""),
        (size, unit),
        (f"largest {size}", unit),
        ("longest diameter", length),
        ("perpendicular diameter", length),
    ]
    rows += [("perimeter", length), ("circularity", "")] if flat else [("surface", f"{length}2"), ("sphericity", "")]
    rows += [(name, "") for name in ("elongation", *(() if flat else ("flatness",)), "solidity", "irregularity")]
    if image:
        rows += [("sharpness", f"1/{length}"), ("mean intensity", ""), ("intensity deviation", "")]
        rows += [("intensity 10th percentile", ""), ("intensity 90th percentile", "")]
    names = tuple(f"{each} {name}" for each in classes for name, _ in rows)
    return Target(KIND, names, "measures", units=tuple(unit for _ in classes for _, unit in rows))


def measure(mask: Array, spacing_mm: SpacingMm | None, classes: Sequence[str], image: Array | None = None) -> dict[str, float]:
    """Name to value for a mask ``(Z, Y, X)`` and its image ``(Z, Y, X)``; names and units as `describe` says."""
    target = describe(classes, flat=mask.shape[0] == 1, physical=spacing_mm is not None, image=image is not None)
    there = int(((mask != 0) & (mask != UNKNOWN)).sum())
    values: list[float] = []
    for value in range(1, len(classes) + 1):
        inside = mask == value
        if len(classes) > 1:
            values.append(float(inside.sum()) / max(1, there))
        values += _of_class(inside, spacing_mm, image)
    return dict(zip(target.classes, values, strict=True))


def parts(mask: Array, spacing_mm: SpacingMm | None, classes: Sequence[str]) -> tuple[Part, ...]:
    """Every connected part of every class, the largest of a class first: each lesion apart, with its diameters."""
    found, flat = instances(mask), mask.shape[0] == 1
    sizes = found.sizes * voxel_size(spacing_mm, flat=flat)
    given = []
    for number, (value, size, box) in enumerate(zip(found.classes, sizes, ndimage.find_objects(found.labels), strict=True), 1):
        alone = found.labels[box] == number
        centre = np.argwhere(alone).mean(axis=0) + [each.start for each in box]
        across = diameters(alone, spacing_mm or (1.0, 1.0, 1.0), flat=flat)
        given.append(Part(classes[value - 1], float(size), across, tuple(centre)))
    return tuple(given)


def grey(image: Image) -> Array:
    """``(Z, Y, X)``: the first time point; brightness of colour, otherwise the first channel."""
    pixels = image.pixels[0]
    if image.colour and len(pixels) == 3:
        return np.tensordot(np.array(_LUMA), pixels.astype(np.float64), axes=(0, 0))
    return np.asarray(pixels[0])


def tally(target: Target, found: Findings, truth: Findings, spacing_mm: SpacingMm | None) -> MeasureTally:
    """The target's measures of truth and answer; those that one of them lacks are NaN."""
    del spacing_mm
    rows = [np.array([each.measures.get(name, np.nan) for name in target.classes], np.float64) for each in (truth, found)]
    return MeasureTally(*rows)


def merit(tally: MeasureTally) -> float:
    """Minus the mean relative error of what is known in both."""
    off = np.abs(tally.found - tally.truth) / np.maximum(np.abs(tally.truth), 1e-9)
    known = off[np.isfinite(off)]
    return float(-known.mean()) if len(known) else float("nan")


def metrics(target: Target, tallies: Sequence[MeasureTally], patients: Integers, seed: int = 0) -> dict[str, Metric]:
    """Error and agreement of each measure (`medloop.evaluation.agreement`)."""
    values = np.stack([each.truth for each in tallies]), np.stack([each.found for each in tallies])
    return agreement.score(target.classes, target.units or ("",) * len(target.classes), values, patients, seed)


def slice_of(found: Findings, truth: Findings | None = None) -> int:
    """The slice with most of what was measured, where a mask says it."""
    return masks.slice_of(found, truth)


def picture(rgb: Array, target: Target, found: Findings, truth: Findings | None = None, z: int = 0) -> Array:
    """The slice ``z`` with the masks that were measured, where there are any: measures alone have no place."""
    return masks.picture(rgb, target, found, truth, z)


def _of_class(inside: Solid, spacing_mm: SpacingMm | None, image: Array | None) -> list[float]:
    """The measures of one class from its count on."""
    flat, spacing = inside.shape[0] == 1, spacing_mm or (1.0, 1.0, 1.0)
    unit = voxel_size(spacing_mm, flat=flat)
    if not inside.any():
        return [0.0, 0.0, 0.0, *[np.nan] * ((7 if flat else 8) + (0 if image is None else 5))]
    box = boxed(inside, margin=4)
    solid, count = largest(inside[box])
    tight = solid[boxed(solid)]
    across, form = diameters(tight, spacing, flat=flat), shape(tight, spacing, flat=flat)
    values = [float(count), float(inside.sum()) * unit, float(solid.sum()) * unit, across.longest, across.perpendicular]
    values += [form.surface, form.roundness, form.elongation, *(() if flat else (form.flatness,)), form.solidity, form.irregularity]
    if image is not None:
        seen = image[box]
        values += [sharpness(solid, seen, spacing, flat=flat), *intensities(seen[inside[box]])]
    return values
