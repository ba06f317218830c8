"""Jobs: heavy work that a worker does while people go on. Each is a row in the store; the queue only says that it is there.

A job is a verb with its request. One that its worker died in is taken again, and goes on from what the verb keeps (prepared images,
checkpoints of a training). What ends well may ask for more: a retraining for a judgement, a promotion for new proposals.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from medloop import registry
from medloop.errors import InputError, unknown_name
from medloop.loop._messages import Messages
from medloop.loop._pulse import SILENT_S, gone
from medloop.progress import Progress
from medloop.requests import VERBS
from medloop.store import Store, arrivals, jobs, labels, models, settings, studies
from medloop.store.records import JobRow
from medloop.store.studies import Filter
from medloop.types import Json
from medloop.wire import from_json, to_json
from medloop.workspace import Workspace

KINDS: Mapping[str, str] = {
    "ingest": "ingest",
    "propose": "propose",
    "arrange": "queue",
    "retrain": "retrain",
    "judge": "promote",
    "label-audit": "recheck",
}
"""What a worker does, and the verb that does it."""
ACTOR = "worker"
MOST_TRIES = 3
"""A job that so many workers died in is given up."""
_WHERE = ("database", "blobs", "queue", "out", "watch")
"""What a job may not say: its worker knows where the records are, and does not wait."""


def submit(opened: Store, queue: Messages, kind: str, request: Mapping[str, Json], actor: str) -> JobRow:
    """Queue a job; one of the same kind and request that waits already is given back instead. Raises `InputError`."""
    row = jobs.add(opened, kind, dict(checked(kind, request)), actor, once=True)
    queue.tell(row.id)
    return row


def checked(kind: str, request: Mapping[str, Json]) -> Mapping[str, Json]:
    """The request if the verb can take it. Raises `InputError` for an unknown kind or key."""
    if kind not in KINDS:
        raise unknown_name("kind of job", kind, KINDS)
    asked = VERBS[KINDS[kind]][1]
    said = next((key for key in request if key in _WHERE), None)
    if said is not None:
        allowed = [item.name.rstrip("_") for item in dataclasses.fields(asked) if item.name not in _WHERE]
        raise InputError(
            "bad-request",
            got=f"A job that says its own {said}.",
            allowed=f"The keys {', '.join(allowed)}.",
            fix=f"Leave out {said}: jobs are done where the worker's records are.",
        )
    from_json(asked, dict(request))
    return request


def perform(workspace: Workspace, row: JobRow, tell: Progress) -> Json:
    """Do a job; the result as JSON. Raises what its verb raises."""
    verb = KINDS[row.kind]
    return to_json(registry.verb(verb)(workspace, from_json(VERBS[verb][1], row.request), tell))


def follow(opened: Store, queue: Messages, row: JobRow, result: Json) -> None:
    """Queue what a job that ended well asks for."""
    said: Mapping[str, Any] = result if isinstance(result, dict) else {}
    if row.kind == "retrain":
        submit(opened, queue, "judge", {"challenger": str(said["challenger"]), "auto": True}, ACTOR)
    if row.kind == "judge" and said.get("decision") in ("promoted", "first"):
        submit(opened, queue, "propose", {}, ACTOR)
    if row.kind == "propose" and said.get("cases"):
        submit(opened, queue, "arrange", {}, ACTOR)


def fall_due(opened: Store, queue: Messages) -> None:
    """What nobody need ask for: jobs of dead workers again, a retraining after enough labels, proposals for what has come."""
    revive(opened, queue)
    if not queue.waiting():
        for row in reversed(jobs.every(opened, ("queued",))):
            queue.tell(row.id)
    busy = {row.kind for row in jobs.every(opened, ("queued", "running"))}
    if "retrain" not in busy and "judge" not in busy and retraining_due(opened):
        submit(opened, queue, "retrain", retraining(opened), ACTOR)
    settled = arrivals.settle(opened, float(settings.get(opened, "quiet_s")), ACTOR)
    if not busy & {"propose", "judge"} and models.champion(opened) is not None and (settled or proposals_due(opened)):
        submit(opened, queue, "propose", {}, ACTOR)


def revive(opened: Store, queue: Messages) -> None:
    """Queue jobs whose worker has died; those that killed too many workers fail."""
    limit = datetime.now(UTC) - timedelta(seconds=SILENT_S)
    for row in jobs.every(opened, ("running",)):
        if not gone(str(row.progress.get("worker", ""))) and (row.heartbeat or row.created) > limit:
            continue
        if row.tries >= MOST_TRIES:
            told = InputError(
                "worker-died",
                got=f"The worker died {row.tries} times at this job.",
                allowed="A job that the machine has memory for.",
                fix="Look into the server's log, then ask for the job again.",
            )
            jobs.end(opened, row.id, "failed", error=told.to_json()["error"])
        elif jobs.again(opened, row.id, row.heartbeat):
            queue.tell(row.id)


def retraining_due(opened: Store) -> bool:
    """Whether enough labels have come since a model last learnt from them."""
    wanted = int(settings.get(opened, "retrain_after"))
    upto = max((row.labels_upto for row in models.every(opened)), default=0)
    for last in jobs.every(opened, ("failed", "stopped"), "retrain", limit=1):
        upto = max(upto, int(last.request.get("upto") or 0))  # what failed with these labels fails with them again
    if wanted <= 0 or labels.last_id(opened) - upto < wanted:
        return False
    return sum(label.id > upto for label in labels.current(opened, truth=True).values()) >= wanted


def retraining(opened: Store) -> dict[str, Json]:
    """The request of a retraining that learns from all labels there are now, however often it is begun."""
    recipe = settings.get(opened, "recipe")
    return {"upto": labels.last_id(opened)} | ({"recipe": recipe} if recipe else {})


def proposals_due(opened: Store) -> bool:
    """Whether cases have come since proposals were last asked for, and nothing is proposed for them."""
    last = jobs.every(opened, kind="propose", limit=1)
    newest = studies.page(opened, "newest", Filter(states=("ready",), frozen=False), 1).rows
    return bool(newest) and (not last or (newest[0].ready or newest[0].arrived) > last[0].created)
