"""Champion against challenger in words and pictures, from the evidence that is kept with each decision.

`fragment` is one HTML ``<section>`` for a page of the web, `page` the same as a file that holds everything it shows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from medloop.evaluation import gate
from medloop.reporting import charts, render, words
from medloop.reporting.charts import Chart
from medloop.reporting.parts import Tile
from medloop.types import Json, Metric
from medloop.version import VERSION

PictureOf = Callable[[int], "str | None"]
"""From a case's number to the address of its picture (or a ``data:`` URI), None where there is none to be shown."""
_HEADLINES = {
    "promoted": ("The challenger is promoted", ""),
    "refused": ("The challenger is refused", "warn"),
    "needs-person": ("A person decides about the challenger", "warn"),
    "rolled-back": ("The former champion is back", ""),
}
_PICTURES = 12


def page(evidence: Mapping[str, Json], picture: PictureOf | None = None) -> str:
    """One self-contained HTML page."""
    names = [each["name"] for key in ("champion", "challenger") if (each := evidence.get(key))]
    return render.page(
        "comparison.html.j2",
        {
            "title": "Champion against challenger",
            "kicker": "medloop" + (f" · {' against '.join(names)}" if names else ""),
            "stamp": "Not for clinical use",
            "contents": [],
            "part": fragment(evidence, picture),
            "footer": f"Written by medloop {VERSION}. This page holds everything it shows and fetches nothing.",
        },
    )


def fragment(evidence: Mapping[str, Json], picture: PictureOf | None = None) -> str:
    """The comparison as one ``<section>``. ``evidence``: as kept with a decision; ``decision`` and ``reasons`` may be added."""
    verdict = evidence.get("verdict") or {}
    decision = str(evidence.get("decision") or verdict.get("decision") or "")
    headline, level = _HEADLINES.get(decision, ("The two models compared", ""))
    changed = evidence.get("changed") or {}
    cases = changed.get("cases") or []
    return render.page(
        "comparison_part.html.j2",
        {
            "headline": headline,
            "level": level,
            "reasons": evidence.get("reasons") or verdict.get("reasons") or ["Nothing was compared."],
            "tiles": _tiles(verdict),
            "chart": _chart(verdict),
            "groups": [_group(each) for each in _sorted(verdict)],
            "figures": [
                _figure(each) for part in (evidence, *(evidence.get("beside") or [])) for each in part.get("figures") or []
            ],
            "classes": changed.get("classes") or [],
            "moved": _moved(evidence, changed),
            "changes": _changes(cases),
            "pictures": _pictures(cases, picture),
            "basis": _basis(evidence, verdict),
        },
    )


def _sorted(verdict: Mapping[str, Json]) -> list[dict[str, Json]]:
    """Groups, the one it is worst for first."""
    return sorted(verdict.get("groups") or [], key=lambda each: each["difference"])


def _tiles(verdict: Mapping[str, Json]) -> list[Tile]:
    gain = verdict.get("gain")
    if not gain:
        return []
    name = gate.FIGURES.get(gain["metric"], gain["metric"])
    sure = f"{100 * verdict['confidence']:.4g} %"
    low = "unknown" if gain["low"] is None else f"{gain['low']:+.4f}"
    return [
        Tile(f"{name}, champion", f"{gain['champion']:.3f}", "", f"on {gain['cases']} frozen test cases"),
        Tile(f"{name}, challenger", f"{gain['challenger']:.3f}", "", "on the same cases"),
        Tile("Better by", f"{gain['difference']:+.3f}", "", "above 0: the challenger is better"),
        Tile("At least", low, "", f"with {sure} confidence; above 0 is asked for"),
    ]


def _chart(verdict: Mapping[str, Json]) -> Chart | None:
    groups = [each for each in _sorted(verdict) if each["low"] is not None]
    if not groups:
        return None
    points = [
        (f"{each['group']} ({each['cases']}), {gate.FIGURES.get(each['metric'], each['metric'])}", _metric(each)) for each in groups
    ]
    says = "Right of the dashed line the challenger is better. Bars: 95 % intervals."
    return charts.forest("compared", "The difference by class and subgroup", says, points, 0.0, "challenger less champion")


def _metric(each: Mapping[str, Json]) -> Metric:
    return Metric(each["difference"], each["low"], each["high"])


def _group(each: Mapping[str, Json]) -> dict[str, Any]:
    return {
        "group": str(each["group"]).replace("=", ": "),
        "cases": each["cases"],
        "metric": gate.FIGURES.get(each["metric"], each["metric"]),
        "champion": f"{each['champion']:.3f}",
        "challenger": f"{each['challenger']:.3f}",
        "difference": f"{each['difference']:+.3f}",
        "interval": _between(each),
        "margin": f"{each['margin']:.3g}",
        "worse": each["worse"],
    }


def _figure(each: Mapping[str, Json]) -> dict[str, Any]:
    name = each["metric"]
    return {
        "title": words.term_of(name).title,
        "a": words.shown(name, each["a"]),
        "b": words.shown(name, each["b"]),
        "difference": f"{each['difference']:+.3f}",
        "interval": _between(each),
    }


def _between(each: Mapping[str, Json]) -> str:
    return "–" if each["low"] is None or each["high"] is None else f"{each['low']:+.3f} to {each['high']:+.3f}"


def _moved(evidence: Mapping[str, Json], changed: Mapping[str, Json]) -> str:
    rows = changed.get("classes") or []
    gained, lost = (sum(row[name] for row in rows) for name in ("gained", "lost"))
    return (
        f"{changed.get('moved', 0)} of {evidence.get('cases', 0)} cases: {gained} that the champion had wrong are right now, "
        f"{lost} that it had right are wrong now."
    )


def _changes(cases: Sequence[Mapping[str, Json]]) -> list[dict[str, Json]]:
    """How often each answer became which other, by truth: the confusion of the changed cases, most frequent first."""
    counts = Counter((each["truth"], each["before"], each["after"]) for each in cases)
    return [
        {"truth": truth or "none", "before": before or "none", "after": after or "none", "count": count}
        for (truth, before, after), count in counts.most_common()
    ]


def _pictures(cases: Sequence[Mapping[str, Json]], picture: PictureOf | None) -> list[dict[str, Json]]:
    """Changed cases, those that became wrong first."""
    if picture is None:
        return []
    found = []
    for each in sorted(cases, key=lambda each: each["better"])[:_PICTURES]:
        src = picture(int(each["case"]))
        if src is not None:
            says = f"is {each['truth'] or 'none'}; {each['before'] or 'none'} became {each['after'] or 'none'}"
            found.append({"src": src, "case": each["case"], "says": says})
    return found


def _basis(evidence: Mapping[str, Json], verdict: Mapping[str, Json]) -> str:
    if not verdict:
        return "The frozen test set was not looked at."
    left = ", ".join(f"{count} {why}" for why, count in (evidence.get("left_out") or {}).items())
    more = f" Frozen cases that do not count: {left}." if left else ""
    return (
        f"Both models answered the same {evidence['cases']} cases of {evidence['patients']} patients of the frozen test set "
        f"({evidence['test_set']}), which no model has learnt from and which were read without a proposal. This was look "
        f"{verdict['look']} of {verdict['looks_allowed']}.{more}"
    )
