"""Rules of growth: what is found in a study is held against the study of the same patient before it, where there is one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from medloop import readers
from medloop.targets import rules
from medloop.targets.rules import Rules
from medloop.types import Findings, ImageRef, Violation

Row = tuple[str, Mapping[str, float], tuple[Violation, ...]]
"""A case, its measures, the rules that it breaks."""


def grown(asked: Rules | None, refs: Sequence[ImageRef], rows: Sequence[Row], priors: Mapping[str, str] | None = None) -> list[Row]:
    """The rows, with the rules of growth that each breaks against the last time among them.

    ``refs``: of the rows. ``priors``: by case the case of its last time, as far as it is said; else the dates of studies say it.
    """
    growth = tuple(rule for rule in asked.rules if rule.kind == "growth") if asked is not None else ()
    if asked is None or not growth:
        return list(rows)
    own, before = replace(asked, rules=growth), _before(refs) | _named(rows, priors or {})
    found = []
    for at, (case, measured, broken) in enumerate(rows):
        prior = Findings(rows[before[at]][0], measures=rows[before[at]][1]) if at in before else None
        told = rules.check(own, Findings(case, measures=measured), refs[at].spacing_mm, prior)
        found.append((case, measured, (*broken, *told)))
    return found


def _named(rows: Sequence[Row], priors: Mapping[str, str]) -> dict[int, int]:
    """As `_before`, of the cases whose last time is said."""
    places = {case: at for at, (case, _, _) in enumerate(rows)}
    return {places[case]: places[prior] for case, prior in priors.items() if case in places and prior in places}


def _before(refs: Sequence[ImageRef]) -> dict[int, int]:
    """By position the one of the same patient's study before it; of none where it is not known when they were taken."""
    patients: dict[str, list[tuple[str, int]]] = {}
    for at, ref in enumerate(refs):
        if ref.patient is not None and (when := readers.taken(ref)):
            patients.setdefault(ref.patient, []).append((when, at))
    found = {}
    for studies in patients.values():
        for when, at in studies:
            earlier = [each for each in studies if each[0] < when]
            if earlier:
                found[at] = max(earlier)[1]
    return found
