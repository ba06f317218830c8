"""From the slices of one DICOM series to volumes: what belongs together, in which order, and where it lies.

Pure functions on positions and times. Slices are first told apart by what makes pictures incomparable (size, direction, echo,
kind of image), then sorted by their position along the slice normal. Several pictures at every position are time points; a
missing slice cuts the volume in two; positions that are taken twice without anything to tell them apart are left over.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median_low

import numpy as np

from medloop.types import Array, SpacingMm

_SAME_DIRECTION = 2e-3
"""Largest difference of direction cosines within a volume (a tenth of a degree)."""
_SAME_PLACE_MM = 0.02
_EVEN = 0.05
"""Steps between slices may differ by this share of a step."""
_PARTS = 4
"""A series in more parts than this is uneven rather than gapped."""

Vector = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Slice:
    """One 2-D picture (a file, or a frame of one) with what decides where it belongs.

    ``position``, ``orientation`` (row then column cosines): LPS, PS3.3 C.7.6.2. ``spacing``: (rows, columns) in mm.
    ``kind``: what must be equal within a volume, as (name, value) pairs. ``times``: what may tell time points apart, as
    (name, value or None) pairs in the order in which they are tried.
    """

    file: int
    frame: int
    position: Vector | None
    orientation: Vector | None
    spacing: Vector | None
    thickness: float | None
    instance: int
    kind: tuple[tuple[str, Hashable], ...]
    times: tuple[tuple[str, float | str | None], ...]


@dataclass(slots=True)
class Volume:
    """Slices by time and place: ``frames[t][z]``. ``says``: what a person should know; ``apart``: what sets it apart."""

    frames: list[list[Slice]]
    spacing_mm: SpacingMm | None = None
    affine_lps: Array | None = None
    says: list[str] = field(default_factory=list)
    apart: str = ""


@dataclass(slots=True)
class Arranged:
    """The volumes of a series, and slices that fit into none, each with the reason."""

    volumes: list[Volume] = field(default_factory=list)
    left: list[tuple[Slice, str]] = field(default_factory=list)


def arrange(slices: Sequence[Slice]) -> Arranged:
    """Sort the slices of one series into volumes. Slices without position become volumes of one slice each."""
    done = Arranged()
    groups = _comparable(slices)
    for group in groups:
        apart = _difference(group, groups)
        placed = [each for each in group if each.position is not None and each.orientation is not None]
        loose = [each for each in group if each.position is None or each.orientation is None]
        made = _stacked(placed) if placed else Arranged()
        made.volumes.extend(Volume([[each]], spacing_mm=flat_spacing(each)) for each in sorted(loose, key=_order))
        for volume in made.volumes:
            volume.apart = "; ".join(text for text in (apart, volume.apart) if text)
        done.volumes.extend(made.volumes)
        done.left.extend(made.left)
    return done


def normal(each: Slice) -> Array:
    """Unit vector across the slice (row direction times column direction)."""
    orientation = np.asarray(each.orientation, dtype=np.float64)
    across: Array = np.cross(orientation[:3], orientation[3:])
    return across / max(float(np.linalg.norm(across)), 1e-9)


def plane_affine(each: Slice, step: Array) -> Array:
    """Affine from index (x, y, z) to LPS mm, given the vector from slice to slice (PS3.3 C.7.6.2.1.1)."""
    orientation = np.asarray(each.orientation, dtype=np.float64)
    rows, columns = each.spacing or (1.0, 1.0)
    affine: Array = np.eye(4)
    affine[:3, 0] = orientation[:3] * columns
    affine[:3, 1] = orientation[3:] * rows
    affine[:3, 2] = step
    affine[:3, 3] = each.position
    return affine


def _order(each: Slice) -> tuple[int, int, int]:
    return each.instance, each.file, each.frame


def _comparable(slices: Sequence[Slice]) -> list[list[Slice]]:
    """Groups of equal kind, direction and spacing, in the order of their first instance."""
    by_kind: dict[Hashable, list[Slice]] = defaultdict(list)
    for each in slices:
        by_kind[each.kind].append(each)
    groups: list[list[Slice]] = []
    for members in by_kind.values():
        for part in _near(members, lambda each: each.orientation, _SAME_DIRECTION):
            groups.extend(_near(part, lambda each: each.spacing, 1e-3))
    return sorted(groups, key=lambda group: min(map(_order, group)))


def _near(slices: Sequence[Slice], value: Callable[[Slice], Vector | None], tolerance: float) -> list[list[Slice]]:
    """Groups whose values differ by at most ``tolerance`` from their first member's."""
    groups: list[tuple[Vector | None, list[Slice]]] = []
    for each in slices:
        own = value(each)
        for first, members in groups:
            if first == own or (first is not None and own is not None and _distance(first, own) <= tolerance):
                members.append(each)
                break
        else:
            groups.append((own, [each]))
    return [members for _, members in groups]


def _distance(a: Vector, b: Vector) -> float:
    return max(abs(left - right) for left, right in zip(a, b, strict=True))


def _difference(group: Sequence[Slice], groups: Sequence[Sequence[Slice]]) -> str:
    """What sets a group apart from the others of its series, in words."""
    if len(groups) == 1:
        return ""
    firsts = [each[0] for each in groups]
    texts = []
    for place, (name, value) in enumerate(group[0].kind):
        if any(first.kind[place][1] != value for first in firsts):
            texts.append(f"{name} {_said(value)}")
    if any(_differs(first.orientation, group[0].orientation) for first in firsts):
        texts.append("direction " + _said(group[0].orientation))
    if any(_differs(first.spacing, group[0].spacing) for first in firsts):
        texts.append("pixel spacing " + _said(group[0].spacing))
    return ", ".join(texts)


def _differs(a: Vector | None, b: Vector | None) -> bool:
    return a is not b and (a is None or b is None or _distance(a, b) > _SAME_DIRECTION)


def _said(value: object) -> str:
    if isinstance(value, tuple):
        return "(" + ", ".join(_said(each) for each in value) + ")"
    return f"{value:g}" if isinstance(value, float) else "unknown" if value is None else str(value)


def _stacked(slices: Sequence[Slice]) -> Arranged:
    """Comparable slices with positions, as volumes."""
    done = Arranged()
    places = _places(slices)
    for layers, apart, says in _time_points(places, done.left):
        for part, text in _contiguous(layers):
            volume = located(part)
            volume.apart = "; ".join(each for each in (apart, text) if each)
            volume.says.extend([says] if says else [])
            done.volumes.append(volume)
    return done


def _places(slices: Sequence[Slice]) -> list[list[Slice]]:
    """Slices at the same position, positions ascending along the normal."""
    across = normal(slices[0])
    placed = sorted(
        ((float(np.dot(across, each.position or ())), each) for each in slices), key=lambda pair: (pair[0], _order(pair[1]))
    )
    places: list[list[Slice]] = []
    last = -np.inf
    for where, each in placed:
        if where - last > _SAME_PLACE_MM:
            places.append([])
            last = where
        places[-1].append(each)
    return places


_Layers = list[list[Slice]]


def _time_points(places: list[list[Slice]], left: list[tuple[Slice, str]]) -> Iterator[tuple[_Layers, str, str]]:
    """``(layers by time, how they differ from others, what to say)``; slices that fit nowhere go to ``left``."""
    counts = {len(place) for place in places}
    if counts == {1}:
        yield [[place[0] for place in places]], "", ""
        return
    names = [name for name, _ in places[0][0].times]
    if len(counts) == 1:
        how, layers = _even_layers(places, names)
        if how:
            yield layers, "", f"{len(layers)} time points, told apart by {how}"
            return
        for number, layer in enumerate(layers, 1):
            yield [layer], f"set {number} of {len(layers)} at the same positions", ""
        return
    for number, name in enumerate(names):
        sets = _sets_by(places, number)
        if sets is not None:
            yield from _complete_and_not(sets, name, left)
            return
    ordered = [sorted(place, key=_order) for place in places]
    extra = [each for place in ordered for each in place[1:]]
    left.extend(
        (each, "another picture lies at the same position of its series, and nothing tells the two apart") for each in extra
    )
    yield [[place[0] for place in ordered]], "", f"{len(extra)} pictures lie at positions taken twice; the first of each is used"


def _even_layers(places: list[list[Slice]], names: Sequence[str]) -> tuple[str, _Layers]:
    """As many pictures at every position: layers by the first time that differs within every position, and its name.

    The name is empty where not even the order in the series (the instance number) tells them apart.
    """
    count = len(places[0])
    for number, name in enumerate(names):
        values = [{each.times[number][1] for each in place} for place in places]
        if all(len(value) == count and None not in value for value in values):
            ordered = [sorted(place, key=lambda each: _sortable(each.times[number][1])) for place in places]
            return name, [list(layer) for layer in zip(*ordered, strict=True)]
    ordered = [sorted(place, key=_order) for place in places]
    told = all(len({each.instance for each in place}) == count for place in places)
    return "their order in the series" if told else "", [list(layer) for layer in zip(*ordered, strict=True)]


def _sortable(value: float | str | None) -> tuple[int, float, str]:
    return (0, value, "") if isinstance(value, (int, float)) else (1, 0.0, str(value))


def _sets_by(places: list[list[Slice]], number: int) -> dict[float | str | None, list[Slice]] | None:
    """Slices by the value of one time, positions ascending, or None where that does not separate them."""
    sets: dict[float | str | None, list[Slice]] = defaultdict(list)
    for place in places:
        values = [each.times[number][1] for each in place]
        if len(set(values)) < len(values):
            return None
        for value, each in zip(values, place, strict=True):
            sets[value].append(each)
    return None if None in sets or len(sets) > max(map(len, places)) else sets


def _complete_and_not(
    sets: dict[float | str | None, list[Slice]], name: str, left: list[tuple[Slice, str]]
) -> Iterator[tuple[_Layers, str, str]]:
    """Sets of slices that cover the same positions are time points of one volume; others stand alone or, cut short, are left."""
    ordered = [sets[value] for value in sorted(sets, key=_sortable)]
    longest = max(map(len, ordered))
    whole = [
        layer
        for layer in ordered
        if len(layer) == longest and _same_positions(layer, next(each for each in ordered if len(each) == longest))
    ]
    rest = [layer for layer in ordered if not any(layer is each for each in whole)]
    yield whole, "", f"{len(whole)} time points, told apart by {name}" if len(whole) > 1 else ""
    for layer in rest:
        if len(whole) > 1 and len(layer) < longest:
            left.extend((each, f"its time point is cut short: {len(layer)} of {longest} slices") for each in layer)
        else:
            number = next(index for index, (each, _) in enumerate(layer[0].times) if each == name)
            yield [layer], f"{name} {_said(layer[0].times[number][1])}", ""


def _same_positions(a: Sequence[Slice], b: Sequence[Slice]) -> bool:
    return all(_distance(left.position or (), right.position or ()) <= 2 * _SAME_PLACE_MM for left, right in zip(a, b, strict=True))


def _contiguous(layers: _Layers) -> Iterator[tuple[_Layers, str]]:
    """The layers cut where slices are missing, with what to say of each part."""
    steps = _steps(layers[0])
    if len(steps) < 2:
        yield layers, ""
        return
    step = median_low(steps)
    cuts = [place + 1 for place, each in enumerate(steps) if each > step * (1.5 - _EVEN)]
    missing = [steps[cut - 1] / step for cut in cuts]
    multiples = all(abs(each - round(each)) <= 2 * _EVEN * max(1.0, each / 4) for each in missing)
    if not cuts or len(cuts) >= _PARTS or not multiples:
        yield layers, ""
        return
    edges = [0, *cuts, len(layers[0])]
    lost = sum(round(each) - 1 for each in missing)
    for number, (start, stop) in enumerate(pairwise(edges)):
        text = f"part {number + 1} of {len(cuts) + 1}: {lost} slices are missing between the parts"
        yield [layer[start:stop] for layer in layers], text


def _steps(layer: Sequence[Slice]) -> list[float]:
    """Distances from slice to slice along the normal."""
    across = normal(layer[0])
    where = [float(np.dot(across, each.position or ())) for each in layer]
    return [after - before for before, after in pairwise(where)]


def flat_spacing(each: Slice) -> SpacingMm | None:
    """Spacing of a single slice; across it the slice distance where known, else 1."""
    return None if each.spacing is None else (abs(each.thickness or 1.0) or 1.0, each.spacing[0], each.spacing[1])


def located(layers: list[list[Slice]]) -> Volume:
    """Affine and spacing of sorted slices; neither is given where the slices are not evenly spaced on one line."""
    first, last = layers[0][0], layers[0][-1]
    if len(layers[0]) == 1:
        step = normal(first) * abs(first.thickness or 1.0)
        affine = None if first.spacing is None else plane_affine(first, step)
        return Volume(layers, flat_spacing(first), affine)
    positions = np.array([each.position for each in layers[0]], dtype=np.float64)
    step = (positions[-1] - positions[0]) / (len(positions) - 1)
    line = positions[0] + np.arange(len(positions))[:, None] * step
    length = float(np.linalg.norm(step))
    if float(np.abs(positions - line).max()) > max(_EVEN * length, 2 * _SAME_PLACE_MM):
        return Volume(layers, says=["the slices are not evenly spaced, so the distance between them is taken as unknown"])
    if first.spacing is None or last.spacing is None:
        return Volume(layers)
    return Volume(layers, (length, first.spacing[0], first.spacing[1]), plane_affine(first, step))
