"""The report of a learnt model."""

from __future__ import annotations

from pathlib import Path

from medloop.evaluation.evidence import Evidence
from medloop.reporting import parts, render, words
from medloop.reporting.figures_page import Told, context
from medloop.requests import LearnResult
from medloop.types import Json


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
    )
    found = context(told, kicker=f"What medloop learnt · run {Path(result.run).name}", learnt=True)
    return render.page("figures.html.j2", found | {"ladder": _ladder(result.ladder)})


def _ladder(rows: list[dict[str, Json]]) -> tuple[list[str], list[list[str]]] | None:
    if not rows:
        return None
    table = []
    for row in rows:
        name, validation = str(row.get("metric", "")), row.get("validation")
        metric = parts.metric_of(validation) if isinstance(validation, dict) else None
        value = f"{validation:.3f}" if isinstance(validation, float) else "–"
        told = value if metric is None else f"{words.shown(name, metric.value)} ({words.interval(name, metric)})"
        title = words.TERMS[name].title if name in words.TERMS else name
        seconds = row.get("seconds")
        table.append([str(row["family"]), f"{title} {told}".strip(), f"{seconds:.0f} s" if seconds else "–"])
    return ["Family", "Cross-validated", "Time"], table
