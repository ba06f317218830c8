"""Has anything drifted since a while: how images look, what is proposed, whether readers agree; by site and scanner."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import numpy as np

from medloop.compute import Compute
from medloop.dataset import appearance
from medloop.evaluation import drift
from medloop.evaluation.drift import Check
from medloop.loop import _records
from medloop.loop._clock import Clock
from medloop.loop._course import Came, Sides, by_week, course, sides
from medloop.loop._intake import Means, look
from medloop.loop._stored import case_of
from medloop.progress import QUIET, Progress
from medloop.reporting.monitor_part import page
from medloop.requests import MonitorRequest, MonitorResult
from medloop.store import Store, models, studies
from medloop.store.records import now
from medloop.types import Floats, Json
from medloop.wire import to_json
from medloop.workspace import Workspace, asked_for, write_text

_MOST = 500
"""Of each side and place at most the last so many patients are compared."""
_PAST = timedelta(days=365)
"""The time before reaches back so far."""


def monitor(workspace: Workspace, request: MonitorRequest, tell: Progress = QUIET) -> MonitorResult:
    """Compare the last days with the time before, everywhere and at each site and scanner.

    Whatever the number of checks, a run in which nothing has changed raises an alarm in at most one of twenty.
    """
    out = asked_for(request.out)
    workspace.ready()
    with _records.opened(workspace, request.database, request.blobs) as opened:
        since = now() - timedelta(days=request.days)
        cases = course(opened, models.champion(opened), since - _PAST)
        came = sides(cases, since, lambda case: case.arrived, drift.FEWEST, _MOST)
        read = sides([each for each in cases if each.agreed is not None], since, lambda case: case.read, drift.FEWEST, _MOST)
        checks = [check for each in came for check in _of_proposals(each)]
        checks += [check for each in read if (check := _of_agreement(each)) is not None]
        with Compute(request.workers) as compute:
            means = Means(workspace=workspace, compute=compute, clock=Clock(), tell=tell)
            checks += _of_images(opened, came, len(checks) + len(came), means)
    settled = drift.settle(checks)
    told = [to_json(each) | {"says": _sentence(each, request.days)} for each in settled]
    alarms = [each for each in told if each["alarm"]]
    result = MonitorResult(
        alarms=alarms,
        checks=told,
        series=by_week(cases),
        days=request.days,
        page=None if out is None else str(out),
        says=_says(alarms, settled, request.days),
    )
    if out is not None:
        write_text(out, page(to_json(result)))
    return result


def _of_proposals(each: Sides) -> list[Check]:
    """What is proposed, how surely, and for how many cases nothing can be said."""
    one, two = ([case for case in side if case.label is not None] for side in (each.before, each.here))
    sure = [np.array([case.confidence for case in side if case.confidence is not None]) for side in (one, two)]
    unlike = [np.array([bool(case.unlike) for case in side], dtype=bool) for side in (one, two)]
    found = [
        drift.of_labels(each.where, [str(case.label) for case in one], [str(case.label) for case in two]),
        drift.of_confidence(each.where, sure[0], sure[1]),
        drift.of_shares("unlike", each.where, unlike[0], unlike[1], "cases unlike what the model learnt from are"),
    ]
    return [check for check in found if check is not None]


def _of_agreement(each: Sides) -> Check | None:
    one, two = (np.array([bool(case.agreed) for case in side], dtype=bool) for side in (each.before, each.here))
    return drift.of_shares("agreement", each.where, one, two, "readers agree with the proposal in")


def _of_images(opened: Store, places: Sequence[Sides], count: int, means: Means) -> list[Check]:
    """How the first image of each case looks."""
    numbers = sorted({case.id for each in places for side in (each.before, each.here) for case in side})
    if not numbers:
        return []
    refs = [case_of(studies.local(opened, row)).images[0] for row in studies.many(opened, numbers) if row.refs]
    survey = look(refs, None, means, copies=False).survey
    values = appearance.appearance(survey.pictures, np.arange(len(survey.refs))).values
    row = {int(ref.name.removeprefix("case-")): at for at, ref in enumerate(survey.refs)}
    checks = []
    for each in places:
        one, two = (_looks(values, row, side) for side in (each.before, each.here))
        check = drift.of_images(each.where, one, two, appearance.NAMES, count)
        if check is not None:
            checks.append(check)
    return checks


def _looks(values: Floats, row: dict[int, int], side: Sequence[Came]) -> Floats:
    return values[[row[case.id] for case in side if case.id in row]]


def _sentence(check: Check, days: int) -> str:
    return f"{check.where[:1].upper()}{check.where[1:]}, in the last {days} days: {check.says}."


def _says(alarms: Sequence[dict[str, Json]], checks: Sequence[Check], days: int) -> str:
    if not checks:
        return f"Too little came in the last {days} days, or before, to tell: at least {drift.FEWEST} patients on each side."
    if not alarms:
        return f"Nothing has drifted in the last {days} days ({len(checks)} checks)."
    return f"{len(alarms)} of {len(checks)} checks found a change. " + " ".join(each["says"] for each in alarms[:3])
