"""Answers accepted without a person at a promised error of 2 %: X-rays pooled and split again, and their official test split.

Calibration, decision and promise are those of `medloop learn` and `medloop propose`, on heads that learn quickly from the features
of a frozen network: out-of-fold answers of the training cases make the promise, new cases are judged by it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import threadpoolctl

from bench.core import Row, shared
from medloop import prep
from medloop.compute import Compute
from medloop.evaluation import calibration, decisions, intervals, selective
from medloop.evaluation.decisions import Decided
from medloop.evaluation.selective import Promise
from medloop.families import _quick
from medloop.families._folds import folds
from medloop.loop._clock import Clock
from medloop.loop._intake import Means, Seen, collect, look
from medloop.loop._shift import between, looks_of
from medloop.requests import SourceRequest
from medloop.types import Array, Floats, Integers, Target, TargetKind
from medloop.workspace import Workspace

_SPLITS = 20
_RATE = 0.02
_TRAIN = 0.8
_TARGET = Target(TargetKind.BINARY, ("normal", "pneumonia"))


def rows() -> Iterator[Row]:
    """Pooled error, splits above their own interval, share accepted; then the official test split."""
    with tempfile.TemporaryDirectory() as folder, threadpoolctl.threadpool_limits(1):
        seen, table, values, parts = _read(Path(folder))
        first = np.unique([ref.digest for ref in seen.survey.refs], return_index=True)[1]
        judged = [_resplit(table, values, first, seed) for seed in range(_SPLITS)]
        yield from _pooled(judged)
        yield from _official(seen, table, values, parts)


@dataclass(frozen=True, slots=True)
class _Judged:
    """What came of one split: the promise, new cases, how many were accepted, how many of these wrongly."""

    promise: Promise
    cases: int
    accepted: int
    mistakes: int


def _read(place: Path) -> tuple[Seen, Floats, Integers, Array]:
    """The pictures, what a frozen network sees in them, their labels, and the part of the official split that each is in."""
    source, workspace = shared("pneumoniamnist_rebuilt.npz"), Workspace(place)
    workspace.ready()
    with Compute() as compute:
        means = Means(workspace=workspace, compute=compute, clock=Clock())
        seen = look(collect(SourceRequest(src=str(source)), means).refs, prep.plan, means, copies=False)
        if seen.survey.arrays is None:
            raise RuntimeError("nothing was prepared")
        table = np.array(_quick.looked_at(seen.survey.arrays, compute, workspace.cache))
    with np.load(source) as stored:
        labels = {part: stored[f"{part}_labels"].ravel() for part in ("train", "val", "test")}
    named = [ref.name.split("#")[1].split("/") for ref in seen.survey.refs]
    values = np.array([labels[part][int(number)] for part, number in named], np.int64)
    return seen, table, values, np.array([part for part, _ in named])


def _resplit(table: Floats, values: Integers, pictures: Integers, seed: int) -> _Judged:
    order = np.random.default_rng(seed).permutation(pictures)
    cut = int(_TRAIN * len(order))
    return _judge(table, values, np.sort(order[:cut]), np.sort(order[cut:]), seed)


def _judge(table: Floats, values: Integers, train: Integers, test: Integers, seed: int) -> _Judged:
    """Promise from out-of-fold answers of the training cases, kept or not on the others."""
    places = _quick.reduced(table, train, seed)
    truth, whose = values[train], np.arange(len(train))
    fold = folds(_TARGET, truth, whose, seed)
    raw = np.empty((len(train), 1))
    for number in range(int(fold.max()) + 1):
        seen, held = train[fold != number], train[fold == number]
        raw[fold == number] = _quick.learn(places[seen], values[seen], _TARGET, seed).raw(places[held])
    calibrator = calibration.fit(_TARGET, raw, truth, whose, seed)
    chances = calibration.apply(calibrator, raw)
    decision = decisions.choose(_TARGET, chances, truth, whose, seed)
    inner = decisions.decide(_TARGET, chances, decision)
    promise = selective.promised(inner.confidence, ~decisions.wrong(truth, inner), _RATE)
    found = _quick.learn(places[train], truth, _TARGET, seed).raw(places[test])
    decided: Decided = decisions.decide(_TARGET, calibration.apply(calibrator, found), decision)
    accepted = promise.accepts(decided.confidence)
    return _Judged(promise, len(test), int(accepted.sum()), int(decisions.wrong(values[test], decided)[accepted].sum()))


def _pooled(judged: list[_Judged]) -> Iterator[Row]:
    accepted, mistakes, cases = (sum(getattr(each, name) for each in judged) for name in ("accepted", "mistakes", "cases"))
    low, high = _interval(mistakes, accepted)
    above = sum(_interval(each.mistakes, each.accepted)[0] > _RATE for each in judged)
    what = f"auto-accepted at a promised error of {100 * _RATE:g} %, pneumoniamnist pooled and split again {_SPLITS} times"
    seeds = list(range(_SPLITS))
    told = ", ".join(f"{100 * each.mistakes / max(1, each.accepted):.1f}" for each in judged)
    yield Row(
        what=f"{what}: pooled error",
        figure=100 * mistakes / max(1, accepted),
        unit="% of those accepted",
        baseline="promised",
        baseline_figure=100 * _RATE,
        seeds=seeds,
        notes=f"95 % interval {100 * low:.2f} to {100 * high:.2f}; {mistakes} of {accepted} wrong; each split {told}",
    )
    yield Row(what=f"{what}: splits whose own interval lies above the promise", figure=above, unit="splits", seeds=seeds)
    yield Row(
        what=f"{what}: share accepted",
        figure=100 * accepted / cases,
        unit="% of the cases",
        seeds=seeds,
        notes="each split " + ", ".join(f"{100 * each.accepted / each.cases:.0f}" for each in judged),
    )


def _official(seen: Seen, table: Floats, values: Integers, parts: Array) -> Iterator[Row]:
    """The shift must be found before anything is promised; what would have come of a promise is stated."""
    learnt, test = np.flatnonzero(parts != "test"), np.flatnonzero(parts == "test")
    pictures = seen.survey.pictures
    shift = between(looks_of(pictures, learnt, np.arange(len(learnt))), looks_of(pictures, test, np.arange(len(test))))
    judged = _judge(table, values, learnt, test, 0)
    error = judged.mistakes / max(1, judged.accepted)
    low, high = _interval(judged.mistakes, judged.accepted)
    says = "not compared" if shift is None else shift.says("test")
    promise = "none is given" if shift is not None and shift.alarm else "given: the shift was missed"
    yield Row(
        what="auto-accepted at a promised error of 2 %, pneumoniamnist official test split: shift found before a promise (1: yes)",
        figure=float(shift is not None and shift.alarm),
        unit="yes or no",
        seeds=[0],
        notes=says,
    )
    yield Row(
        what="the same: error among those that would have been accepted had a promise been given",
        figure=100 * error,
        unit="% of those accepted",
        baseline="promised",
        baseline_figure=100 * _RATE,
        seeds=[0],
        notes=f"promise: {promise}; 95 % interval {100 * low:.1f} to {100 * high:.1f}; {judged.accepted} of {judged.cases}",
    )


def _interval(mistakes: int, accepted: int) -> tuple[float, float]:
    """Clopper and Pearson's interval of 95 %."""
    if not accepted:
        return 0.0, 1.0
    share = mistakes / accepted
    return intervals.lower_bound(share, accepted, 0.025), intervals.upper_bound(share, accepted, 0.025)
