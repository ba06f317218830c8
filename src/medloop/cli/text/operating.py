"""What is said to who runs the server."""

from __future__ import annotations

from medloop import requests as r
from medloop.cli.text._words import as_text


@as_text.register
def _(result: r.WorkerResult) -> str:
    return f"{result.done} jobs done, {result.failed} failed, in {result.seconds:.0f} s."


@as_text.register
def _(result: r.ServeResult) -> str:
    return f"Served {result.url} for {result.seconds:.0f} s."


@as_text.register
def _(result: r.AuditResult) -> str:
    return f"The trail is whole: {result.entries} entries.\nIts head, worth noting elsewhere: {result.head}"


@as_text.register
def _(result: r.BackupResult) -> str:
    held = f"{result.studies} studies, {result.blobs} blobs, {result.models} models, {result.bytes / 1e6:.1f} MB"
    return f"{held}: {result.out}\nHead of the trail: {result.head}"


@as_text.register
def _(result: r.ForgetResult) -> str:
    lines = [f"Deleted {result.blobs} blobs of {result.studies} studies. The audit trail stays whole."]
    if result.models:
        lines.append(f"Models that may have learnt from them still exist: {', '.join(result.models)}.")
    return "\n".join([*lines, "Backups made before still hold them: delete those when their time is over."])


@as_text.register
def _(result: r.DoctorResult) -> str:
    lines = [f"{check['state']:8} {check['what']}: {check['says']}{_mend(check)}" for check in result.checks]
    return "\n".join([*lines, "All is well." if result.healthy else "Something is wrong; see above."])


def _mend(check: dict[str, str]) -> str:
    return f" To mend: {check['fix']}" if check.get("fix") else ""
