"""What a run's folder holds, and how it is found again by path or by name.

``run.json`` (request, result, recipe, versions), ``recipe.toml``, ``model/``, ``report.html``, ``split.csv``, ``predictions.csv``,
``search.json``; ``cases.csv`` where masks, boxes or measures are learnt. Groups are numbers: no patient's identity is written.
"""

from __future__ import annotations

import csv
import difflib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medloop.errors import InputError
from medloop.evaluation.decisions import Decided
from medloop.evaluation.evidence import StructuredEvidence
from medloop.store import looks
from medloop.types import Array, Dataset, Floats, Integers, Json, Prediction, Target, TargetKind
from medloop.workspace import Workspace

RUN_FORMAT = 1
JUDGED = "judged"
"""The part of ``predictions.csv`` that no choice has seen: the test split, or with folds every case."""
VALIDATION = "validation"
"""Out-of-fold predictions inside the training data."""


@dataclass(frozen=True, eq=False)
class Judged:
    """The predictions of a run for cases its model had not seen: N cases, K classes (a number: K is 1)."""

    cases: tuple[str, ...]
    truth: tuple[str, ...]
    labels: tuple[str, ...]
    probabilities: Floats
    groups: Integers
    classes: tuple[str, ...]


def new_folder(workspace: Workspace, out: str | None, kind: str, stem: str) -> Path:
    """Where results will appear: ``out``, or a fresh name under ``kind``. Raises `InputError` where something is already there."""
    if out is None:
        return workspace.fresh(kind, stem)
    path = Path(out).absolute()
    if path.exists():
        got = f"{path} is already there."
        raise InputError("exists", got=got, allowed="A folder that does not exist yet.", fix="Name another --out.")
    return path


def find_run(workspace: Workspace, name: str) -> Path:
    """The folder of a run by path or name. Raises `InputError` with the nearest names."""
    for path in (Path(name), workspace.runs / name):
        if (path / "run.json").is_file():
            return path.absolute()
    known = sorted(path.parent.name for path in workspace.runs.glob("*/run.json"))
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.3) or known[-3:]
    raise InputError(
        "unknown-run",
        got=f"There is no run '{name}'.",
        allowed="The folder of a run (it holds run.json), or the name of a run in the workspace.",
        fix=f"Did you mean {' or '.join(near)}?"
        if near
        else "Make one with medloop learn, or name its workspace with --workspace DIR.",
    )


def find_model(workspace: Workspace, name: str) -> Path:
    """The folder of a model: its own, or the one inside a run. Raises `InputError`."""
    for path in (Path(name), Path(name) / "model", workspace.runs / name / "model"):
        if (path / "model.json").is_file():
            return path.absolute()
    if Path(name).is_dir():
        raise InputError(
            "no-model",
            got=f"{name} holds no model.json.",
            allowed="A model's folder, a run's folder, or a run's name in the workspace.",
            fix="Name the folder that medloop learn printed after 'Model:'.",
        )
    return find_run(workspace, name) / "model"


def read_run(path: Path) -> dict[str, Json]:
    """``run.json`` of a run. Raises `InputError` for one that is damaged or from a newer medloop."""
    try:
        content: dict[str, Json] = json.loads((path / "run.json").read_text(encoding="utf-8"))
        newer = int(content["format"]) > RUN_FORMAT
        if not newer:
            run_target(content)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise damaged(path / "run.json") from error
    if newer:
        raise InputError(
            "newer-run",
            got=f"{path.name} was written by a newer medloop (run format {content['format']}).",
            allowed=f"Run format {RUN_FORMAT}.",
            fix="Install the newer medloop.",
        )
    return content


def damaged(file: Path) -> InputError:
    """A file of a run is missing or not as it was written."""
    return InputError(
        "damaged-run",
        got=f"{file} is missing." if not file.exists() else f"{file} is not as medloop learn wrote it.",
        allowed="A run as medloop learn wrote it.",
        fix="Learn again, or take the run from a backup.",
    )


def read_judged(path: Path) -> Judged:
    """The judged part of a run's ``predictions.csv``. Raises `InputError`."""
    try:
        with (path / "predictions.csv").open(encoding="utf-8", newline="") as file:
            table_ = csv.DictReader(file)
            if "part" not in (table_.fieldnames or ()):
                raise ValueError("no column 'part'")
            rows = [row for row in table_ if row["part"] == JUDGED]
        classes = tuple(name[2:] for name in (rows[0] if rows else {}) if name.startswith("p_"))
        return Judged(
            cases=tuple(row["case"] for row in rows),
            truth=tuple(row["truth"] for row in rows),
            labels=tuple(row["label"] for row in rows),
            probabilities=np.array([[float(row[f"p_{name}"]) for name in classes] for row in rows]).reshape(
                len(rows), len(classes)
            ),
            groups=np.array([int(row["group"]) for row in rows], dtype=np.int64),
            classes=classes,
        )
    except (OSError, KeyError, ValueError) as error:
        raise damaged(path / "predictions.csv") from error


def read_cases(path: Path) -> dict[str, dict[str, float]]:
    """The figures of each case in a run's ``cases.csv``; none where it learnt neither masks nor boxes nor measures.

    Raises `InputError`.
    """
    file = path / "cases.csv"
    if not file.exists():
        return {}
    try:
        with file.open(encoding="utf-8", newline="") as opened:
            return {row.pop("case"): {name: float(text) for name, text in row.items() if text} for row in csv.DictReader(opened)}
    except (OSError, KeyError, ValueError) as error:
        raise damaged(file) from error


def test_key(dataset: Dataset, judged: Integers) -> str:
    """What looks at these cases are counted by: the content of their pictures."""
    return looks.content_key(ref.digest for row in judged for ref in dataset.cases[row].images)


def truth_text(target: Target, values: Array) -> list[str]:
    """What each case is labelled with, as one text a case (classes joined by ``|``); empty where that is not known."""
    if target.kind.structured:
        return [""] * len(values)
    if target.kind is TargetKind.NUMBER:
        return [repr(float(value)) if np.isfinite(value) else "" for value in values]
    if target.kind is TargetKind.MULTILABEL:
        return ["|".join(name for name, on in zip(target.classes, row, strict=True) if on == 1) for row in values]
    return [target.classes[int(value)] if value >= 0 else "" for value in values]


def prediction_rows(part: str, target: Target, values: Array, groups: Integers, predicted: Prediction) -> Iterable[list[str]]:
    """Rows of ``predictions.csv`` under `prediction_head`."""
    truth = truth_text(target, values)
    for row, case in enumerate(predicted.cases):
        numbers = [f"{value:.9g}" for value in predicted.probabilities[row]]
        abstain = "1" if predicted.abstain[row] else "0"
        yield [
            case,
            part,
            str(groups[row]),
            truth[row],
            predicted.labels[row],
            "" if np.isnan(predicted.confidence[row]) and target.kind.structured else f"{predicted.confidence[row]:.6g}",
            abstain,
            *numbers,
        ]


def as_prediction(names: Sequence[str], probabilities: Floats, decided: Decided) -> Prediction:
    """Decided answers under their names."""
    return Prediction(tuple(names), probabilities, decided.labels, decided.confidence, decided.abstain)


def some(predicted: Prediction, rows: Integers) -> Prediction:
    """The answers for these positions."""
    cases, labels = (tuple(each[row] for row in rows.tolist()) for each in (predicted.cases, predicted.labels))
    return Prediction(cases, predicted.probabilities[rows], labels, predicted.confidence[rows], predicted.abstain[rows])


def as_decided(target: Target, predicted: Prediction) -> Decided:
    """What a prediction decided, by the thresholds of the very models that made it."""
    choices = None if target.kind is TargetKind.NUMBER or target.kind.structured else choices_of(target, predicted.labels)
    return Decided(choices, predicted.labels, predicted.confidence, predicted.abstain)


def values_of(target: Target, texts: Sequence[str]) -> Array:
    """The inverse of `truth_text`: values as in `Dataset.values`."""
    if target.kind is TargetKind.NUMBER:
        return np.array([float(text) for text in texts])
    if target.kind is TargetKind.MULTILABEL:
        return np.array([[name in text.split("|") for name in target.classes] for text in texts], dtype=np.float32)
    return np.array([target.classes.index(text) for text in texts], dtype=np.int64)


def choices_of(target: Target, labels: Sequence[str]) -> Array:
    """Decided labels as class indices ``(N,)``, or for multi-label as ``(N, K)`` bool."""
    return values_of(target, labels).astype(np.bool_ if target.kind is TargetKind.MULTILABEL else np.int64)


def prediction_head(target: Target) -> list[str]:
    """Column names of ``predictions.csv``."""
    return [
        "case",
        "part",
        "group",
        "truth",
        "label",
        "confidence",
        "abstain",
        *(() if target.kind.structured else (f"p_{name}" for name in target.classes or ("value",))),
    ]


def split_rows(dataset: Dataset, folds: Sequence[int] | None) -> Iterable[list[str]]:
    """Rows of ``split.csv``: case, split (or fold), group number, label."""
    truth = truth_text(dataset.target, dataset.values)
    for row, case in enumerate(dataset.cases):
        part = str(dataset.split[row]) if folds is None else f"fold {folds[row] + 1}"
        yield [case.name, part, str(dataset.groups[row]), truth[row]]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """CSV text."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return out.getvalue()


def run_record(dataset: Dataset, request: Json, result: Json, recipe: Json, versions: Mapping[str, str]) -> dict[str, Json]:
    """The content of ``run.json``."""
    record = {"format": RUN_FORMAT, "target": _target_json(dataset.target), "request": request, "result": result, "recipe": recipe}
    further = {"further": [_target_json(truth.target) for truth in dataset.further]} if dataset.further else {}
    return record | further | {"versions": dict(versions)}


def run_target(record: Mapping[str, Json]) -> Target:
    """What a run answers, from its ``run.json``."""
    return _target_from(record["target"])


def run_further(record: Mapping[str, Json]) -> tuple[Target, ...]:
    """The masks, boxes and measures that a run answers."""
    return tuple(map(_target_from, record.get("further", [])))


def _target_json(target: Target) -> dict[str, Json]:
    told = {"kind": target.kind.value, "classes": list(target.classes), "name": target.name, "unit": target.unit}
    return told | ({"units": list(target.units)} if target.units else {})


def _target_from(what: Mapping[str, Json]) -> Target:
    return Target(TargetKind(what["kind"]), tuple(what["classes"]), what["name"], what["unit"], tuple(what.get("units", ())))


def case_rows(found: Sequence[StructuredEvidence]) -> tuple[list[str], list[list[str]]]:
    """Head and rows of ``cases.csv``: the figures of each case alone, of all structured targets; empty where undefined."""
    rows: dict[str, dict[str, str]] = {}
    for each in found:
        for position, case in enumerate(each.names):
            told = {name: values[position] for name, values in each.by_case.items()}
            rows.setdefault(case, {}).update({name: f"{value:.6g}" for name, value in told.items() if np.isfinite(value)})
    names = [
        name for name in dict.fromkeys(name for each in found for name in each.by_case) if any(name in row for row in rows.values())
    ]
    return ["case", *names], [[case, *(row.get(name, "") for name in names)] for case, row in rows.items()]
