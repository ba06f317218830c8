"""The page of a simulation: what asking for the right labels saves, as a chart, a table and in words."""

from __future__ import annotations

from medloop.reporting import charts, render
from medloop.requests import SimulateResult
from medloop.types import Json
from medloop.version import VERSION

_METHOD = (
    "Each seed begins with a few typical cases that differ from each other. Then, batch after batch, the learner asks for the "
    "labels of cases that it is least sure of and that differ from each other; beside it another is given as many at random. "
    "Both learn anew after every batch: two heads on the principal components of what a frozen network sees.",
    "A curve has reached the goal where it holds it for one more batch; between batches it is taken as a straight line.",
    "The test split was scored after every batch. This is a study of the loop: no model is kept and nothing is chosen by it. The "
    "order of asking sees training cases only.",
)


def simulate_page(result: SimulateResult, source: str) -> str:
    """One self-contained HTML page."""
    goal = _percent(result.goal)
    says = f"Mean over {len(result.seeds)} seeds; bands: lowest to highest. Dotted: {goal} of the AUC of all labels."
    curve = charts.against_labels("saved", "AUC against labels", says, result.curve, result.goal * result.full_auc)
    return render.page(
        "simulate.html.j2",
        {
            "title": "What asking for the right labels saves",
            "kicker": f"Simulation of medloop · {source}",
            "stamp": "Not for clinical use",
            "verdict": _verdict(result),
            "contents": [],
            "curve": curve,
            "hours": [[name, f"{result.hours[key]:g}"] for name, key in _HOURS],
            "seeds": [[str(row["seed"]), *(_cell(row[key]) for key in _COLUMNS)] for row in result.seeds],
            "warnings": result.warnings,
            "method": _METHOD,
            "footer": f"Written by medloop {VERSION}. This page holds everything it shows and fetches nothing.",
        },
    )


_HOURS = (
    ("all labels", "all"),
    ("labels asked for", "asked"),
    ("labels taken at random", "random"),
    ("saved by asking", "saved"),
)
_COLUMNS = ("full_auc", "labels_needed", "labels_needed_random")


def _verdict(result: SimulateResult) -> str:
    asked, random = result.labels_needed, result.labels_needed_random
    told = (
        f"{_percent(result.goal)} of the AUC of all {result.labels} labels ({result.full_auc:.3f}) takes {_percent(asked)} of them "
        f"when they are asked for, {_percent(random)} when they are taken at random."
    )
    if asked < random:
        return f"{told} At {result.reading_seconds:g} s a case that saves {result.hours['saved']:g} hours of reading."
    return f"{told} Here asking saves nothing."


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _cell(value: Json) -> str:
    return f"{value:.3f}"
