"""What has drifted, in words and pictures: one HTML ``<section>`` for a page of the web, or the same as a file."""

from __future__ import annotations

from collections.abc import Mapping

from medloop.reporting import charts, render
from medloop.reporting.charts import Chart
from medloop.types import Json
from medloop.version import VERSION

_COURSES = {
    "agreement": ("Readers agree with the proposal", "share of cases read"),
    "confidence": ("Confidence of proposals", "mean"),
    "unlike": ("Cases unlike what the model learnt from", "share"),
    "cases": ("Cases that came", "cases a week"),
}
_MOST_WEEKS, _MOST_PLACES = 53, 6


def page(result: Mapping[str, Json]) -> str:
    """One self-contained HTML page of a `MonitorResult` as JSON."""
    return render.page(
        "comparison.html.j2",
        {
            "title": "Has anything drifted?",
            "kicker": "medloop",
            "stamp": "",
            "contents": [],
            "part": fragment(result),
            "footer": f"Written by medloop {VERSION}. This page holds everything it shows and fetches nothing.",
        },
    )


def fragment(result: Mapping[str, Json]) -> str:
    """A `MonitorResult` as JSON in one ``<section>``."""
    alarms = [str(each["says"]) for each in result["alarms"]]
    return render.page(
        "monitor_part.html.j2",
        {
            "headline": f"{len(alarms)} alarms" if len(alarms) != 1 else "1 alarm",
            "alarms": alarms,
            "says": result["says"],
            "charts": [chart for name in _COURSES if (chart := _course(name, result)) is not None],
            "checks": result["checks"],
        },
    )


def _course(name: str, result: Mapping[str, Json]) -> Chart | None:
    """One figure week by week, a line a place; None where fewer than two weeks have it."""
    weeks = sorted({row["week"] for row in result["series"]})[-_MOST_WEEKS:]
    at = {week: number for number, week in enumerate(weeks)}
    lines: dict[str, list[tuple[int, float]]] = {}
    for row in result["series"]:
        if row["week"] in at and row[name] is not None:
            lines.setdefault(row["where"], []).append((at[row["week"]], float(row[name])))
    lines = dict(list(lines.items())[:_MOST_PLACES])
    if max((len(points) for points in lines.values()), default=0) < 2:
        return None
    title, label = _COURSES[name]
    says = f"By week of arrival, from {weeks[0]} to {weeks[-1]}."
    return charts.course(f"course-{name}", title, says, lines, (weeks, label))
