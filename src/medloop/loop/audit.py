"""Say whether the audit trail is whole: nothing changed, taken out, put elsewhere or cut off."""

from __future__ import annotations

import re

from medloop import store
from medloop.errors import InputError, Refused, unknown_name
from medloop.progress import QUIET, Progress
from medloop.requests import AuditRequest, AuditResult
from medloop.store import audit as trail
from medloop.workspace import Workspace

_SHOWN = 20
_HEAD = re.compile(r"(\d{1,9}):([0-9a-f]{64})")


def audit(workspace: Workspace, request: AuditRequest, tell: Progress = QUIET) -> AuditResult:
    """Verify the trail of the workspace's store. Raises `Refused` with what is wrong where it is broken, `InputError` otherwise."""
    if request.do != "verify":
        raise unknown_name("audit command", request.do, ["verify"])
    kept = _kept(request.head)
    opened = store.open(workspace.root, request.database, request.blobs, make=False)
    try:
        tell.say("Following the trail from its first entry.")
        problems = trail.verify(opened, kept)
        number, digest = trail.last(opened)
    finally:
        opened.close()
    if problems:
        more = f" And {len(problems) - _SHOWN} more." if len(problems) > _SHOWN else ""
        raise Refused(
            "broken-trail",
            got=f"The audit trail is broken ({len(problems)} problems). " + " ".join(problems[:_SHOWN]) + more,
            allowed="A trail in which every entry follows the one before.",
            fix="Keep the files as they are, see who could write them, and compare with a backup (docs/how-to/backup.md).",
        )
    return AuditResult(entries=number, head=f"{number}:{digest}")


def _kept(head: str | None) -> tuple[int, str] | None:
    if head is None:
        return None
    found = _HEAD.fullmatch(head.strip())
    if found is None:
        raise InputError(
            "bad-head", got="--head is no head of a trail.", allowed="NUMBER:HASH as audit verify prints it.", fix="Copy it whole."
        )
    return int(found[1]), found[2]
