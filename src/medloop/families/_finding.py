"""What a network of several targets says of one case, made into findings in voxels of the image as read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from medloop.families._joint_answers import candidates
from medloop.prepared.back import boxes_as_read, map_as_read, slab_as_read
from medloop.prepared.geometry import Geometry
from medloop.targets import boxes, masks, measures, reconstruction, rules
from medloop.targets.masks import slabs
from medloop.targets.measures import Scaling
from medloop.targets.reconstruction import Typical
from medloop.targets.rules import Rules
from medloop.types import Array, Findings, Floats, Json, SpacingMm, Target, TargetKind


@dataclass(frozen=True, slots=True)
class Finder:
    """How answers become findings: what was learnt on out-of-fold answers, and the rules. All data.

    ``further``: the structured targets. ``stride``: pixels between cells of centres.
    """

    further: tuple[Target, ...]
    stride: int = 1
    masks: masks.Cleaning | None = None
    boxes: boxes.Cleaning | None = None
    scaling: Scaling | None = None
    rules: Rules | None = None
    typical: Typical | None = None

    def of(self, kind: TargetKind) -> Target:
        """The structured target of that kind."""
        return next(each for each in self.further if each.kind is kind)

    def to_json(self) -> dict[str, Json]:
        """Plain JSON."""
        parts = {"masks": self.masks, "boxes": self.boxes, "scaling": self.scaling, "typical": self.typical}
        told: dict[str, Json] = {name: None if part is None else part.to_json() for name, part in parts.items()}
        return told | {"stride": self.stride, "rules": None if self.rules is None else rules.to_json(self.rules)}

    @staticmethod
    def from_json(content: Mapping[str, Json], further: tuple[Target, ...]) -> Finder:
        """The inverse of `to_json`."""
        said = {name: content[name] for name in ("masks", "boxes", "scaling", "rules")}
        scaling, typical = said["scaling"], content.get("typical")
        return Finder(
            further,
            int(content["stride"]),
            None if said["masks"] is None else masks.Cleaning.from_json(said["masks"]),
            None if said["boxes"] is None else boxes.Cleaning.from_json(said["boxes"]),
            None if scaling is None else Scaling(tuple(scaling["centre"]), tuple(scaling["spread"])),
            None if said["rules"] is None else rules.from_json(said["rules"]),
            None if typical is None else Typical.from_json(typical),
        )


def findings(
    finder: Finder, case: str, said: Mapping[str, Array], shape: Sequence[int], geometry: Geometry | None, row: int
) -> Findings:
    """``said``: by name what the network says of the case, ``(K, Z, Y, X)``; ``shape``: ``(Z, Y, X)`` of the prepared image."""
    spacing = _spacing(geometry, row)
    found = Findings(case)
    measured: dict[str, float] = {}
    if finder.masks is not None and "masks" in said:
        mask = _mask(said["masks"], finder.masks, geometry, row)
        back = None if geometry is None else np.linalg.inv(geometry.matrix[row])
        found = replace(found, mask=mask, part_scores=masks.part_scores(mask, said["masks"], back))
        measured |= measures.measure(mask, spacing, finder.of(TargetKind.MASKS).classes)
        if finder.boxes is None:
            found = _boxed(found, masks.doubtful(said["masks"], finder.masks), geometry, row)
    if finder.boxes is not None and "centres" in said:
        size = (int(shape[0]), int(shape[1]), int(shape[2]))
        kept = boxes.clean(candidates(said["centres"], said["sizes"], finder.stride, size), finder.boxes)
        found = _boxed(found, kept, geometry, row)
    if finder.scaling is not None and "measures" in said:
        values = measures.decode(np.asarray(said["measures"], np.float64), finder.scaling)
        measured |= dict(zip(finder.of(TargetKind.MEASURES).classes, map(float, values), strict=True))
    if finder.typical is not None and "errors" in said:
        anomaly = _anomaly(reconstruction.decode(said["errors"][0], finder.typical), geometry, row)
        measured |= reconstruction.summary(said["errors"], anomaly)
        found = replace(found, anomaly=anomaly)
    found = replace(found, measures=measured)
    return found if finder.rules is None else replace(found, violations=rules.check(finder.rules, found, spacing))


def _boxed(found: Findings, kept: boxes.Boxes, geometry: Geometry | None, row: int) -> Findings:
    edges = kept.edges if geometry is None else boxes_as_read(kept.edges, geometry, row)
    return replace(found, boxes=edges, box_classes=kept.classes, box_scores=kept.scores)


def _mask(scores: Array, cleaning: masks.Cleaning, geometry: Geometry | None, row: int) -> Array:
    """Cleaned on the grid as read, where scores are interpolated: borders are finer than prepared voxels.

    A few slices at a time: scores of a whole CT as read would be gigabytes.
    """
    if geometry is None:
        return masks.clean(scores, cleaning)
    larger = abs(float(np.linalg.det(geometry.matrix[row][:3, :3])))
    smallest = tuple(round(each * larger) for each in cleaning.smallest)
    shape = geometry.shape[row].tolist()
    scaled = replace(cleaning, smallest=smallest)
    return masks.clean_slabs(lambda slab: slab_as_read(scores, geometry, row, slab), shape, scaled, _spacing(geometry, row))


def _anomaly(anomaly: Floats, geometry: Geometry | None, row: int) -> NDArray[np.uint8]:
    """On the grid as read, a few slices at a time; nothing is odd outside what was prepared."""
    if geometry is None:
        return reconstruction.quantised(anomaly)
    found = np.empty(tuple(geometry.shape[row].tolist()), np.uint8)
    for slab in slabs(found):
        found[slab] = reconstruction.quantised(map_as_read(anomaly, geometry, row, slab=slab))
    return found


def _spacing(geometry: Geometry | None, row: int) -> SpacingMm | None:
    if geometry is None or not np.isfinite(geometry.spacing_mm[row]).all():
        return None
    z, y, x = map(float, geometry.spacing_mm[row])
    return z, y, x
