"""Audit of labels: those that are probably wrong go back for a second look, with the reason.

Every confirmed label is compared with what a model says that had not seen its patient; no model of the loop is asked, for the
champion may have learnt from that very label. A label that two people gave alike is left alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import threadpoolctl

from medloop import prep
from medloop.compute import Compute
from medloop.dataset import Options, build, folds
from medloop.errors import InputError
from medloop.evaluation import calibration
from medloop.evaluation.suspects import suspects, suspects_each
from medloop.families import _cross, _quick
from medloop.loop._clock import Clock
from medloop.loop._intake import Means, look
from medloop.loop._records import opened
from medloop.loop._stored import gathered
from medloop.progress import QUIET, Progress
from medloop.requests import RecheckRequest, RecheckResult
from medloop.store import Store, labels, studies
from medloop.store.records import LabelRow
from medloop.types import Dataset, Floats, Json, Label, Provenance, Target, TargetKind
from medloop.workspace import Workspace

ACTOR = "label audit"
_FOLDS = 5
_OPEN = ("ready", "proposed", "done")
"""States of labelled cases that a second look can be asked of; those being read are looked at anyway."""


def recheck(workspace: Workspace, request: RecheckRequest, tell: Progress = QUIET) -> RecheckResult:
    """Find labels that are probably wrong, ask for a second look. Raises `InputError`, `Refused` where there are no labels."""
    with opened(workspace, request.database, request.blobs) as records:
        return recheck_labels(records, request, tell)


def recheck_labels(records: Store, request: RecheckRequest, tell: Progress = QUIET) -> RecheckResult:
    """As `recheck`, in a store that is open already."""
    clock, workspace = Clock(), Workspace(records.root).ready()
    stored = gathered(records).labelled
    _refuse_others(stored.target)
    with Compute(request.workers) as compute:
        means = Means(workspace=workspace, compute=compute, clock=clock, tell=tell)
        seen = look([case.images[0] for case in stored.cases], prep.plan, means)
        dataset, _ = build(stored, seen.survey, seen.pairs, Options(seed=request.seed, folds=_FOLDS, targets=("classes",)))
        if seen.survey.arrays is None:
            raise ValueError("nothing was prepared")
        table = _quick.looked_at(seen.survey.arrays, compute, workspace.cache, tell)
    where = {ref.name: row for row, ref in enumerate(seen.survey.refs)}
    own = np.asarray(table[[where[case.images[0].name] for case in dataset.cases]])
    chances = _out_of_fold(dataset, own, request.seed)
    found = _found(records, dataset, chances, {label.case: label for label in stored.labels})
    asked = found[: request.most]
    if not request.dry_run:
        for each in asked:
            studies.set_state(records, each["case_id"], "second-look", ACTOR, each["why"])
    return RecheckResult(
        labels=len(dataset.cases),
        suspected=len(found),
        asked=0 if request.dry_run else len(asked),
        cases=asked,
        by_class=dict(Counter(each["label"] for each in found)),
        seconds=round(clock.seconds, 2),
    )


def _out_of_fold(dataset: Dataset, table: Floats, seed: int) -> Floats:
    """``(N, K)`` calibrated probabilities, each by a model that had not seen the case's group."""
    fold = folds(dataset, _FOLDS, seed)
    places = _quick.reduced(table, np.arange(len(table)), seed)
    raw = np.zeros((len(table), _cross.columns(dataset.target)))
    with threadpoolctl.threadpool_limits(1):
        for number in np.unique(fold):
            held = fold == number
            raw[held] = _quick.learn(places[~held], dataset.values[~held], dataset.target, seed).raw(places[held])
    return calibration.apply(calibration.fit(dataset.target, raw, dataset.values, dataset.groups, seed), raw)


def _found(records: Store, dataset: Dataset, chances: Floats, told: dict[str, Label]) -> list[dict[str, Json]]:
    """Cases with suspected labels, the worst first, without those that cannot be asked about."""
    doubts: dict[int, list[_Doubt]] = {}
    for each in _doubts(dataset, chances):
        doubts.setdefault(each.row, []).append(each)
    numbers = {row: int(dataset.cases[row].name.split("-")[1]) for row in doubts}
    states = {study.id: study.state for study in studies.many(records, numbers.values())}
    found = []
    for row, (worst, *more) in doubts.items():
        number = numbers[row]
        if states[number] not in _OPEN or _twice(labels.history(records, number), dataset.target.name):
            continue
        author = told[dataset.cases[row].name].author
        found.append(
            {
                "case_id": number,
                "label": worst.label,
                "likely": worst.likely,
                "probability": round(worst.probability, 4),
                "author": author,
                "why": " ".join(each.why(author) for each in (worst, *more)),
            }
        )
    return found


@dataclass(frozen=True, slots=True)
class _Doubt:
    """A label that is probably wrong. ``probability``: of the label; ``sure``: of what is likely."""

    row: int
    label: str
    likely: str
    probability: float
    sure: float

    def why(self, author: str) -> str:
        """For the reader who looks again."""
        said = f"‘{self.likely}’ with {100 * self.sure:.0f} %"
        return f"Labelled ‘{self.label}’ by {author}; a model that had not seen it says {said}."


def _doubts(dataset: Dataset, chances: Floats) -> list[_Doubt]:
    """Every suspected label, the worst first; where several classes may hold, of each class by itself."""
    classes, values = dataset.target.classes, dataset.values
    if dataset.target.kind is TargetKind.MULTILABEL:
        found = []
        for row, column in suspects_each(values, chances):
            holds, chance = values[row, column] == 1, float(chances[row, column])
            label, likely = (classes[column], f"no {classes[column]}") if holds else (f"no {classes[column]}", classes[column])
            own = chance if holds else 1 - chance
            found.append(_Doubt(row, label, likely, own, 1 - own))
        return found
    best = chances.argmax(axis=1)
    return [
        _Doubt(row, classes[values[row]], classes[best[row]], float(chances[row, values[row]]), float(chances[row, best[row]]))
        for row in suspects(values, chances).tolist()
    ]


def _twice(history: Sequence[LabelRow], target: str) -> bool:
    """Whether people have given the label that counts more than once."""
    given = [row for row in history if row.target == target and row.provenance in _PEOPLE and row.value is not None]
    return len(given) > 1 and given[-1].value == given[-2].value


_PEOPLE = (Provenance.HUMAN.value, Provenance.HUMAN_AFTER_AI.value)


def _refuse_others(target: Target) -> None:
    if target.kind not in (TargetKind.BINARY, TargetKind.MULTICLASS, TargetKind.MULTILABEL):
        raise InputError(
            "recheck-classes",
            got=f"The project's labels are {target.kind.value}.",
            allowed="Classes, one or several a case.",
            fix="Audit other labels by reading some of them twice (setting readers = 2).",
        )
