"""What the demo shows of new patients: the class, the diameter that was found beside the true one, and what a rule catches."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from medloop.targets import rules
from medloop.types import Findings, Json, Target, TargetKind

TUMOUR = "tumour"
MASK_CLASSES = f"11={TUMOUR},*=background"
DIAMETER = f"{TUMOUR} longest diameter"
RULES = f"""[[rule]]
name = "a plausible diameter"
measure = "{DIAMETER}"
at_least = 5
at_most = 150
unit = "mm"
reason = "In slices of 5 mm less is not seen, and the liver itself is about 200 mm long."
"""
_MM_IN_CM = 10.0
_ONE_MM = (1.0, 1.0, 1.0)


def shown(predictions: Path, measured: Path, lesions: Path) -> list[dict[str, Json]]:
    """A row for each study whose class and outlines were both predicted, the largest true tumour first.

    ``predictions``: of the classes. ``measured``: the measures of the outlines. ``lesions``: the sample's truth. ``found_mm`` and
    ``true_mm``: longest diameter of the largest tumour, None where there is none. ``rules``: those that it breaks.
    """
    classes, true = {row["case"]: row for row in _rows(predictions)}, _largest(lesions)
    rows = [_row(row, classes[row["case"]], true) for row in _rows(measured) if row["case"] in classes]
    return sorted(rows, key=lambda row: (-(row["true_mm"] or 0.0), row["case"]))


def mean_error_mm(rows: Sequence[Mapping[str, Json]]) -> float | None:
    """Of the diameters that are both found and true; None where there are none."""
    off = [abs(row["found_mm"] - row["true_mm"]) for row in rows if row["found_mm"] is not None and row["true_mm"] is not None]
    return round(float(np.mean(off)), 2) if off else None


def mistaken(rows: Sequence[Mapping[str, Json]]) -> dict[str, Json] | None:
    """What the rules say of the largest finding if its file gave the size of its voxels in cm where mm are meant.

    None where nothing was found at all.
    """
    there = [row for row in rows if row["found_mm"] is not None]
    if not there:
        return None
    largest = max(there, key=lambda row: float(row["found_mm"]))
    wrong = float(largest["found_mm"]) * _MM_IN_CM
    told = rules.check(_asked(), Findings(largest["case"], measures={DIAMETER: wrong}), _ONE_MM)
    caught = [{"rule": each.rule, "value": each.value, "allowed": each.allowed} for each in told]
    return {"case": largest["case"], "found_mm": largest["found_mm"], "mistaken_mm": wrong, "caught": caught}


def _asked() -> rules.Rules:
    return rules.parse(RULES, (Target(TargetKind.MASKS, (TUMOUR,), "masks"),), False, True)


def _row(measured: Mapping[str, str], told: Mapping[str, str], true: Mapping[str, float]) -> dict[str, Json]:
    name = measured["case"].partition("#")[0].replace("/", "_")
    return {
        "case": name,
        "class": told["label"],
        "confidence": _number(told["confidence"]),
        "found_mm": _number(measured.get(f"{DIAMETER} (mm)", "")),
        "true_mm": true.get(name),
        "rules": measured.get("violations", ""),
    }


def _largest(lesions: Path) -> dict[str, float]:
    """The longest diameter in mm of any tumour, by study (``P0001_2``)."""
    found: dict[str, float] = {}
    for row in _rows(lesions):
        if row["kind"] == TUMOUR:
            name = f"{row['patient']}_{row['study']}"
            found[name] = max(found.get(name, 0.0), float(row["longest_mm"]))
    return found


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _number(text: str) -> float | None:
    value = float(text) if text else math.nan
    return round(value, 3) if math.isfinite(value) else None
