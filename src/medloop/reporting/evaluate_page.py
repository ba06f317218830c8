"""The report of a saved model on other data."""

from __future__ import annotations

from pathlib import Path

from medloop.evaluation.evidence import Evidence
from medloop.reporting import render
from medloop.reporting.figures_page import Told, context
from medloop.requests import EvaluateResult


def evaluate_page(result: EvaluateResult, evidence: Evidence, family: str = "a saved model") -> str:
    """One self-contained HTML page: the same as for learning, without the parts about learning."""
    told = Told(
        evidence=evidence,
        figures=result.test,
        dataset=result.dataset,
        family=family,
        recipe="",
        looks=result.looks,
        warnings=result.warnings,
        subgroups=result.subgroups,
    )
    path = Path(result.model)
    name = path.parent.name if path.name == "model" else path.name
    return render.page("figures.html.j2", context(told, kicker=f"A saved model on other data · {name}", learnt=False))
