"""Masks, boxes, measures and anomaly maps judged case by case as answers pass by: only numbers stay, and in files what a few
pictures need."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from medloop import readers, targets
from medloop.errors import Unreadable
from medloop.evaluation import detection, matching
from medloop.evaluation.curves import Line
from medloop.evaluation.evidence import Agreement, Overlay, StructuredEvidence
from medloop.loop._growth import grown
from medloop.loop._truth import truth_of
from medloop.reporting import overlay
from medloop.targets import masks, reconstruction
from medloop.targets.rules import Rules
from medloop.types import Dataset, Findings, Floats, Metric, Target, TargetKind, Truth, Violation

_GROUPS = ("Worst cases", "Cases in the middle", "Best cases")
_UNUSUAL = ("Most unusual cases", "Cases in the middle", "Least unusual cases")
_SHOWN = 4
_FIELDS = ("mask", "boxes", "box_classes", "box_scores", "anomaly")


@dataclass(frozen=True, slots=True, eq=False)
class _Told:
    """What one target's answers came to so far: rows of the dataset and the tally of each; how many had no truth.

    ``truth``: labels that it is held against; beside an anomaly map masks, where there are any.
    """

    target: Target
    truth: Truth | None
    rows: list[int] = field(default_factory=list)
    tallies: list[Any] = field(default_factory=list)
    unknown: list[int] = field(default_factory=list)


class Judge:
    """Hears answers, one case at a time, in any order; then tells how good they are. Its files go when it is closed."""

    def __init__(self, dataset: Dataset, cache: Path) -> None:
        cache.mkdir(parents=True, exist_ok=True)
        self._dataset = dataset
        self._told = [_Told(truth.target, truth) for truth in dataset.further]
        masks_known = (truth for truth in dataset.further if truth.target.kind is TargetKind.MASKS)
        self._told.append(_Told(reconstruction.TARGET, next(masks_known, None)))
        self._folder = tempfile.TemporaryDirectory(dir=cache, prefix="judging-")
        self._violations: dict[int, tuple[Violation, ...]] = {}
        self._measures: dict[int, Mapping[str, float]] = {}

    def __enter__(self) -> Judge:
        return self

    def __exit__(self, *error: object) -> None:
        self._folder.cleanup()

    def hear(self, row: int, found: Findings) -> None:
        """The answer for the case ``row`` of the dataset."""
        spacing = self._dataset.cases[row].images[0].spacing_mm
        for told in self._told:
            if told.target == reconstruction.TARGET and found.anomaly is None:
                continue
            truth = self._truth(told, row)
            if truth is None or not on_one_grid(truth, found):
                told.unknown.append(row)
                continue
            told.rows.append(row)
            told.tallies.append(targets.of(told.target.kind).tally(told.target, found, truth, spacing))
        self._violations[row] = found.violations
        self._measures[row] = dict(found.measures)
        arrays = {name: getattr(found, name) for name in _FIELDS if getattr(found, name) is not None}
        np.savez_compressed(self._file(row), **arrays)

    def tell(self, seed: int = 0, asked: Rules | None = None) -> tuple[StructuredEvidence, ...]:
        """How good the answers are, target by target; targets of which no truth was known are left out.

        ``asked``: rules, of which those of growth are checked now that all studies of a patient are known.
        """
        self._grow(asked)
        return tuple(self._evidence(told, number == 0, seed) for number, told in enumerate(self._told) if told.rows)

    def _truth(self, told: _Told, row: int) -> Findings | None:
        """What is true of a case. A reconstruction needs nothing to be known."""
        name = self._dataset.cases[row].name
        try:
            found = None if told.truth is None else truth_of(told.truth, row, name)
        except Unreadable:
            found = None
        return Findings(name) if found is None and told.target == reconstruction.TARGET else found

    def _file(self, row: int) -> Path:
        return Path(self._folder.name) / f"{row}.npz"

    def _evidence(self, told: _Told, first: bool, seed: int) -> StructuredEvidence:
        target, dataset = told.target, self._dataset
        order = np.argsort(told.rows, kind="stable")
        rows = [told.rows[at] for at in order]
        tallies = [told.tallies[at] for at in order]
        module = targets.of(target.kind)
        figures = module.metrics(target, tallies, dataset.patients[rows], seed)
        alone = [module.metrics(target, [tally], np.zeros(1, np.int64)) for tally in tallies]
        merits = np.array([module.merit(tally) for tally in tallies], np.float64)
        return StructuredEvidence(
            target=target,
            names=tuple(dataset.cases[row].name for row in rows),
            figures=figures,
            by_case=_by_case(figures, alone),
            merits=merits,
            agreement=tuple(_agreement(target, tallies)),
            froc=_froc(told, tallies),
            overlays=self._overlays(told, rows, merits),
            violations=self._broken() if first else (),
            unknown=len(told.unknown),
        )

    def _grow(self, asked: Rules | None) -> None:
        cases = {row: self._dataset.cases[row] for row in sorted(self._violations)}
        rows = [(case.name, self._measures[row], self._violations[row]) for row, case in cases.items()]
        priors = {case.name: case.prior for case in cases.values() if case.prior is not None}
        found = grown(asked, [case.images[0] for case in cases.values()], rows, priors)
        self._violations = {row: broken for row, (_, _, broken) in zip(cases, found, strict=True)}

    def _broken(self) -> tuple[tuple[str, Violation], ...]:
        names = {row: self._dataset.cases[row].name for row in sorted(self._violations)}
        return tuple((name, each) for row, name in names.items() for each in self._violations[row])

    def _overlays(self, told: _Told, rows: Sequence[int], merits: Floats) -> tuple[tuple[str, tuple[Overlay, ...]], ...]:
        if told.target.kind is TargetKind.MEASURES:
            return ()
        groups = zip(_UNUSUAL if told.target == reconstruction.TARGET else _GROUPS, _chosen(merits), strict=True)
        return tuple((title, tuple(self._overlay(told, rows[at], at) for at in places)) for title, places in groups if places)

    def _overlay(self, told: _Told, row: int, position: int) -> Overlay:
        case = self._dataset.cases[row]
        truth = self._truth(told, row)
        with np.load(self._file(row)) as kept:
            found = Findings(case.name, measures=self._measures[row], **{name: kept[name] for name in kept.files})
        assert truth is not None
        return Overlay(position, overlay(readers.read(case.images[0]), told.target, found, truth))


def on_one_grid(truth: Findings, found: Findings) -> bool:
    """False for a mask of another size than its image."""
    grids = {each.shape for each in (found.mask, found.anomaly) if each is not None}
    return truth.mask is None or grids <= {truth.mask.shape}


def _by_case(figures: Mapping[str, Metric], alone: Sequence[Mapping[str, Metric]]) -> dict[str, Floats]:
    """Each figure of each case, NaN where it is undefined there."""

    def value(found: Mapping[str, Metric], name: str) -> float:
        metric = found.get(name)
        return np.nan if metric is None or metric.value is None else metric.value

    return {name: np.array([value(found, name) for found in alone]) for name in figures}


def _chosen(merits: Floats) -> tuple[list[int], list[int], list[int]]:
    """Positions of the worst cases, of those in the middle and of the best, none twice."""
    order = [int(at) for at in np.argsort(merits, kind="stable") if np.isfinite(merits[at])]
    each = min(_SHOWN, len(order) // 3)
    if each == 0:
        return order, [], []
    start = (len(order) - each) // 2
    return order[:each], order[start : start + each], order[::-1][:each]


def _froc(told: _Told, tallies: Sequence[Any]) -> dict[str, Line]:
    if told.target.kind is not TargetKind.BOXES:
        return {}
    curves = {name: detection.curve(tallies, number) for number, name in enumerate(told.target.classes)}
    return {name: Line(x, y) for name, (x, y) in curves.items() if len(x) > 1}


def _agreement(target: Target, tallies: Sequence[Any]) -> Sequence[Agreement]:
    """Diameters and sizes of what was found beside their truth."""
    if target.kind is TargetKind.RECONSTRUCTION:
        return ()
    if target.kind is TargetKind.MASKS:
        return masks.compared(target, tallies)
    if target.kind is TargetKind.MEASURES:
        truth, found = (np.stack([getattr(each, side) for each in tallies]) for side in ("truth", "found"))
        units = target.units or ("",) * len(target.classes)
        named = enumerate(zip(target.classes, units, strict=True))
        return [Agreement(name, unit, truth[:, column], found[:, column]) for column, (name, unit) in named]
    pairs = matching.pairs(tallies, detection.SHOWN)
    return [Agreement("longest diameter", pairs.unit, pairs.diameter, pairs.diameter_found)]
