"""The whole path on a sample collection: sample, inspect, learn, evaluate, predict; then outlines, diameters and a rule."""

from __future__ import annotations

import shutil
from pathlib import Path

from medloop.loop import _shown
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
    OutlinesResult,
    PredictRequest,
    SampleRequest,
    SampleResult,
)
from medloop.workspace import Workspace

_SEED, _OTHER_SEED = 0, 1
_LEARN_FROM, _OTHERS = 64, 20
_QUICK_LEARN_FROM, _QUICK_OTHERS = 24, 10
_BUDGET, _QUICK_BUDGET = "40s", "25s"
_OUTLINES, _ENOUGH = "slabs-quick", "60m"
"""A recipe whose epochs are fixed: it takes the time that it takes, everywhere with the same result."""


def demo(workspace: Workspace, request: DemoRequest, tell: Progress = QUIET) -> DemoResult:
    """Run every verb on abdominal CT phantoms: some to learn from, and others of a second seed to judge by and to predict.

    Unless it is to be quick, tumours are also outlined and measured, beside their true diameters.
    """
    clock, steps = Clock(), 5 if request.quick else 6
    workspace.ready()
    folder = workspace.root / "demo"
    shutil.rmtree(folder, ignore_errors=True)
    patients, others = (_QUICK_LEARN_FROM, _QUICK_OTHERS) if request.quick else (_LEARN_FROM, _OTHERS)
    tell.say(f"1 of {steps}: writing a sample collection of abdominal CT phantoms")
    written = _sample(workspace, folder / "phantom-ct", _SEED, patients, tell)
    more = _sample(workspace, folder / "new-patients", _OTHER_SEED, others, tell)
    tell.say(f"2 of {steps}: inspecting it")
    seen = inspect(workspace, InspectRequest(src=written.images, labels=written.labels), tell)
    tell.say(f"3 of {steps}: learning from it")
    budget = _QUICK_BUDGET if request.quick else _BUDGET
    learnt = learn(workspace, LearnRequest(src=written.images, labels=written.labels, budget=budget), tell)
    assert isinstance(learnt, LearnResult)
    tell.say(f"4 of {steps}: judging the model on patients of another collection")
    judged = evaluate(workspace, EvaluateRequest(model=learnt.model, src=more.images, labels=more.labels), tell)
    tell.say(f"5 of {steps}: proposing labels for them")
    out = str(folder / "predictions.csv")
    predicted = predict(workspace, PredictRequest(model=learnt.model, src=more.images, out=out), tell)
    outlines = None
    if not request.quick:
        tell.say(f"6 of {steps}: learning to outline tumours, and measuring those of the other patients")
        outlines = _outlines(workspace, folder, (written, more), Path(out), tell)
    return DemoResult(
        sample=written,
        inspect=seen,
        learn=learnt,
        evaluate=judged,
        predict=predicted,
        outlines=outlines,
        seconds=round(clock.seconds, 1),
        report=learnt.report,
    )


def _outlines(
    workspace: Workspace, folder: Path, samples: tuple[SampleResult, SampleResult], predictions: Path, tell: Progress
) -> OutlinesResult:
    """Learn from the first sample, outline the second, measure and hold against the rule. ``predictions``: of the classes."""
    old, new = samples
    rules = folder / "rules.toml"
    rules.write_text(_shown.RULES, encoding="utf-8")
    request = LearnRequest(
        src=old.images,
        labels=old.labels,
        masks=str(Path(old.folder) / "masks"),
        mask_classes=_shown.MASK_CLASSES,
        targets="masks",
        rules=str(rules),
        recipe=_OUTLINES,
        budget=_ENOUGH,
    )
    learnt = learn(workspace, request, tell)
    assert isinstance(learnt, LearnResult)
    out = folder / "outlines" / "predictions.csv"
    found = predict(workspace, PredictRequest(model=learnt.model, src=new.images, out=str(out)), tell)
    assert found.measures is not None
    rows = _shown.shown(predictions, Path(found.measures), Path(new.folder) / "lesions.csv")
    return OutlinesResult(
        learn=learnt,
        predict=found,
        rows=rows,
        mean_error_mm=_shown.mean_error_mm(rows),
        mistaken=_shown.mistaken(rows),
    )


def _sample(workspace: Workspace, folder: Path, seed: int, patients: int | None, tell: Progress) -> SampleResult:
    return sample(workspace, SampleRequest(name="phantom-ct", out=str(folder), seed=seed, patients=patients), tell)
