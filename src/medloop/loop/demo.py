"""The whole path on a sample collection: sample, inspect, learn, evaluate, predict."""

from __future__ import annotations

import shutil
from pathlib import Path

from medloop.loop._clock import Clock
from medloop.loop.evaluate import evaluate
from medloop.loop.inspect import inspect
from medloop.loop.learn import learn
from medloop.loop.predict import predict
from medloop.loop.sample import sample
from medloop.progress import QUIET, Progress
from medloop.requests import (
    DemoRequest,
    DemoResult,
    EvaluateRequest,
    InspectRequest,
    LearnRequest,
    LearnResult,
    PredictRequest,
    SampleRequest,
    SampleResult,
)
from medloop.workspace import Workspace

_SEED, _OTHER_SEED = 0, 1
_LEARN_FROM, _OTHERS = None, 24
_QUICK_LEARN_FROM, _QUICK_OTHERS = 24, 10
_BUDGET, _QUICK_BUDGET = "75s", "25s"


def demo(workspace: Workspace, request: DemoRequest, tell: Progress = QUIET) -> DemoResult:
    """Run every verb on abdominal CT phantoms: some to learn from, and others of a second seed to judge by and to predict."""
    clock = Clock()
    workspace.ready()
    folder = workspace.root / "demo"
    shutil.rmtree(folder, ignore_errors=True)
    patients, others = (_QUICK_LEARN_FROM, _QUICK_OTHERS) if request.quick else (_LEARN_FROM, _OTHERS)
    tell.say("1 of 5: writing a sample collection of abdominal CT phantoms")
    written = _sample(workspace, folder / "phantom-ct", _SEED, patients, tell)
    more = _sample(workspace, folder / "new-patients", _OTHER_SEED, others, tell)
    tell.say("2 of 5: inspecting it")
    seen = inspect(workspace, InspectRequest(src=written.images, labels=written.labels), tell)
    tell.say("3 of 5: learning from it")
    budget = _QUICK_BUDGET if request.quick else _BUDGET
    learnt = learn(workspace, LearnRequest(src=written.images, labels=written.labels, budget=budget), tell)
    assert isinstance(learnt, LearnResult)
    tell.say("4 of 5: judging the model on patients of another collection")
    judged = evaluate(workspace, EvaluateRequest(model=learnt.model, src=more.images, labels=more.labels), tell)
    tell.say("5 of 5: proposing labels for them")
    out = str(folder / "predictions.csv")
    predicted = predict(workspace, PredictRequest(model=learnt.model, src=more.images, out=out), tell)
    return DemoResult(
        sample=written,
        inspect=seen,
        learn=learnt,
        evaluate=judged,
        predict=predicted,
        seconds=round(clock.seconds, 1),
        report=learnt.report,
    )


def _sample(workspace: Workspace, folder: Path, seed: int, patients: int | None, tell: Progress) -> SampleResult:
    return sample(workspace, SampleRequest(name="phantom-ct", out=str(folder), seed=seed, patients=patients), tell)
