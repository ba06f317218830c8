"""The report of a learnt model."""

from __future__ import annotations

from pathlib import Path

from medloop.evaluation.evidence import Evidence
from medloop.reporting import render
from medloop.reporting.figures_page import Told, context
from medloop.requests import LearnResult


def learn_page(result: LearnResult, evidence: Evidence) -> str:
    """One self-contained HTML page: what was learnt, on whom, how well, what to beware of; then everything behind it."""
    told = Told(
        evidence=evidence,
        figures=result.test,
        dataset=result.dataset,
        family=result.family,
        recipe=result.recipe,
        looks=result.looks,
        warnings=result.warnings,
        subgroups=result.subgroups,
        accepted_leaks=result.accepted_leaks,
        ladder=result.ladder,
    )
    kicker = f"What medloop learnt · run {Path(result.run).name}"
    return render.page("figures.html.j2", context(told, kicker=kicker, learnt=True))
