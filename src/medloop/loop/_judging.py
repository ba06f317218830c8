"""Champion and challenger asked about the same frozen cases, and what the gate says of their answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medloop import families
from medloop.compute import Compute
from medloop.evaluation import comparison, gate
from medloop.evaluation.comparison import Side
from medloop.evaluation.gate import Rules, Trial, Verdict
from medloop.loop._clock import Clock
from medloop.loop._frozen import Frozen
from medloop.loop._intake import Means, look
from medloop.loop._learnt import read_learnt
from medloop.loop._runs import as_decided, truth_text
from medloop.loop.predict import answers
from medloop.loop.retrain import folder_of
from medloop.progress import Progress
from medloop.store.records import ModelRow
from medloop.types import Json, Prediction, Target, TargetKind
from medloop.wire import to_json
from medloop.workspace import Workspace

_MOST_CHANGED = 200


@dataclass(frozen=True, slots=True, eq=False)
class Judgement:
    """``frozen``: the cases that both models answered. ``evidence``: everything a person may want to see of it, as JSON."""

    verdict: Verdict
    frozen: Frozen
    evidence: dict[str, Json]


def answers_of(
    workspace: Workspace, row: ModelRow, frozen: Frozen, workers: int | None, tell: Progress
) -> dict[str, tuple[Prediction, int]]:
    """By case the model's answers and the position in them. Raises `InputError` where no image can be used."""
    place = folder_of(workspace, row)
    model, learnt = families.load(place), read_learnt(place)
    with Compute(workers) as compute:
        means = Means(workspace=workspace, compute=compute, clock=Clock(), tell=tell)
        refs = [case.images[0] for case in frozen.cases]
        seen = look(refs, lambda _: model.preparation, means, kind=learnt.kind, copies=False, pictures=False)
        found = answers(model, seen, means)
    return {case: (found, at) for at, case in enumerate(found.cases)}


def judge(
    target: Target,
    frozen: Frozen,
    models: tuple[ModelRow, ModelRow],
    told: tuple[dict[str, tuple[Prediction, int]], ...],
    rules: Rules,
    look_: int,
) -> Judgement:
    """The verdict on the cases that both models answered. ``models``: champion, challenger; ``told``: their answers."""
    both = np.array([at for at, case in enumerate(frozen.cases) if all(case.name in each for each in told)], dtype=np.int64)
    shared = frozen.select(both)
    sides = [_side(target, [each[case.name] for case in shared.cases]) for each in told]
    trial = Trial(
        target=target,
        values=shared.values,
        champion=sides[0],
        challenger=sides[1],
        patients=shared.patients,
        attributes=[dict(case.attributes) for case in shared.cases],
        look=look_,
    )
    verdict = gate.judge(trial, rules)
    figures = comparison.paired(target, sides[0], sides[1], shared.values, shared.patients) if len(shared) else []
    evidence: dict[str, Json] = {
        "verdict": to_json(verdict),
        "champion": _named(models[0]),
        "challenger": _named(models[1]),
        "target": {"kind": target.kind.value, "classes": list(target.classes), "name": target.name, "unit": target.unit},
        "test_set": shared.test_set,
        "cases": len(shared),
        "patients": len(np.unique(shared.patients)),
        "left_out": _left_out(frozen, shared),
        "figures": [row.to_json() for row in figures],
        "changed": _changed(target, shared, sides[0], sides[1]),
    }
    return Judgement(verdict, shared, to_json(evidence))


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
