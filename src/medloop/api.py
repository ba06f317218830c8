"""medloop from Python: each verb as a function with the flags of the command line as keywords.

>>> import medloop
>>> result = medloop.learn("scans/", labels="labels.csv", budget="5m")  # doctest: +SKIP
>>> result.test["auc"].value, result.report  # doctest: +SKIP
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from medloop import registry
from medloop import requests as r
from medloop.errors import InputError
from medloop.progress import QUIET, Progress
from medloop.workspace import Workspace

StrPath = str | os.PathLike[str]
WORKSPACE = "medloop-workspace"


def _do(name: str, request: Any, workspace: StrPath, tell: Progress) -> Any:
    return registry.verb(name)(Workspace(Path(workspace).absolute()), request, tell)


def _request(kind: type[Any], options: dict[str, Any]) -> Any:
    paths = {key: os.fspath(value) if isinstance(value, os.PathLike) else value for key, value in options.items()}
    try:
        return kind(**paths)
    except TypeError as error:
        allowed = ", ".join(sorted(kind.__dataclass_fields__))
        raise InputError(
            "bad-request", got=f"{error}.".replace("__init__() ", ""), allowed=allowed + ".", fix="Mend the keyword named."
        ) from error


def inspect(src: StrPath, *, workspace: StrPath = WORKSPACE, tell: Progress = QUIET, **options: Any) -> r.InspectResult:
    """What is in this data, and what is wrong with it. Options: the fields of `InspectRequest`."""
    result: r.InspectResult = _do("inspect", _request(r.InspectRequest, {"src": src, **options}), workspace, tell)
    return result


def learn(src: StrPath, *, workspace: StrPath = WORKSPACE, tell: Progress = QUIET, **options: Any) -> r.LearnResult:
    """Learn a model and judge it honestly. Options: the fields of `LearnRequest` (a dry run answers with a `DryRunResult`)."""
    result: r.LearnResult = _do("learn", _request(r.LearnRequest, {"src": src, **options}), workspace, tell)
    return result


def evaluate(
    model: StrPath, src: StrPath, *, workspace: StrPath = WORKSPACE, tell: Progress = QUIET, **options: Any
) -> r.EvaluateResult:
    """Judge a saved model on other labelled data. Options: the fields of `EvaluateRequest`."""
    request = _request(r.EvaluateRequest, {"model": model, "src": src, **options})
    result: r.EvaluateResult = _do("evaluate", request, workspace, tell)
    return result


def predict(
    model: StrPath, src: StrPath, *, workspace: StrPath = WORKSPACE, tell: Progress = QUIET, **options: Any
) -> r.PredictResult:
    """Calibrated answers for new images. Options: the fields of `PredictRequest`."""
    request = _request(r.PredictRequest, {"model": model, "src": src, **options})
    result: r.PredictResult = _do("predict", request, workspace, tell)
    return result


def compare(a: StrPath, b: StrPath, *, workspace: StrPath = WORKSPACE, tell: Progress = QUIET) -> r.CompareResult:
    """Two runs side by side, paired by case."""
    result: r.CompareResult = _do("compare", _request(r.CompareRequest, {"a": a, "b": b}), workspace, tell)
    return result


def export(run: StrPath, *, workspace: StrPath = WORKSPACE, tell: Progress = QUIET, **options: Any) -> r.ExportResult:
    """A run's split and predictions as CSV. Options: the fields of `ExportRequest`."""
    result: r.ExportResult = _do("export", _request(r.ExportRequest, {"run": run, **options}), workspace, tell)
    return result


def ingest(src: StrPath, *, workspace: StrPath = WORKSPACE, tell: Progress = QUIET, **options: Any) -> r.IngestResult:
    """Take images and their labels into the store. Options: the fields of `IngestRequest`."""
    result: r.IngestResult = _do("ingest", _request(r.IngestRequest, {"src": src, **options}), workspace, tell)
    return result


def propose(*, workspace: StrPath = WORKSPACE, tell: Progress = QUIET, **options: Any) -> r.ProposeResult:
    """Propose a label for every study that waits. Options: the fields of `ProposeRequest`."""
    result: r.ProposeResult = _do("propose", _request(r.ProposeRequest, options), workspace, tell)
    return result


def sample(name: str, out: StrPath, *, workspace: StrPath = WORKSPACE, tell: Progress = QUIET, **options: Any) -> r.SampleResult:
    """Write a sample collection. Options: the fields of `SampleRequest`."""
    result: r.SampleResult = _do("sample", _request(r.SampleRequest, {"name": name, "out": out, **options}), workspace, tell)
    return result


def demo(*, workspace: StrPath = WORKSPACE, tell: Progress = QUIET, **options: Any) -> r.DemoResult:
    """The whole path on a sample collection. Options: the fields of `DemoRequest`."""
    result: r.DemoResult = _do("demo", _request(r.DemoRequest, options), workspace, tell)
    return result


def retrain(*, workspace: StrPath = WORKSPACE, tell: Progress = QUIET, **options: Any) -> r.RetrainResult:
    """Learn a challenger from the confirmed labels of the store. Options: the fields of `RetrainRequest`."""
    result: r.RetrainResult = _do("retrain", _request(r.RetrainRequest, options), workspace, tell)
    return result


def worker(*, workspace: StrPath = WORKSPACE, tell: Progress = QUIET, **options: Any) -> r.WorkerResult:
    """Do the jobs that wait. Options: the fields of `WorkerRequest`."""
    result: r.WorkerResult = _do("worker", _request(r.WorkerRequest, options), workspace, tell)
    return result


def serve(*, workspace: StrPath = WORKSPACE, tell: Progress = QUIET, **options: Any) -> r.ServeResult:
    """Serve the web pages, the API and the worker until stopped. Options: the fields of `ServeRequest`."""
    result: r.ServeResult = _do("serve", _request(r.ServeRequest, options), workspace, tell)
    return result


def review(case: int, *, workspace: StrPath = WORKSPACE, tell: Progress = QUIET, **options: Any) -> r.ReviewResult:
    """Say what a case shows, or see what was said. Options: the fields of `ReviewRequest`."""
    result: r.ReviewResult = _do("review", _request(r.ReviewRequest, {"case": case, **options}), workspace, tell)
    return result


def queue(*, workspace: StrPath = WORKSPACE, tell: Progress = QUIET, **options: Any) -> r.QueueResult:
    """What is read next. Options: the fields of `QueueRequest`."""
    result: r.QueueResult = _do("queue", _request(r.QueueRequest, options), workspace, tell)
    return result


def recheck(*, workspace: StrPath = WORKSPACE, tell: Progress = QUIET, **options: Any) -> r.RecheckResult:
    """Send labels that are probably wrong back for a second look. Options: the fields of `RecheckRequest`."""
    result: r.RecheckResult = _do("recheck", _request(r.RecheckRequest, options), workspace, tell)
    return result


def agreement(*, workspace: StrPath = WORKSPACE, tell: Progress = QUIET, **options: Any) -> r.AgreementResult:
    """How far readers agree. Options: the fields of `AgreementRequest`."""
    result: r.AgreementResult = _do("agreement", _request(r.AgreementRequest, options), workspace, tell)
    return result


def simulate(src: StrPath, *, workspace: StrPath = WORKSPACE, tell: Progress = QUIET, **options: Any) -> r.SimulateResult:
    """What asking for the right labels saves. Options: the fields of `SimulateRequest`."""
    result: r.SimulateResult = _do("simulate", _request(r.SimulateRequest, {"src": src, **options}), workspace, tell)
    return result


def audit(do: str = "verify", *, workspace: StrPath = WORKSPACE, tell: Progress = QUIET, **options: Any) -> r.AuditResult:
    """Whether the audit trail is whole. Options: the fields of `AuditRequest`. Raises `Refused` where it is not."""
    result: r.AuditResult = _do("audit", _request(r.AuditRequest, {"do": do, **options}), workspace, tell)
    return result


def backup(out: StrPath, *, workspace: StrPath = WORKSPACE, tell: Progress = QUIET, **options: Any) -> r.BackupResult:
    """Database, images and models into a new folder. Options: the fields of `BackupRequest`."""
    result: r.BackupResult = _do("backup", _request(r.BackupRequest, {"out": out, **options}), workspace, tell)
    return result


def restore(src: StrPath, *, workspace: StrPath = WORKSPACE, tell: Progress = QUIET, **options: Any) -> r.BackupResult:
    """A backup back into a workspace without records. Options: the fields of `RestoreRequest`."""
    result: r.BackupResult = _do("restore", _request(r.RestoreRequest, {"src": src, **options}), workspace, tell)
    return result


def forget(patient: str | None = None, *, workspace: StrPath = WORKSPACE, tell: Progress = QUIET, **options: Any) -> r.ForgetResult:
    """Delete one patient, or expired images. Options: the fields of `ForgetRequest`."""
    result: r.ForgetResult = _do("forget", _request(r.ForgetRequest, {"patient": patient, **options}), workspace, tell)
    return result


def promote(challenger: str = "", *, workspace: StrPath = WORKSPACE, tell: Progress = QUIET, **options: Any) -> r.PromoteResult:
    """Judge a challenger and promote it if it may be. Options: the fields of `PromoteRequest`. Raises `Refused` if it may not."""
    request = _request(r.PromoteRequest, {"challenger": challenger, **options})
    result: r.PromoteResult = _do("promote", request, workspace, tell)
    return result


def rollback(to: str = "", *, workspace: StrPath = WORKSPACE, tell: Progress = QUIET, **options: Any) -> r.RollbackResult:
    """Make the former champion champion again. Options: the fields of `RollbackRequest`."""
    result: r.RollbackResult = _do("rollback", _request(r.RollbackRequest, {"to": to, **options}), workspace, tell)
    return result


def models(*, workspace: StrPath = WORKSPACE, tell: Progress = QUIET, **options: Any) -> r.ModelsResult:
    """The model versions, and what more labels would bring. Options: the fields of `ModelsRequest`."""
    result: r.ModelsResult = _do("models", _request(r.ModelsRequest, options), workspace, tell)
    return result


def monitor(*, workspace: StrPath = WORKSPACE, tell: Progress = QUIET, **options: Any) -> r.MonitorResult:
    """What has drifted, and where. Options: the fields of `MonitorRequest`."""
    result: r.MonitorResult = _do("monitor", _request(r.MonitorRequest, options), workspace, tell)
    return result


def doctor(*, workspace: StrPath = WORKSPACE, tell: Progress = QUIET) -> r.DoctorResult:
    """What is installed, what works, what is wrong."""
    result: r.DoctorResult = _do("doctor", r.DoctorRequest(), workspace, tell)
    return result
