"""How far what two readers drew in the same cases covers each other: outlines by Dice, boxes by intersection over union.

What a case gives is kept in the workspace's cache by the content of both drawings, so that no outline is read twice.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medloop.errors import Unreadable
from medloop.evaluation import intervals, kappa, matching, overlap, weighted
from medloop.loop import _drawn
from medloop.loop._truth import truth_of
from medloop.store import Store, studies
from medloop.store.records import ReviewRow, StudyRow
from medloop.targets import boxes
from medloop.types import UNKNOWN, Findings, Floats, Json, Metric, Target, TargetKind
from medloop.workspace import write_json

_FIGURES = {TargetKind.MASKS: "dice", TargetKind.BOXES: "iou"}
_FOLDER = "drawn-twice"


@dataclass(frozen=True, slots=True)
class _Pair:
    """What two readers, ``a`` and ``b``, drew of a target: ``shared`` has both drawings by case."""

    a: str
    b: str
    target: str
    kind: TargetKind
    shared: Mapping[int, tuple[Json, Json]]


def drawn_twice(records: Store, given: Sequence[ReviewRow], whose: Mapping[int, int]) -> list[dict[str, Json]]:
    """A row for every two readers who drew the same target in the same cases; ``whose``: the patient's number of every case.

    ``figure`` (``dice`` or ``iou``) is the mean over classes of the mean over cases; what only one of both drew counts as 0, what
    neither drew says nothing. Cases whose drawings cannot be read any more are left out.
    """
    return [row for pair in _pairs(given) if (row := _row(records, pair, whose)) is not None]


def _pairs(given: Sequence[ReviewRow]) -> Iterator[_Pair]:
    said: dict[tuple[str, TargetKind], dict[str, dict[int, Json]]] = {}
    for each in given:
        for target, value in each.findings.items():
            if kind := _drawn.kind_of(value):
                said.setdefault((target, kind), {}).setdefault(each.author, {})[each.case_id] = value
    for (target, kind), by_author in sorted(said.items()):
        for one, two, cases in kappa.pairs(by_author):
            yield _Pair(one, two, target, kind, {case: (by_author[one][case], by_author[two][case]) for case in cases})


def _row(records: Store, pair: _Pair, whose: Mapping[int, int]) -> dict[str, Json] | None:
    told = dict(_every(records, pair))
    if not told:
        return None
    classes = list(dict.fromkeys(name for found in told.values() for name in found))
    values = np.array([[found.get(name, np.nan) for name in classes] for found in told.values()], np.float64)
    each = [overlap.known_mean(column) for column in values.T]
    statistics = {"": weighted.macro(each)} | dict(zip(classes, each, strict=True))
    reasons = dict.fromkeys(statistics, "neither drew it") | {"": "neither drew anything"}
    metrics = intervals.bootstrap(statistics, np.array([whose[case] for case in told], np.int64), 0, reasons)
    counts = np.isfinite(values).sum(axis=0).tolist()
    return {
        "a": pair.a,
        "b": pair.b,
        "target": pair.target,
        "figure": _FIGURES[pair.kind],
        **_figure(metrics[""], len(told)),
        "classes": [{"class": name} | _figure(metrics[name], count) for name, count in zip(classes, counts, strict=True)],
    }


def _figure(found: Metric, cases: int) -> dict[str, Json]:
    return {"cases": cases, "value": found.value, "low": found.low, "high": found.high, "reason": found.reason}


def _every(records: Store, pair: _Pair) -> Iterator[tuple[int, dict[str, float]]]:
    """By case what its two drawings give: of each class a figure, NaN where neither has it."""
    for row in studies.many(records, pair.shared):
        file = _place(records, *pair.shared[row.id])
        if not file.is_file():
            found = _alike(records, row, pair)
            if found is None:
                continue
            write_json(file, {name: None if np.isnan(value) else float(value) for name, value in found.items()})
        told = json.loads(file.read_text(encoding="utf-8"))
        yield row.id, {name: np.nan if value is None else value for name, value in told.items()}


def _place(records: Store, one: Json, two: Json) -> Path:
    digest = hashlib.sha256(json.dumps([one, two], sort_keys=True).encode()).hexdigest()
    return records.root / "cache" / _FOLDER / f"{digest}.json"


def _alike(records: Store, row: StudyRow, pair: _Pair) -> dict[str, float] | None:
    """Of each class that both were asked for; None where a drawing cannot be read any more."""
    both = pair.shared[row.id]
    names = tuple(str(name) for name in both[0]["classes"] if name in both[1]["classes"])
    target = Target(pair.kind, names, pair.target)
    if not (row.refs and names and all(_drawn.fits(value, target, records.blobs) for value in both)):
        return None
    known = _drawn.truth(target, [row.refs[0]] * 2, both, records.blobs)
    try:
        one, two = (truth_of(known, at, row.name) or Findings(row.name) for at in range(2))
    except Unreadable:
        return None
    if one.mask is not None and two.mask is not None and one.mask.shape != two.mask.shape:
        return None
    return dict(zip(names, _figures(one, two, len(names)).tolist(), strict=True))


def _figures(one: Findings, two: Findings, classes: int) -> Floats:
    """``(K,)``: Dice or intersection over union of each class."""
    if one.mask is None or two.mask is None:
        return matching.alike(boxes.of_findings(one), boxes.of_findings(two), classes)
    judged = (one.mask != UNKNOWN) & (two.mask != UNKNOWN)
    return overlap.dice(overlap.confusion(one.mask[judged], two.mask[judged], classes))
