"""Judge a saved model on other labelled data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np

from medloop import families, labels, prepared
from medloop.compute import Compute
from medloop.dataset import Findings, judged_by, rows, summary
from medloop.errors import InputError, Refused
from medloop.evaluation import decisions
from medloop.evaluation.decisions import Decided, Decision
from medloop.evaluation.evidence import Answers, Evidence, StructuredEvidence
from medloop.families import Finder, Model
from medloop.loop import _runs
from medloop.loop._clock import Clock
from medloop.loop._intake import Means, Seen, collect, labels_with, look, unused
from medloop.loop._learnt import read_learnt
from medloop.loop._pictures import shower
from medloop.loop._protocols import unsaid
from medloop.loop._shift import between, looks_of
from medloop.loop._shift import told as shift_told
from medloop.loop._structured import Judge
from medloop.loop._telling import answers_of, classes_by_split, score_of, subgroup_rows, told, with_structured
from medloop.loop._versions import versions
from medloop.loop.predict import answers, further_of
from medloop.progress import QUIET, Progress
from medloop.reporting import evaluate_page
from medloop.requests import EvaluateRequest, EvaluateResult
from medloop.store import looks
from medloop.types import Dataset, Floats, Prediction, TargetKind
from medloop.wire import to_json
from medloop.workspace import Workspace, ready_for, write_folder, write_json, write_text


def evaluate(workspace: Workspace, request: EvaluateRequest, tell: Progress = QUIET) -> EvaluateResult:
    """The figures of a model on labelled cases it has not learnt from; pictures it learnt from are left out and counted.

    Raises `InputError` for wrong input, `Refused` where nothing is left to judge by.
    """
    clock = Clock()
    place = _runs.find_model(workspace, request.model)
    model, learnt = families.load(place), read_learnt(place)
    _refuse_masks(request, model)
    workspace.ready()
    folder = _runs.new_folder(workspace, request.out, "evaluations", Path(request.src).stem or "data")
    ready_for(folder)
    with Compute(request.workers) as compute:
        means = Means(workspace=workspace, compute=compute, clock=clock, tell=tell)
        collection = collect(request, means, channels=learnt.joining(request.channels, request.case_by))
        labelled = labels.read(collection, request, labels_with(means))
        seen = look([case.images[0] for case in labelled.cases], lambda _: model.preparation, means, kind=learnt.kind)
        dataset, findings = judged_by(labelled, seen.survey, seen.pairs, model.target, learnt.pictures, further=further_of(model))
        if not dataset.cases:
            raise Refused(
                "nothing-to-judge",
                got=f"None of the {len(labelled.cases)} labelled cases can judge this model. " + " ".join(findings.notes),
                allowed="Labelled pictures of the model's classes that it did not learn from.",
                fix="Name other data.",
            )
        judged = _Judged(model, dataset, *_answered(model, dataset, seen, means, request.seed))
    here = looks_of(seen.survey.pictures, rows(dataset, seen.survey), dataset.patients)
    shift = between(learnt.looks, here, request.seed)
    result = _result(request, place, judged, findings, folder)
    notes = [f"{len(labelled.problems)} rows or images did not match each other."] if labelled.problems else []
    notes += unused(len(collection.rejected) + len(seen.rejected))
    notes += [*collection.notes, *learnt.doubts(seen.survey.refs)]
    result = replace(result, warnings=[*result.warnings, *notes], seconds=round(clock.seconds, 2))
    result = replace(result, shift=shift_told(shift, "new"))
    evidence = replace(_evidence(request, judged), shift=shift)
    with write_folder(folder) as beside:
        write_text(beside / "report.html", evaluate_page(result, evidence, model.family))
        write_json(beside / "result.json", to_json(result))
        write_text(beside / "predictions.csv", _table(judged))
        if judged.structured:
            write_text(beside / "cases.csv", _runs.table(*_runs.case_rows(judged.structured)))
    return result


@dataclass(frozen=True, slots=True, eq=False)
class _Judged:
    """A model and what it answers for the cases that judge it. ``probabilities``: ``(N, K)``, without classes no columns."""

    model: Model
    dataset: Dataset
    probabilities: Floats
    structured: tuple[StructuredEvidence, ...]

    @property
    def answers(self) -> Answers:
        """The answers for the cases whose class or number is known."""
        known = told(self.dataset, np.arange(len(self.dataset.cases)))
        return answers_of(self.dataset, known, self.probabilities[known], self._decided(self.probabilities[known]))

    @property
    def prediction(self) -> Prediction:
        """The answers for all cases."""
        names = [case.name for case in self.dataset.cases]
        return _runs.as_prediction(names, self.probabilities, self._decided(self.probabilities))

    def _decided(self, probabilities: Floats) -> Decided:
        if self.model.target.kind.structured:
            return _runs.as_decided(self.model.target, unsaid([""] * len(probabilities)))
        return decisions.decide(self.model.target, probabilities, self.model.decision)


def _answered(model: Model, dataset: Dataset, seen: Seen, means: Means, seed: int) -> tuple[Floats, tuple[StructuredEvidence, ...]]:
    """Probabilities of the dataset's cases, and how good the masks, boxes and measures are that the same look finds in them."""
    arrays = seen.survey.arrays
    unlabelled = any(each.kind is TargetKind.RECONSTRUCTION for each in further_of(model))
    if not (dataset.further or unlabelled) or arrays is None:
        return _probabilities(model, dataset, seen, means), ()
    geometry = prepared.geometry_of(seen.survey, compute=means.compute, tell=means.tell)
    places, names = rows(dataset, seen.survey), [case.name for case in dataset.cases]
    finder, cache, raw = cast(Finder, model), means.workspace.cache, list[Floats]()
    with Judge(dataset, cache) as judge:
        stream = finder.find(arrays, geometry, places, cases=names, compute=means.compute, cache=cache, tell=means.tell)
        for row, found in enumerate(stream):
            judge.hear(row, found)
            raw += [] if found.raw is None else [found.raw]
        said = finder.answered(np.stack(raw), names).probabilities if raw else _probabilities(model, dataset, seen, means)
        return said, judge.tell(seed, finder.rules)


def _probabilities(model: Model, dataset: Dataset, seen: Seen, means: Means) -> Floats:
    """``(N, K)``, in the order of the dataset."""
    predicted = answers(model, seen, means)
    where = {name: row for row, name in enumerate(predicted.cases)}
    return np.asarray(predicted.probabilities[[where[case.images[0].name] for case in dataset.cases]])


def _result(request: EvaluateRequest, place: Path, judged: _Judged, findings: Findings, folder: Path) -> EvaluateResult:
    dataset, told_of = judged.dataset, judged.answers
    counted = looks.record(_runs.test_key(dataset, np.arange(len(dataset.cases))), "evaluate")
    warnings = list(findings.notes)
    if counted is None:
        warnings.append("Looks at this test set could not be counted: the user's data folder cannot be written.")
    return EvaluateResult(
        model=str(place),
        dataset=summary(dataset, findings),
        test=with_structured(score_of(dataset, told_of, request.seed) if len(told_of) else {}, judged.structured),
        looks=counted,
        seconds=0.0,
        report=str(folder / "report.html"),
        warnings=warnings,
        subgroups=subgroup_rows(dataset, told_of) if len(told_of) else [],
    )


def _evidence(request: EvaluateRequest, judged: _Judged) -> Evidence:
    model, dataset = judged.model, judged.dataset
    of_classes = not model.target.kind.structured
    known = told(dataset, np.arange(len(dataset.cases)))
    return Evidence(
        target=model.target,
        protocol="external",
        answers=judged.answers,
        decision=model.decision if of_classes else Decision(model.target.kind.value),
        calibrator=model.calibrator if of_classes else None,
        split_classes=classes_by_split(dataset),
        split_patients={"test": len(np.unique(dataset.patients))},
        versions=versions(),
        picture=shower([dataset.cases[row].images[0] for row in known]),
        source=Path(request.src).name,
        structured=judged.structured,
    )


def _table(judged: _Judged) -> str:
    target, dataset = judged.model.target, judged.dataset
    lines = _runs.prediction_rows(_runs.JUDGED, target, dataset.values, dataset.groups, judged.prediction)
    return _runs.table(_runs.prediction_head(target), lines)


def _refuse_masks(request: EvaluateRequest, model: Model) -> None:
    """Raises `InputError` for masks that are to judge a model that has none."""
    kinds = {each.kind for each in further_of(model)}
    if request.masks is not None and TargetKind.MASKS not in kinds:
        answered = ", ".join(dict.fromkeys(each.name for each in (model.target, *further_of(model))))
        raise InputError(
            "target-unknown-to-model",
            got=f"--masks {request.masks}, and the model finds no masks: it answers {answered}.",
            allowed="Labels of what the model answers.",
            fix="Leave out --masks, or learn a model with --targets masks.",
        )
