"""From an outcome to a result, a report and a run's folder."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medloop import families, recipes
from medloop.compute.memory import PeakMemory
from medloop.dataset import WHOSE, Findings, appearance, counts, rows, shortcuts, summary
from medloop.dataset.appearance import Appearance
from medloop.evaluation import decisions, scores, subgroups
from medloop.evaluation.decisions import Decided, Decision
from medloop.evaluation.evidence import Answers, Evidence, StructuredEvidence
from medloop.evaluation.shift import Shift
from medloop.families import Fitted
from medloop.labels import Labelled
from medloop.loop import _runs
from medloop.loop._augmented import augmented
from medloop.loop._clock import Clock
from medloop.loop._curve import Curve
from medloop.loop._heat import Heater
from medloop.loop._intake import Seen, unused
from medloop.loop._learnt import LEARNT, PATIENTS, learnt_from, to_bytes
from medloop.loop._pictures import shower
from medloop.loop._protocols import Lesson, Outcome
from medloop.loop._shift import between, looks_of
from medloop.loop._shift import told as shift_told
from medloop.loop._start import stamped
from medloop.loop._versions import versions
from medloop.reporting import learn_page
from medloop.requests import LearnRequest, LearnResult, listed
from medloop.store import looks
from medloop.types import Dataset, Floats, Integers, Json, Metric, Split, TargetKind
from medloop.wire import to_json
from medloop.workspace import write_folder, write_json, write_text

_HEAT_SHARE, _HEAT_S = 0.96, 30.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Asked:
    """What was asked for, and what was found on the way. ``unused``: files that were not used."""

    request: LearnRequest
    run: Path
    labelled: Labelled
    seen: Seen
    findings: Findings
    unused: int


def tell_run(asked: Asked, lesson: Lesson, outcome: Outcome, curve: Curve, clock: Clock, memory: PeakMemory) -> LearnResult:
    """Score once, save and report. The folder of the run appears whole or not at all."""
    dataset, executed = lesson.dataset, stamped(outcome.fitted.recipe)
    answers = _answers(dataset, outcome)
    with clock.stage("evaluate"):
        before, shift = _looks(asked, lesson, outcome)
        result = replace(_result(asked, lesson, outcome, answers), shift=shift_told(shift, "test"))
    with clock.stage("report"), write_folder(asked.run) as folder:
        learnt = learnt_from(dataset, outcome.fitted.out_of_fold.indices, asked.request, before, _each(asked, lesson, outcome))
        families.save(outcome.fitted.model, folder / "model", beside={LEARNT: to_bytes(learnt)})
        evidence = replace(_evidence(asked, lesson, outcome, answers, curve), shift=shift)
        if not dataset.target.kind.structured:
            heater = _heater(lesson, outcome, clock)
            evidence = replace(evidence, heat=heater, heat_says=heater.says)
        evidence = replace(evidence, augmented=augmented(lesson, outcome.fitted))
        page = learn_page(result, evidence)
        result = _measured(result, clock, memory, outcome)
        write_text(folder / "report.html", page)
        _write_tables(folder, lesson, outcome)
        write_text(folder / "recipe.toml", recipes.to_toml(executed))
        record = (to_json(asked.request), to_json(result), recipes.to_json(executed))
        write_json(folder / "run.json", _runs.run_record(dataset, *record, versions()))
    return result


def _answers(dataset: Dataset, outcome: Outcome) -> Answers:
    """The answers for the judged cases whose class or number is known; of a model without classes, every case and no answer."""
    known = told(dataset, outcome.judged)
    rows, predicted = np.asarray(outcome.judged)[known], _runs.some(outcome.prediction, known)
    return answers_of(dataset, rows, predicted.probabilities, _runs.as_decided(dataset.target, predicted))


def told(dataset: Dataset, rows: Integers) -> NDArray[np.int64]:
    """Positions in ``rows`` of the cases whose class or number is known, or of all where none are learnt."""
    if dataset.class_known is None or dataset.target.kind.structured:
        return np.arange(len(rows))
    return np.flatnonzero(dataset.class_known[rows])


def _looks(asked: Asked, lesson: Lesson, outcome: Outcome) -> tuple[Appearance, Shift | None]:
    """How the patients learnt from look, and how those of a held-out test differ from them."""
    dataset, survey = lesson.dataset, asked.seen.survey
    where, learnt = rows(dataset, survey), outcome.fitted.out_of_fold.indices
    before = looks_of(survey.pictures, where[learnt], dataset.patients[learnt])
    if outcome.fold is not None:
        return before, None
    here = looks_of(survey.pictures, where[outcome.judged], dataset.patients[outcome.judged])
    return before, between(before, here, asked.request.seed)


def _each(asked: Asked, lesson: Lesson, outcome: Outcome) -> Appearance:
    """How the images learnt from look, one by one; of many some."""
    learnt = outcome.fitted.out_of_fold.indices
    if len(learnt) > PATIENTS:
        learnt = np.random.default_rng(0).permutation(learnt)[:PATIENTS]
    return appearance.appearance(asked.seen.survey.pictures, rows(lesson.dataset, asked.seen.survey)[learnt])


def decided_by(fitted: Fitted, dataset: Dataset, probabilities: Floats) -> Decided:
    """What probabilities come to by the model's own thresholds."""
    return decisions.decide(dataset.target, probabilities, fitted.model.decision)


def answers_of(dataset: Dataset, judged: Integers, probabilities: Floats, decided: Decided) -> Answers:
    """Answers for the cases ``judged`` beside their truth."""
    cases = [dataset.cases[row] for row in judged]
    return Answers(
        names=tuple(case.name for case in cases),
        values=dataset.values[judged],
        probabilities=probabilities,
        decided=decided,
        patients=dataset.patients[judged],
        attributes=tuple(dict(case.attributes) for case in cases),
    )


def score_of(dataset: Dataset, answers: Answers, seed: int) -> dict[str, Metric]:
    """Every figure that fits the target; of masks, boxes and measures none here."""
    if dataset.target.kind.structured:
        return {}
    return scores.score(dataset.target, answers.values, answers.probabilities, answers.decided.choices, answers.patients, seed)


def with_structured(figures: Mapping[str, Metric], found: Sequence[StructuredEvidence]) -> dict[str, Metric]:
    """All figures of a result. Where two targets have a figure of one name the later carries its target's name before it."""
    joined = dict(figures)
    for each in found:
        joined |= {name if name not in joined else f"{each.target.name}_{name}": metric for name, metric in each.figures.items()}
    return joined


def subgroup_rows(dataset: Dataset, answers: Answers) -> list[dict[str, Json]]:
    """The figures of each subgroup, as results state them; only those of classes and numbers are told."""
    if dataset.target.kind.structured:
        return []
    choices = answers.decided.choices
    found = subgroups.table(dataset.target, answers.values, answers.probabilities, choices, answers.patients, answers.attributes)
    return [to_json(row) for row in found]


def classes_by_split(dataset: Dataset) -> Mapping[str, Mapping[str, int]]:
    """Cases of each class in each split."""
    parts = [part.value for part in Split if (dataset.split == part).any()]
    if dataset.target.kind is TargetKind.NUMBER or dataset.target.kind.structured:
        return {part: {"cases": len(dataset.indices(part))} for part in parts}
    return {part: counts(dataset, part) for part in parts}


def _result(asked: Asked, lesson: Lesson, outcome: Outcome, answers: Answers) -> LearnResult:
    dataset = lesson.dataset
    counted = looks.record(_runs.test_key(dataset, outcome.judged), "learn")
    return LearnResult(
        run=str(asked.run),
        model=str(asked.run / "model"),
        family=outcome.fitted.model.family,
        recipe=lesson.recipe.name,
        dataset=summary(dataset, asked.findings),
        protocol=outcome.protocol,
        test=with_structured(score_of(dataset, answers, asked.request.seed), outcome.structured),
        ladder=_ladder(lesson, outcome.fitted),
        looks=counted,
        seconds=0.0,
        peak_private_mb=0.0,
        report=str(asked.run / "report.html"),
        warnings=_warnings(asked, counted),
        accepted_leaks=_accepted(asked.findings, asked.request),
        subgroups=subgroup_rows(dataset, answers),
    )


def _measured(result: LearnResult, clock: Clock, memory: PeakMemory, outcome: Outcome) -> LearnResult:
    took = clock.timings | dict(outcome.fitted.timings)
    warnings = list(result.warnings)
    if clock.budget_s is not None and clock.seconds > 1.1 * clock.budget_s + 30:
        warnings.append(f"The budget of {clock.budget_s:.0f} s was too short for this data; it took {clock.seconds:.0f} s.")
    return replace(
        result,
        seconds=round(clock.seconds, 2),
        peak_private_mb=round(memory.peak_mb, 1),
        timings={name: round(seconds, 3) for name, seconds in took.items()},
        warnings=warnings,
    )


def _evidence(asked: Asked, lesson: Lesson, outcome: Outcome, answers: Answers, curve: Curve) -> Evidence:
    dataset = lesson.dataset
    split_classes = classes_by_split(dataset)
    return Evidence(
        target=dataset.target,
        protocol=outcome.protocol,
        answers=answers,
        **_of_classes(dataset, outcome),
        split_classes=split_classes,
        split_patients={part: len(np.unique(dataset.patients[dataset.indices(part)])) for part in split_classes},
        learning_curve=curve.points,
        learning_curve_of=curve.stand_in,
        search=tuple(outcome.trials),
        recipe_toml=recipes.to_toml(stamped(outcome.fitted.recipe)),
        versions=versions(),
        picture=shower([dataset.cases[row].images[0] for row in np.asarray(outcome.judged)[told(dataset, outcome.judged)]]),
        structured=outcome.structured,
        source=Path(asked.request.src).name,
        shortcuts=tuple(shortcuts.find(dataset, asked.seen.survey.pictures, rows(dataset, asked.seen.survey), asked.request.seed)),
    )


def _of_classes(dataset: Dataset, outcome: Outcome) -> dict[str, Any]:
    """What only a model of classes or numbers has."""
    model, out = outcome.fitted.model, outcome.fitted.out_of_fold
    if dataset.target.kind.structured:
        return {"decision": Decision(dataset.target.kind.value)}
    known = told(dataset, out.indices)
    probabilities = out.probabilities[known]
    validation = answers_of(dataset, out.indices[known], probabilities, decided_by(outcome.fitted, dataset, probabilities))
    return {"decision": model.decision, "calibrator": model.calibrator, "validation": validation}


def _heater(lesson: Lesson, outcome: Outcome, clock: Clock) -> Heater:
    """Where the kept model looked, in what is left of the budget."""
    known = told(lesson.dataset, outcome.judged)
    return Heater(
        model=outcome.fitted.model,
        arrays=lesson.arrays,
        rows=np.asarray(outcome.judged)[known],
        choices=families.choices_of(lesson.dataset.target, _runs.some(outcome.prediction, known)),
        compute=lesson.compute,
        deadline=min(clock.deadline(_HEAT_SHARE), time.monotonic() + _HEAT_S),
        tell=lesson.tell,
        has_seen=outcome.fold is not None,
    )


def _ladder(lesson: Lesson, fitted: Fitted) -> list[dict[str, Json]]:
    """A row for every family that was tried, or the one row of the only one."""
    if fitted.ladder:
        return [dict(row) for row in fitted.ladder]
    if lesson.dataset.target.kind.structured:
        return [_bare_row(fitted)]
    job = lesson.job(fitted.out_of_fold.indices, 0.0)
    how, seconds = str(fitted.recipe.parameters.get("how", "")), sum(fitted.timings.values())
    return [families.row(job, fitted, how=how, seconds=seconds, chosen=True, reason="Chosen: the recipe asked for it.")]


def _bare_row(fitted: Fitted) -> dict[str, Json]:
    """The row of a model that answers neither classes nor numbers: it is compared with no other."""
    bare: dict[str, Json] = dict.fromkeys(("metric", "validation", "size_mb", "images_per_second"))
    seconds = round(sum(fitted.timings.values()), 2)
    told = {"family": fitted.model.family, "how": str(fitted.recipe.parameters.get("how", "")), "seconds": seconds}
    return told | bare | {"trials": len(fitted.trials), "chosen": True, "reason": "Chosen: it learns masks, boxes and measures."}


def _accepted(findings: Findings, request: LearnRequest) -> list[str]:
    kinds = listed(request.accept_leak)
    found = Counter(leak["kind"] for leak in findings.leaks if Split.TEST in leak["splits"] and leak["kind"] in kinds)
    says = "leaks into the test split were accepted: the figures flatter the model"
    return [*(f"{count} {kind} {says}." for kind, count in found.items()), *(note for note in findings.notes if note == WHOSE)]


def _warnings(asked: Asked, counted: int | None) -> list[str]:
    """What a reader of the result must know."""
    told = list(asked.findings.notes)
    if asked.findings.conflicts:
        told.append(
            f"{len(asked.findings.conflicts)} pairs of the same picture carry different labels; medloop inspect names them."
        )
    if asked.labelled.problems:
        told.append(f"{len(asked.labelled.problems)} rows or images did not match each other; medloop inspect names them.")
    told += unused(asked.unused + len(asked.seen.rejected))
    if counted is None:
        told.append("Looks at this test set could not be counted: the user's data folder cannot be written.")
    return told


def _write_tables(folder: Path, lesson: Lesson, outcome: Outcome) -> None:
    dataset, out, judged = lesson.dataset, outcome.fitted.out_of_fold, outcome.judged
    lines: list[Sequence[str]] = []
    lines += _runs.prediction_rows(_runs.JUDGED, dataset.target, dataset.values[judged], dataset.groups[judged], outcome.prediction)
    if outcome.fold is None and not dataset.target.kind.structured:
        decided = decided_by(outcome.fitted, dataset, out.probabilities)
        validation = _runs.as_prediction([dataset.cases[row].name for row in out.indices], out.probabilities, decided)
        values, groups = dataset.values[out.indices], dataset.groups[out.indices]
        lines += _runs.prediction_rows(_runs.VALIDATION, dataset.target, values, groups, validation)
    write_text(folder / "predictions.csv", _runs.table(_runs.prediction_head(dataset.target), lines))
    folds = None if outcome.fold is None else outcome.fold.tolist()
    write_text(folder / "split.csv", _runs.table(["case", "split", "group", "label"], _runs.split_rows(dataset, folds)))
    if outcome.structured:
        write_text(folder / "cases.csv", _runs.table(*_runs.case_rows(outcome.structured)))
    write_json(folder / "search.json", to_json(list(outcome.trials)))
