"""Replay the loop on labelled data: what does asking for the right labels save?

Two learners begin with a few labels each. One asks for those that `medloop.evaluation.asking` names, the other takes them at
random; after every batch each learns anew, and both are scored on the test split. This scores the test split many times: it is a
study of the loop, of which no model is kept and after which nothing is chosen. The order of asking sees pictures and labels of the
training cases only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import threadpoolctl

from medloop import labels, prep
from medloop.compute import Compute
from medloop.dataset import Options, build, leaks, rows, summary
from medloop.errors import InputError
from medloop.evaluation import asking
from medloop.families import _quality, _quick
from medloop.labels import Labelled
from medloop.loop import _runs
from medloop.loop._clock import Clock
from medloop.loop._intake import Means, Seen, collect, labels_with, look
from medloop.progress import QUIET, Progress
from medloop.reporting import simulate_page
from medloop.requests import DatasetSummary, SimulateRequest, SimulateResult
from medloop.store import looks
from medloop.types import Array, Dataset, Floats, Integers, Target, TargetKind
from medloop.wire import to_json
from medloop.workspace import Workspace, ready_for, write_folder, write_json, write_text

GOAL = 0.995
"""The part of the full-data AUC that is to be reached."""
_BATCH, _GROWS, _COARSE_FROM, _COARSE = 10, 0.1, 0.25, 0.25
_FIRST = 20


def simulate(workspace: Workspace, request: SimulateRequest, tell: Progress = QUIET) -> SimulateResult:
    """Learn with few labels, those asked for and as many at random, and say how many each needs.

    Raises `InputError` for wrong input, and `Refused` as `learn` does.
    """
    clock = Clock()
    workspace.ready()
    folder = _runs.new_folder(workspace, request.out, "simulations", Path(request.src).stem or "data")
    ready_for(folder)
    with Compute(request.workers) as compute:
        means = Means(workspace=workspace, compute=compute, clock=clock, tell=tell)
        collection = collect(request, means)
        labelled = labels.read(collection, request, labels_with(means))
        _refuse_others(labelled.target)
        seen = look([case.images[0] for case in labelled.cases], prep.plan, means)
        if seen.survey.arrays is None:
            raise ValueError("nothing was prepared")
        table = _quick.looked_at(seen.survey.arrays, compute, workspace.cache, tell)
    with threadpoolctl.threadpool_limits(1):
        found = [_study(labelled, seen, table, request, request.seed + number) for number in range(request.seeds)]
        studies, told = [study for study, _ in found], found[0][1]
        _replayed(studies, request, tell)
    result = _result(request, studies, told, folder, clock, collection.notes)
    with write_folder(folder) as beside:
        write_text(beside / "report.html", simulate_page(result, Path(request.src).name))
        write_json(beside / "result.json", to_json(result))
    return result


@dataclass(slots=True, eq=False)
class _Study:
    """One seed: a split, and two learners on the same training cases. ``rows``: ``(N, k)``; ``pool`` and ``test``: positions."""

    target: Target
    rows: Floats
    values: Array
    pool: Integers
    test: Integers
    seed: int
    full: float = 0.0
    asked: _Learner = field(init=False)
    random: _Learner = field(init=False)

    def __post_init__(self) -> None:
        """Learn once from everything, which is what the others are compared with."""
        self.full = self.score(_quick.learn(self.rows[self.pool], self.values[self.pool], self.target, self.seed))
        self.asked, self.random = _Learner(self, asks=True), _Learner(self, asks=False)

    def score(self, model: _quick.Quick) -> float:
        """The AUC on the test split."""
        return _quality.ranking(self.target, self.values[self.test], model.raw(self.rows[self.test]))


class _Learner:
    """What one learner has been told so far (positions in the pool), and how good it was after each batch."""

    def __init__(self, study: _Study, *, asks: bool) -> None:
        self.study, self.asks = study, asks
        self.known = np.zeros(0, np.int64)
        self.points: list[tuple[int, float]] = []
        self._model: _quick.Quick | None = None
        self._order = np.random.default_rng([study.seed, 1]).permutation(len(study.pool))

    def go_to(self, count: int) -> None:
        """Be told of more cases until ``count`` are known, learn, and be scored."""
        study = self.study
        self.known = np.concatenate([self.known, self._next(count - len(self.known))])
        told = study.pool[self.known]
        if _quick.learnable(study.target, study.values[told]):
            self._model = _quick.learn(study.rows[told], study.values[told], study.target, study.seed)
        self.points.append((count, 0.5 if self._model is None else study.score(self._model)))

    def needed(self) -> float | None:
        """The share of the training labels that reaches the goal and holds it for one more batch; None: not yet."""
        return needed(self.points, GOAL * self.study.full, len(self.study.pool))

    def _next(self, count: int) -> Integers:
        if not self.asks:
            return self._order[len(self.known) : len(self.known) + count]
        study = self.study
        left = np.setdiff1d(np.arange(len(study.pool)), self.known)
        places = study.rows[study.pool[left]]
        if self._model is None:
            return np.asarray(left[asking.start(places, count, study.seed + len(self.known))])
        margins = self._model.margin(self._model.raw(places))
        return np.asarray(left[asking.ask(margins, places, count, study.seed)])


def needed(points: Sequence[tuple[int, float]], goal: float, whole: int) -> float | None:
    """Where a curve of ``(labels, value)`` first reaches ``goal`` and holds it at the next point, as a share of ``whole``; None
    where it does not yet. Between points it is a straight line; with all labels there is no next point."""
    for at, (count, value) in enumerate(points):
        holds = points[at + 1][1] >= goal if at + 1 < len(points) else count == whole
        if value < goal or not holds:
            continue
        if at == 0:
            return count / whole
        before, low = points[at - 1]
        part = (goal - low) / (value - low) if value > low and low < goal else 1.0
        return (before + part * (count - before)) / whole
    return None


def steps(start: int, batch: int, whole: int) -> Iterator[int]:
    """How many labels are known after each batch: batches grow by a tenth of what is known, later by a quarter."""
    count = min(start, whole)
    while count < whole:
        yield count
        share = _COARSE if count > _COARSE_FROM * whole else _GROWS
        count += max(batch, int(share * count))


def _replayed(studies: Sequence[_Study], request: SimulateRequest, tell: Progress) -> None:
    """Both learners of every study, side by side, until all have reached the goal."""
    whole = min(len(study.pool) for study in studies)
    batch = request.batch or int(np.clip(whole // 100, 1, _BATCH))
    start = request.start or min(max(_FIRST * batch // _BATCH, 2 * len(studies[0].target.classes)), whole)
    with tell.task("Replaying") as tick:
        for count in steps(start, batch, whole):
            for study in studies:
                for learner in (study.asked, study.random):
                    learner.go_to(count)
            tick(1)
            if all(each.needed() is not None for study in studies for each in (study.asked, study.random)):
                return
    for study in studies:
        for learner in (study.asked, study.random):
            learner.points.append((len(study.pool), study.full))


def _study(
    labelled: Labelled, seen: Seen, table: Floats, request: SimulateRequest, seed: int
) -> tuple[_Study, tuple[Dataset, DatasetSummary, list[str]]]:
    """A split by this seed (a given split is kept), and what is to be told of it."""
    options = Options(seed=seed, accept_leak=leaks.accepted(request.accept_leak), targets=("classes",))
    dataset, findings = build(labelled, seen.survey, seen.pairs, options)
    pool, test = dataset.indices("train", "val"), dataset.indices("test")
    own = np.asarray(table[rows(dataset, seen.survey)])
    study = _Study(dataset.target, _quick.reduced(own, pool, seed), dataset.values, pool, test, seed)
    looks.record(_runs.test_key(dataset, test), "simulate")
    return study, (dataset, summary(dataset, findings), list(findings.notes))


def _result(
    request: SimulateRequest,
    studies: Sequence[_Study],
    told: tuple[Dataset, DatasetSummary, list[str]],
    folder: Path,
    clock: Clock,
    notes: Sequence[str],
) -> SimulateResult:
    each = [(study.asked.needed() or 1.0, study.random.needed() or 1.0) for study in studies]
    asked, random = np.mean(each, axis=0).tolist()
    pool = round(float(np.mean([len(study.pool) for study in studies])))
    hours = {
        name: round(share * pool * request.reading_seconds / 3600, 2)
        for name, share in (("all", 1.0), ("asked", asked), ("random", random), ("saved", random - asked))
    }
    scored = 2 * sum(len(study.asked.points) for study in studies)
    warnings = [*told[2], *notes, f"The test split was scored {scored} times, to study the loop."]
    return SimulateResult(
        dataset=told[1],
        labels=pool,
        full_auc=float(np.mean([study.full for study in studies])),
        goal=GOAL,
        labels_needed=asked,
        labels_needed_random=random,
        hours=hours,
        reading_seconds=request.reading_seconds,
        curve=_curve(studies, pool),
        seeds=[
            {"seed": study.seed, "full_auc": study.full, "labels_needed": pair[0], "labels_needed_random": pair[1]}
            for study, pair in zip(studies, each, strict=True)
        ],
        warnings=warnings,
        seconds=round(clock.seconds, 2),
        report=str(folder / "report.html"),
    )


def _curve(studies: Sequence[_Study], pool: int) -> list[dict[str, float]]:
    """The mean over seeds, with the lowest and the highest, at every number of labels; the last row has them all."""
    found = []
    for at, (count, _) in enumerate(studies[0].asked.points):
        if count >= pool:
            continue
        row: dict[str, float] = {"labels": count, "share": count / pool}
        for name in ("asked", "random"):
            values = [getattr(study, name).points[at][1] for study in studies]
            row |= {name: float(np.mean(values)), f"{name}_low": min(values), f"{name}_high": max(values)}
        found.append(row)
    full = [study.full for study in studies]
    last = {f"{name}{end}": value for name in ("asked", "random") for end, value in _ends(full).items()}
    return [*found, {"labels": pool, "share": 1.0, **last}]


def _ends(values: Sequence[float]) -> dict[str, float]:
    return {"": float(np.mean(values)), "_low": min(values), "_high": max(values)}


def _refuse_others(target: Target) -> None:
    if target.kind is TargetKind.NUMBER or target.kind.structured:
        raise InputError(
            "simulate-classes",
            got=f"The labels are {target.kind.value}.",
            allowed="Classes: two, several, or several at once. AUC is what is followed.",
            fix="Name a label column of classes with --label-columns.",
        )
