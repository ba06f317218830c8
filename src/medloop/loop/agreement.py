"""How far readers agree: with each other, and with the model where its proposal was hidden and where it was shown.

Where readers agree with the model much more when they see its proposal, they may follow it instead of judging.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from medloop.evaluation import kappa
from medloop.loop._drawn_twice import drawn_twice
from medloop.loop._records import opened
from medloop.progress import QUIET, Progress
from medloop.requests import AgreementRequest, AgreementResult
from medloop.store import Store, proposals, reviews, studies
from medloop.store.records import ProposalRow, ReviewRow
from medloop.types import Integers, Json, Metric
from medloop.workspace import Workspace

_ECHO = 0.1


def agreement(workspace: Workspace, request: AgreementRequest, tell: Progress = QUIET) -> AgreementResult:
    """Kappa of every two readers, of all, and of readers and model, blind and not; how far what two drew covers each other.

    Raises `InputError`.
    """
    del tell
    with opened(workspace, request.database, request.blobs) as records:
        return agreement_of(records)


def agreement_of(records: Store) -> AgreementResult:
    """As `agreement`, in a store that is open already: for the web page."""
    read = [each for each in reviews.standing(records) if each.action in ("accept", "correct")]
    given = [each for each in read if each.value is not None]
    said = _by_author(given)
    whose = _patients(records, {each.case_id for each in read})
    by_case: dict[int, list[str]] = {}
    for answers in said.values():
        for case, value in answers.items():
            by_case.setdefault(case, []).append(value)
    both = sorted(case for case, values in by_case.items() if len(values) > 1)
    shown, blind = (_with_model(records, [each for each in given if each.blind == hidden], whose) for hidden in (False, True))
    follows = _follows(shown, blind)
    return AgreementResult(
        readers=_pairs(said, whose),
        all=_row(kappa.fleiss([by_case[case] for case in both], _numbers(both, whose)), cases=len(both)),
        drawn=drawn_twice(records, read, whose),
        shown=shown,
        blind=blind,
        follows=follows,
        says=_says(shown, blind, follows),
    )


def _by_author(given: Sequence[ReviewRow]) -> dict[str, dict[int, str]]:
    """What each reader said last of each case."""
    said: dict[str, dict[int, str]] = {}
    for each in given:
        said.setdefault(each.author, {})[each.case_id] = _text(each.value)
    return said


def _pairs(said: Mapping[str, Mapping[int, str]], whose: Mapping[int, int]) -> list[dict[str, Json]]:
    found = []
    for one, two, shared in kappa.pairs(said):
        first, second = [said[one][case] for case in shared], [said[two][case] for case in shared]
        patients = _numbers(shared, whose)
        row = _row(kappa.cohen(first, second, patients), kappa.agreed(first, second, patients), len(shared))
        found.append({"a": one, "b": two} | row)
    return found


def _with_model(records: Store, given: Sequence[ReviewRow], whose: Mapping[int, int]) -> dict[str, Json]:
    """Readers' answers beside what was proposed for the same case, shown or hidden."""
    latest = proposals.latest(records, {each.case_id for each in given})
    kept = [(each, latest[each.case_id]) for each in given if each.case_id in latest]
    pairs = [(_text(each.value), _proposed(records, each, row), each.case_id) for each, row in kept]
    pairs = [pair for pair in pairs if pair[1]]
    first, second, cases = [pair[0] for pair in pairs], [pair[1] for pair in pairs], [pair[2] for pair in pairs]
    patients = _numbers(cases, whose)
    return _row(kappa.cohen(first, second, patients), kappa.agreed(first, second, patients), len(pairs))


def _proposed(records: Store, review: ReviewRow, latest: ProposalRow) -> str:
    """What was proposed when it was read, where the review says it, or else what is now."""
    known = review.proposal_id in (None, latest.id)
    return latest.label if known else proposals.get(records, review.proposal_id or 0).label


def _row(found: Metric, agreed: Metric | None = None, cases: int = 0) -> dict[str, Json]:
    row = {"cases": cases, "kappa": found.value, "low": found.low, "high": found.high, "reason": found.reason}
    return row | ({} if agreed is None else {"agreed": agreed.value, "agreed_low": agreed.low, "agreed_high": agreed.high})


def _follows(shown: Mapping[str, Json], blind: Mapping[str, Json]) -> bool | None:
    """Whether readers agree with the model clearly more where they see its proposal; None where too few cases tell."""
    if shown["kappa"] is None or blind["kappa"] is None or blind["low"] is None:
        return None
    surely = shown["low"] if shown["low"] is not None else shown["kappa"]
    return bool(shown["kappa"] - blind["kappa"] > _ECHO and blind["high"] < surely)


def _says(shown: Mapping[str, Json], blind: Mapping[str, Json], follows: bool | None) -> str:
    """In a sentence whether readers follow what they are shown."""
    if follows is None:
        return "Too few cases were read both blind and with the proposal shown to tell whether readers follow it."
    seen, hidden = f"{shown['kappa']:.2f}", f"{blind['kappa']:.2f}"
    told = f"Readers and model agree with kappa {seen} where the proposal is shown and {hidden} where it is hidden."
    if follows:
        return f"{told} The difference is larger than chance: readers may follow what they are shown."
    return f"{told} Nothing says that readers follow what they are shown."


def _text(value: Json) -> str:
    if isinstance(value, dict):
        return "|".join(sorted(name for name, on in value.items() if on == 1))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _patients(records: Store, cases: Iterable[int]) -> dict[int, int]:
    """A number for the patient of every case; a case without a patient is its own."""
    names = {row.id: row.patient or f"case {row.id}" for row in studies.many(records, cases)}
    order = {name: place for place, name in enumerate(sorted(set(names.values())))}
    return {case: order[name] for case, name in names.items()}


def _numbers(cases: Sequence[int], whose: Mapping[int, int]) -> Integers:
    return np.array([whose[case] for case in cases], np.int64)
