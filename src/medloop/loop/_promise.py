"""What a saved run lets be promised of answers accepted without a person."""

from __future__ import annotations

import csv
from collections.abc import Collection
from pathlib import Path

import numpy as np

from medloop.evaluation import selective
from medloop.evaluation.selective import Promise
from medloop.loop._runs import JUDGED, VALIDATION, damaged
from medloop.types import Target, TargetKind


def promise_of(run: Path, target: Target, rate: float, confidence: float, fresh: Collection[str] | None = None) -> Promise:
    """The promise that the run's answers to cases it had not learnt from allow.

    Those are its out-of-fold answers inside the training data, or where every case was judged out of fold, all. ``fresh``: names of
    the cases that no model before it in its line had learnt from either: a network that began from one that knew a case flatters
    itself on it. With ``fresh`` the held-out cases, which none of the line has learnt from, count too. Raises `InputError`.
    """
    if target.kind is TargetKind.NUMBER or target.kind.structured:
        why = f"The model answers {target.name} and no classes, so there are no labels whose errors could be counted."
        return _none(rate, confidence, why)
    if not (run / "predictions.csv").is_file():
        return _none(rate, confidence, "Nothing is kept of the answers that this model gave to cases it had not learnt from.")
    rows = _rows(run / "predictions.csv", empty=target.kind is TargetKind.MULTILABEL)
    inner = [row for row in rows if row["part"] == VALIDATION and (fresh is None or row["case"] in fresh)]
    judged = [row for row in rows if row["part"] == JUDGED]
    used = inner + judged if fresh is not None else inner or judged
    try:
        scores = np.array([float(row["confidence"] or "nan") for row in used])
        correct = np.array([row["truth"] == row["label"] for row in used], np.bool_)
        patients = np.array([int(row["group"]) for row in used], np.int64)
    except (KeyError, ValueError) as error:
        raise damaged(run / "predictions.csv") from error
    return selective.promised(scores, correct, rate, confidence, patients)


def _rows(file: Path, *, empty: bool) -> list[dict[str, str]]:
    """The rows whose truth is known. ``empty``: a truth may be that there is nothing."""
    try:
        with file.open(encoding="utf-8", newline="") as opened:
            table = csv.DictReader(opened)
            if not {"part", "case", "truth", "label", "confidence", "group"} <= set(table.fieldnames or ()):
                raise damaged(file)
            return [row for row in table if row["truth"] or empty]
    except (OSError, ValueError) as error:
        raise damaged(file) from error


def _none(rate: float, confidence: float, why: str) -> Promise:
    return Promise(rate, confidence, None, 0.0, None, 0, 0, 0, why)
