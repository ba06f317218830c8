"""Calibrated answers of a saved model for new images, one row a case."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import cast

from medloop import families
from medloop.compute import Compute
from medloop.errors import InputError
from medloop.families import Finder, Model
from medloop.loop._clock import Clock
from medloop.loop._explained import sheet_beside, write_sheet
from medloop.loop._found import Written, ready_beside, write_found
from medloop.loop._intake import Means, Seen, collect, look
from medloop.loop._learnt import read_learnt
from medloop.loop._protocols import unsaid
from medloop.loop._runs import find_model, table
from medloop.loop._shift import can_tell, of_new
from medloop.progress import QUIET, Progress
from medloop.requests import PredictRequest, PredictResult
from medloop.types import Prediction, Target
from medloop.wire import to_json
from medloop.workspace import Workspace, ready_for, write_text


def predict(workspace: Workspace, request: PredictRequest, tell: Progress = QUIET) -> PredictResult:
    """Write ``case, label, confidence, abstain, p_<class> …`` for every image; beside, what else is found. Raises `InputError`."""
    clock = Clock()
    place = find_model(workspace, request.model)
    model, learnt = families.load(place), read_learnt(place)
    out = Path(request.out or "predictions.csv").absolute()
    workspace.ready()
    ready_for(out)
    further = further_of(model)
    ready_beside(out, further)
    if request.explain and model.target.kind.structured:
        raise _nothing_to_explain(model.target)
    sheet = sheet_beside(out) if request.explain else None
    if sheet is not None:
        ready_for(sheet)
    with Compute(request.workers) as compute:
        means = Means(workspace=workspace, compute=compute, clock=clock, tell=tell)
        collection = collect(request, means, channels=learnt.joining(request.channels, request.case_by))
        known = can_tell(learnt.looks, collection.refs)
        seen = look(collection.refs, lambda _: model.preparation, means, kind=learnt.kind, copies=False, pictures=known)
        found = write_found(cast(Finder, model), seen, out, learnt.values, means) if further else Written()
        if found.raw is None:
            prediction = answers(model, seen, means)
        else:  # a second look would cost as much
            prediction = cast(Finder, model).answered(found.raw, [ref.name for ref in seen.survey.refs])
        write_text(out, _csv(model.target, prediction))
        if sheet is not None:
            write_sheet(sheet, model, place.parent.name if place.name == "model" else place.name, seen, prediction, means)
    rejected = (*collection.rejected, *seen.rejected)
    shift = of_new(learnt.looks, seen.survey) if known else None
    strange = [shift.says("new")] if shift is not None and shift.alarm else []
    return PredictResult(
        out=str(out),
        cases=len(prediction.cases),
        abstained=int(prediction.abstain.sum()),
        labels=dict(Counter(prediction.labels).most_common()) if _classes(model.target) else {},
        rejected=[to_json(each) for each in rejected],
        warnings=[*collection.warnings, *collection.notes, *learnt.doubts(seen.survey.refs), *strange],
        seconds=round(clock.seconds, 2),
        explained=None if sheet is None else str(sheet),
        masks=None if found.masks is None else str(found.masks),
        mask_values=dict(found.values),
        anomaly=None if found.anomaly is None else str(found.anomaly),
        boxes=None if found.boxes is None else str(found.boxes),
        measures=None if found.measures is None else str(found.measures),
        parts=None if found.parts is None else str(found.parts),
        violations=found.violations,
    )


def further_of(model: Model) -> tuple[Target, ...]:
    """The masks, boxes and measures that a model answers, and the reconstruction."""
    return tuple(getattr(model, "further", ()))


def answers(model: Model, seen: Seen, means: Means) -> Prediction:
    """The model's answers for images prepared by its own steps, in the order of the survey. Raises `InputError`."""
    arrays = seen.survey.arrays
    if arrays is None:
        raise ValueError("nothing was prepared")
    names = [ref.name for ref in seen.survey.refs]
    if model.target.kind.structured:
        return unsaid(names)
    return model.predict(arrays, cases=names, compute=means.compute, cache=means.workspace.cache, tell=means.tell)


def _csv(target: Target, prediction: Prediction) -> str:
    head = ["case", "label", "confidence", "abstain", *(f"p_{name}" for name in _classes(target))]
    numbers = prediction.probabilities if _classes(target) else prediction.probabilities[:, :0]
    rows = zip(prediction.cases, prediction.labels, prediction.confidence, prediction.abstain, numbers, strict=True)
    return table(
        head,
        (
            [case, label, "" if sure != sure else f"{sure:.6g}", str(int(quiet)), *(f"{value:.6g}" for value in row)]
            for case, label, sure, quiet, row in rows
        ),
    )


def _classes(target: Target) -> tuple[str, ...]:
    """The classes that a case can be of."""
    return () if target.kind.structured else target.classes


def _nothing_to_explain(target: Target) -> InputError:
    return InputError(
        "nothing-to-explain",
        got=f"--explain, and the model answers {target.name} only: they show where they are themselves.",
        allowed="--explain with a model of classes or numbers.",
        fix="Leave out --explain.",
    )
