"""Champion and challenger asked about the same frozen cases, and what the gate says of their answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, cast

import numpy as np

from medloop import families, prepared, targets
from medloop.compute import Compute
from medloop.errors import Unreadable
from medloop.evaluation import comparison, gate
from medloop.evaluation.comparison import Difference, Side
from medloop.evaluation.gate import Drawn, Rules, Trial, Verdict
from medloop.families import Finder
from medloop.loop._clock import Clock
from medloop.loop._frozen import Frozen
from medloop.loop._intake import Means, Seen, look
from medloop.loop._learnt import read_learnt
from medloop.loop._runs import as_decided, truth_text
from medloop.loop._structured import on_one_grid
from medloop.loop._truth import truth_of
from medloop.loop.predict import answers
from medloop.loop.retrain import folder_of
from medloop.progress import Progress
from medloop.store.records import ModelRow
from medloop.types import Findings, Json, Prediction, Target, TargetKind
from medloop.wire import to_json
from medloop.workspace import Workspace

_MOST_CHANGED = 200


@dataclass(frozen=True, slots=True, eq=False)
class Judgement:
    """``frozen``: the cases that both models answered. ``evidence``: everything a person may want to see of it, as JSON."""

    verdict: Verdict
    frozen: Frozen
    evidence: dict[str, Json]


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """What one model answers, by case.

    ``said``: the answers and the position in them. ``drawn``: by target's name how its outlines or boxes lie beside the truth (a
    tally of `medloop.targets`).
    """

    said: Mapping[str, tuple[Prediction, int]]
    drawn: Mapping[str, Mapping[str, Any]]

    def of(self, target: Target) -> Mapping[str, Any]:
        """The answers that are judged for this target."""
        return self.drawn.get(target.name, {}) if target.kind.structured else self.said


def answers_of(workspace: Workspace, row: ModelRow, sets: Sequence[Frozen], workers: int | None, tell: Progress) -> Told:
    """What a model answers of all cases of these test sets. Raises `InputError` where no image can be used."""
    place = folder_of(workspace, row)
    model, learnt = families.load(place), read_learnt(place)
    cases = {case.name: case for each in sets for case in each.cases}
    with Compute(workers) as compute:
        means = Means(workspace=workspace, compute=compute, clock=Clock(), tell=tell)
        refs = [case.images[0] for case in cases.values()]
        seen = look(refs, lambda _: model.preparation, means, kind=learnt.kind, copies=False, pictures=False)
        drawn = [each for each in sets if each.drawn is not None]
        tallies = _tallies(cast(Finder, model), drawn, seen, means) if drawn else {}
        found = answers(model, seen, means)
    return Told({case: (found, at) for at, case in enumerate(found.cases)}, tallies)


def _tallies(model: Finder, sets: Sequence[Frozen], seen: Seen, means: Means) -> dict[str, dict[str, Any]]:
    """By target's name and case how what is found lies beside the truth; one case after another, so that no mask is kept."""
    assert seen.survey.arrays is not None
    refs = {ref.name: ref for ref in seen.survey.refs}
    geometry = prepared.geometry_of(seen.survey, compute=means.compute, tell=means.tell)
    cache = means.workspace.cache
    stream = model.find(seen.survey.arrays, geometry, cases=list(refs), compute=means.compute, cache=cache, tell=means.tell)
    where = [{case.name: at for at, case in enumerate(each.cases)} for each in sets]
    tallies: dict[str, dict[str, Any]] = {each.target.name: {} for each in sets}
    for found in stream:
        for each, rows in zip(sets, where, strict=True):
            if found.case in rows and (truth := _truth(each, rows[found.case], found)) is not None:
                tally = targets.of(each.target.kind).tally(each.target, found, truth, refs[found.case].spacing_mm)
                tallies[each.target.name][found.case] = tally
    return tallies


def _truth(frozen: Frozen, row: int, found: Findings) -> Findings | None:
    """What is true of a case; None where its outline cannot be read or is of another size."""
    assert frozen.drawn is not None
    try:
        truth = truth_of(frozen.drawn, row, found.case)
    except Unreadable:
        return None
    return truth if truth is not None and on_one_grid(truth, found) else None


def judge(sets: Sequence[Frozen], models: tuple[ModelRow, ModelRow], told: Sequence[Told], rules: Rules, look_: int) -> Judgement:
    """The verdict on the cases that both models answered. ``sets``: of each target, the main one first. ``models``: champion,
    challenger; ``told``: their answers."""
    shared = [_shared(each, told) for each in sets]
    (main, trial), *beside = [(each, _trial(each, told, look_)) for each in shared]
    verdict = gate.judge(trial, rules, [other for _, other in beside])
    evidence: dict[str, Json] = {
        "verdict": to_json(verdict),
        "champion": _named(models[0]),
        "challenger": _named(models[1]),
        "test_set": main.test_set,
        **_about(sets[0], main, trial),
        "beside": [_about(whole, each, other) for whole, (each, other) in zip(sets[1:], beside, strict=True)],
        "changed": _changed(main.target, main, trial.champion, trial.challenger) if isinstance(trial, Trial) else {},
    }
    return Judgement(verdict, main, to_json(evidence))


def _shared(frozen: Frozen, told: Sequence[Told]) -> Frozen:
    """The cases that both models answered."""
    both = [at for at, case in enumerate(frozen.cases) if all(case.name in each.of(frozen.target) for each in told)]
    return frozen.select(np.array(both, dtype=np.int64))


def _trial(frozen: Frozen, told: Sequence[Told], look_: int) -> Trial | Drawn:
    target, attributes = frozen.target, [dict(case.attributes) for case in frozen.cases]
    answers = [[each.of(target)[case.name] for case in frozen.cases] for each in told]
    if target.kind.structured:
        module, width = cast(ModuleType, targets.of(target.kind)), 1 + len(target.classes)
        pairs = [module.rivals(one, two) for one, two in zip(*answers, strict=True)]
        one, two = (np.array([pair[side] for pair in pairs], np.float64).reshape(len(pairs), width) for side in (0, 1))
        return Drawn(target=target, champion=one, challenger=two, patients=frozen.patients, attributes=attributes, look=look_)
    sides = [_side(target, each) for each in answers]
    return Trial(
        target=target,
        values=frozen.values,
        champion=sides[0],
        challenger=sides[1],
        patients=frozen.patients,
        attributes=attributes,
        look=look_,
    )


def _about(whole: Frozen, shared: Frozen, trial: Trial | Drawn) -> dict[str, Json]:
    """One target in the evidence. ``whole``: with the cases that a model could not read."""
    target = shared.target
    return {
        "target": {"kind": target.kind.value, "classes": list(target.classes), "name": target.name, "unit": target.unit},
        "cases": len(shared),
        "patients": len(np.unique(shared.patients)),
        "left_out": _left_out(whole, shared),
        "figures": [row.to_json() for row in _figures(trial)],
    }


def _figures(trial: Trial | Drawn) -> list[Difference]:
    """Every figure of both models."""
    if len(trial.patients) == 0:
        return []
    if isinstance(trial, Trial):
        return comparison.paired(trial.target, trial.champion, trial.challenger, trial.values, trial.patients)
    main = gate.metric_of(trial.target)
    names = [main, *(f"{main}_{name}" for name in trial.target.classes)]
    return comparison.paired_means(names, trial.champion, trial.challenger, trial.patients)


def _side(target: Target, told: list[tuple[Prediction, int]]) -> Side:
    width = max(1, len(target.classes))
    probabilities = np.array([found.probabilities[at] for found, at in told], dtype=np.float64).reshape(len(told), width)
    labels = tuple(found.labels[at] for found, at in told)
    confidence = np.array([found.confidence[at] for found, at in told], dtype=np.float64)
    decided = as_decided(target, Prediction(labels, probabilities, labels, confidence, np.zeros(len(told), dtype=np.bool_)))
    return Side(probabilities, decided.choices)


def _named(row: ModelRow) -> dict[str, Json]:
    return {"id": row.id, "name": row.name, "family": row.family}


def _left_out(frozen: Frozen, shared: Frozen) -> dict[str, int]:
    unread = len(frozen) - len(shared)
    return dict(frozen.left_out) | ({"a model could not read it": unread} if unread else {})


def _changed(target: Target, frozen: Frozen, champion: Side, challenger: Side) -> dict[str, Json]:
    """Of each class how many cases the challenger gains and loses, and which they are, the surest first."""
    if champion.choices is None or challenger.choices is None or target.kind is TargetKind.NUMBER:
        return {"classes": [], "cases": []}
    before, after = truth_text(target, champion.choices), truth_text(target, challenger.choices)
    right = [np.array([one == two for one, two in zip(said, frozen.truth, strict=True)], dtype=bool) for said in (before, after)]
    rows = []
    for truth in sorted(set(frozen.truth)):
        inside = np.array([each == truth for each in frozen.truth], dtype=bool)
        gained, lost = inside & ~right[0] & right[1], inside & right[0] & ~right[1]
        rows.append({"truth": truth, "cases": int(inside.sum()), "gained": int(gained.sum()), "lost": int(lost.sum())})
    moved = np.flatnonzero([one != two for one, two in zip(before, after, strict=True)])
    apart = np.abs(challenger.probabilities - champion.probabilities).max(axis=1)
    order = moved[np.argsort(-apart[moved], kind="stable")][:_MOST_CHANGED]
    cases = [
        {
            "case": frozen.rows[at].id,
            "truth": frozen.truth[at],
            "before": before[at],
            "after": after[at],
            "better": bool(right[1][at]),
        }
        for at in order.tolist()
    ]
    return {"classes": rows, "cases": cases, "moved": len(moved)}
