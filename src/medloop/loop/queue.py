"""The worklist: which study is read next.

``useful``: what the model would learn most from comes first, unsure and different from each other, a batch as large as the next
retraining waits for. Cases of the frozen test set and those read blind come between them in the order in which they arrived, as
often as they wait: chosen by the model they would measure only what the model finds hard. Second looks come first. ``urgency`` and
``arrival`` are as the store keeps them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import threadpoolctl

from medloop import prep
from medloop.compute import Compute
from medloop.errors import InputError
from medloop.evaluation import asking
from medloop.families import _quick
from medloop.loop import findings
from medloop.loop._clock import Clock
from medloop.loop._intake import Means, look
from medloop.loop._records import opened
from medloop.progress import QUIET, Progress
from medloop.requests import QueueRequest, QueueResult
from medloop.store import Store, proposals, settings, studies
from medloop.store.records import OPEN_STATES, ProposalRow, StudyRow
from medloop.store.studies import Filter
from medloop.types import Floats, Integers, Json
from medloop.workspace import Workspace

_MOST, _BATCHES, _PAGE = 1000, 4, 1000
_UNSAID = 0.5
_SUM = 0.01


def queue(workspace: Workspace, request: QueueRequest, tell: Progress = QUIET) -> QueueResult:
    """Arrange the list by what would be learnt, and show its beginning. Raises `InputError`."""
    with opened(workspace, request.database, request.blobs) as records:
        order = request.order or str(settings.get(records, "order"))
        arranged = 0
        if order == "useful" and not request.only_list:
            with Compute(request.workers) as compute:
                means = Means(workspace=Workspace(records.root).ready(), compute=compute, clock=Clock(), tell=tell)
                arranged = arrange(records, means, request.seed)
        states = ("adjudication",) if request.adjudicate else OPEN_STATES
        page = studies.page(records, order, Filter(states=states, unread_by=request.reader), request.limit, request.after)
        said = proposals.latest(records, [row.id for row in page.rows])
        waiting = studies.counts(records)
    return QueueResult(
        order=order,
        arranged=arranged,
        cases=[_told(row, said.get(row.id)) for row in page.rows],
        after=page.after,
        waiting={state: waiting[state] for state in (*OPEN_STATES, "adjudication")},
    )


def arrange(records: Store, means: Means, seed: int = 0) -> int:
    """Order what waits by what the model would learn from it; returns how many studies have a place now.

    Every study that has one gets a priority above 1, the others what their proposal says (at most 1), so that what comes later and
    has not been arranged follows.
    """
    rows = list(_waiting(records))
    said = proposals.latest(records, [row.id for row in rows])
    second = [row.id for row in rows if row.state == "second-look"]
    apart = [row.id for row in rows if row.state != "second-look" and (row.frozen or row.blind)]
    others = [row for row in rows if row.state != "second-look" and not (row.frozen or row.blind)]
    batch = max(1, int(settings.get(records, "retrain_after")) or 1)
    with threadpoolctl.threadpool_limits(1):
        asked = _asked(records, others, said, means, batch, seed)
    share = max(float(settings.get(records, "blind_share")), len(apart) / max(1, len(apart) + len(others)))
    placed = [*second, *merged(asked, apart, share if asked else 1.0)]
    priorities = {number: 2 - place / (len(placed) + 1) for place, number in enumerate(placed)}
    for row in rows:
        if row.id not in priorities and row.priority > 1:
            priorities[row.id] = said[row.id].priority if row.id in said else _UNSAID
    studies.set_priorities(records, priorities)
    return len(placed)


def merged(asked: Sequence[int], apart: Sequence[int], share: float) -> list[int]:
    """Both lists in their orders, so that of every beginning about ``share`` are from ``apart``; it ends where ``asked`` does."""
    found: list[int] = []
    taken = 0
    left = list(asked) if asked else []
    if not left:
        return list(apart)
    for number in left:
        found.append(number)
        while taken < len(apart) and taken + 1 <= share * (len(found) + 1):
            found.append(apart[taken])
            taken += 1
    return found


def _asked(
    records: Store, rows: Sequence[StudyRow], said: dict[int, ProposalRow], means: Means, batch: int, seed: int
) -> list[int]:
    """The studies to ask about, in order: the next batches, some more by doubt alone."""
    doubts = np.array([_margin(said.get(row.id)) for row in rows])
    near = [rows[at] for at in np.argsort(doubts, kind="stable")[:_MOST]]
    if not near:
        return []
    whole = studies.many(records, [row.id for row in near])
    try:
        seen = look([findings.images_of(row, records) for row in whole], prep.plan, means, copies=False, pictures=False)
    except InputError:  # none of them can be looked at
        return [row.id for row in near]
    if seen.survey.arrays is None:
        raise ValueError("nothing was prepared")
    kept = {ref.name: at for at, ref in enumerate(seen.survey.refs)}
    usable = [row for row in whole if findings.images_of(row, records).name in kept]
    table = _quick.looked_at(seen.survey.arrays, means.compute, means.workspace.cache, means.tell)
    at = np.array([kept[findings.images_of(row, records).name] for row in usable], np.int64)
    margins = np.array([_margin(said.get(row.id)) for row in usable])
    order = _order(margins, np.asarray(table[at]), batch, seed, known=any(row.id in said for row in usable))
    return [usable[place].id for place in order.tolist()]


def _order(margins: Floats, table: Floats, batch: int, seed: int, *, known: bool) -> Integers:
    places = _quick.reduced(table, np.arange(len(table)), seed)
    if known:
        return asking.order(margins, places, batch, seed, _BATCHES * batch)
    first = asking.start(places, batch, seed)
    return np.concatenate([first, np.setdiff1d(np.arange(len(places)), first)])


def _margin(said: ProposalRow | None) -> float:
    """How sure the proposal is; of one that says no class half as sure as can be."""
    if said is None or len(said.probabilities) < 2:
        return _UNSAID
    chances = np.array([list(said.probabilities.values())])
    return float(asking.margin(chances, several=abs(chances.sum() - 1) > _SUM)[0])


def _waiting(records: Store) -> Iterator[StudyRow]:
    """Studies that nobody has read, and second looks, as they arrived."""
    after: str | None = None
    while True:
        page = studies.page(records, "arrival", Filter(states=("second-look", "proposed", "ready")), _PAGE, after)
        yield from page.rows
        after = page.after
        if after is None:
            return


def _told(row: StudyRow, said: ProposalRow | None) -> dict[str, Json]:
    """One line of the list; of a case read blind nothing that was proposed."""
    hidden = row.blind or row.frozen or said is None
    return {
        "case_id": row.id,
        "state": row.state,
        "urgency": row.urgency,
        "priority": round(row.priority, 4),
        "blind": row.blind or row.frozen,
        "arrived": row.arrived.isoformat(),
        "modality": row.modality,
        "site": row.site,
        "label": None if hidden or said is None else said.label,
        "confidence": None if hidden or said is None else said.confidence,
        "decision": None if hidden or said is None else said.decision,
        "why": row.why,
    }
