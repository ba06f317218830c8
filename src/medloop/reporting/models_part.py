"""The curve of the models' figures against the labels they learnt from, with the forecast: one HTML ``<section>``."""

from __future__ import annotations

from collections.abc import Mapping

from medloop.reporting import charts, render, words
from medloop.reporting.charts import Chart
from medloop.types import Json, Metric


def fragment(result: Mapping[str, Json]) -> str:
    """A `ModelsResult` as JSON in one ``<section>``."""
    return render.page("models_part.html.j2", {"says": result["says"], "chart": _chart(result)})


def _chart(result: Mapping[str, Json]) -> Chart | None:
    points = [(int(each["labels"]), Metric(each["figure"], each["low"], each["high"])) for each in result["curve"]]
    if not points:
        return None
    ahead = result["forecast"]
    expected = (int(ahead["labels"]), Metric(ahead["figure"], ahead["low"], ahead["high"])) if ahead else None
    says = "Each dot is a model, judged on cases held out from its training; bars: 95 % intervals."
    if expected is not None:
        says += " The open dot is the forecast."
    return charts.growth("labels", "Figures against labels", says, points, expected, words.term_of(result["metric"]).title)
