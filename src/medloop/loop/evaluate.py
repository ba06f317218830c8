"""Judge a saved model on other labelled data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from medloop import families, labels
from medloop.compute import Compute
from medloop.dataset import Findings, judged_by, rows, summary
from medloop.errors import Refused
from medloop.evaluation import decisions
from medloop.evaluation.evidence import Evidence
from medloop.families import Model
from medloop.loop import _runs
from medloop.loop._clock import Clock
from medloop.loop._intake import Means, collect, look
from medloop.loop._learnt import read_learnt
from medloop.loop._pictures import shower
from medloop.loop._shift import between, looks_of, told
from medloop.loop._telling import answers_of, classes_by_split, score_of, subgroup_rows
from medloop.loop._versions import versions
from medloop.loop.predict import answers
from medloop.progress import QUIET, Progress
from medloop.reporting import evaluate_page
from medloop.requests import EvaluateRequest, EvaluateResult
from medloop.store import looks
from medloop.types import Dataset, Floats
from medloop.wire import to_json
from medloop.workspace import Workspace, ready_for, write_folder, write_json, write_text


def evaluate(workspace: Workspace, request: EvaluateRequest, tell: Progress = QUIET) -> EvaluateResult:
    """The figures of a model on labelled cases it has not learnt from; pictures it learnt from are left out and counted.

    Raises `InputError` for wrong input, `Refused` where nothing is left to judge by.
    """
    clock = Clock()
    place = _runs.find_model(workspace, request.model)
    model, learnt = families.load(place), read_learnt(place)
    workspace.ready()
    folder = _runs.new_folder(workspace, request.out, "evaluations", Path(request.src).stem or "data")
    ready_for(folder)
    with Compute(request.workers) as compute:
        means = Means(workspace=workspace, compute=compute, clock=clock, tell=tell)
        collection = collect(request, means, channels=learnt.joining(request.channels, request.case_by))
        labelled = labels.read(collection, request, compute)
        seen = look([case.images[0] for case in labelled.cases], lambda _: model.preparation, means, kind=learnt.kind)
        predicted = answers(model, seen, means)
    dataset, findings = judged_by(labelled, seen.survey, seen.pairs, model.target, learnt.pictures)
    if not dataset.cases:
        raise Refused(
            "nothing-to-judge",
            got=f"None of the {len(labelled.cases)} labelled cases can judge this model. " + " ".join(findings.notes),
            allowed="Labelled pictures of the model's classes that it did not learn from.",
            fix="Name other data.",
        )
    where = {name: row for row, name in enumerate(predicted.cases)}
    probabilities = predicted.probabilities[[where[case.images[0].name] for case in dataset.cases]]
    here = looks_of(seen.survey.pictures, rows(dataset, seen.survey), dataset.patients)
    shift = between(learnt.looks, here, request.seed)
    result = _result(request, place, model, dataset, findings, probabilities, folder, clock)
    notes = [f"{len(labelled.problems)} rows or images did not match each other."] if labelled.problems else []
    unused = len(collection.rejected) + len(seen.rejected)
    notes += [f"{unused} files or images were not used; medloop inspect says why."] if unused else []
    notes += [*collection.notes, *learnt.doubts(seen.survey.refs)]
    result = replace(result, warnings=[*result.warnings, *notes], seconds=round(clock.seconds, 2))
    result = replace(result, shift=told(shift, "new"))
    evidence = replace(_evidence(request, model, dataset, probabilities), shift=shift)
    with write_folder(folder) as beside:
        write_text(beside / "report.html", evaluate_page(result, evidence, model.family))
        write_json(beside / "result.json", to_json(result))
        write_text(beside / "predictions.csv", _table(model, dataset, probabilities))
    return result


def _result(
    request: EvaluateRequest,
    place: Path,
    model: Model,
    dataset: Dataset,
    findings: Findings,
    probabilities: Floats,
    folder: Path,
    clock: Clock,
) -> EvaluateResult:
    judged = np.arange(len(dataset.cases))
    decided = decisions.decide(model.target, probabilities, model.decision)
    told = answers_of(dataset, judged, probabilities, decided)
    counted = looks.record(_runs.test_key(dataset, judged), "evaluate")
    warnings = list(findings.notes)
    if counted is None:
        warnings.append("Looks at this test set could not be counted: the user's data folder cannot be written.")
    return EvaluateResult(
        model=str(place),
        dataset=summary(dataset, findings),
        test=score_of(dataset, told, request.seed),
        looks=counted,
        seconds=round(clock.seconds, 2),
        report=str(folder / "report.html"),
        warnings=warnings,
        subgroups=subgroup_rows(dataset, told),
    )


def _evidence(request: EvaluateRequest, model: Model, dataset: Dataset, probabilities: Floats) -> Evidence:
    judged = np.arange(len(dataset.cases))
    decided = decisions.decide(model.target, probabilities, model.decision)
    return Evidence(
        target=model.target,
        protocol="external",
        answers=answers_of(dataset, judged, probabilities, decided),
        decision=model.decision,
        calibrator=model.calibrator,
        split_classes=classes_by_split(dataset),
        split_patients={"test": len(np.unique(dataset.patients))},
        versions=versions(),
        picture=shower([case.images[0] for case in dataset.cases]),
        source=Path(request.src).name,
    )


def _table(model: Model, dataset: Dataset, probabilities: Floats) -> str:
    decided = decisions.decide(model.target, probabilities, model.decision)
    predicted = _runs.as_prediction([case.name for case in dataset.cases], probabilities, decided)
    rows = _runs.prediction_rows(_runs.JUDGED, model.target, dataset.values, dataset.groups, predicted)
    return _runs.table(_runs.prediction_head(model.target), rows)
