"""The parts of pages about models in the loop: comparison, drift, curve of labels, and the model card."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from medloop.evaluation import gate
from medloop.evaluation.comparison import Side
from medloop.evaluation.gate import Trial
from medloop.reporting import comparison_part, models_part, monitor_part, version_card
from medloop.reporting.version_card import Facts
from medloop.types import Metric, Target, TargetKind
from medloop.wire import to_json

TARGET = Target(TargetKind.BINARY, ("well", "sick"))
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def evidence():
    rng = np.random.default_rng(0)
    values = np.arange(200) % 2
    sides = []
    for sharp in (1.0, 3.0):
        score = sharp * (values - 0.5) + rng.standard_normal(200)
        sides.append(Side(np.stack([-score, score], axis=1), (score > 0).astype(int)))
    sites = [{"site": HOSTILE if row < 100 else "south"} for row in range(200)]
    verdict = gate.judge(
        Trial(target=TARGET, values=values, champion=sides[0], challenger=sides[1], patients=np.arange(200), attributes=sites)
    )
    return to_json(
        {
            "verdict": verdict,
            "champion": {"id": 1, "name": "old", "family": "classical"},
            "challenger": {"id": 2, "name": "new", "family": "classical"},
            "test_set": "draw-0",
            "cases": 200,
            "patients": 200,
            "left_out": {"not labelled yet": 3},
            "figures": [],
            "changed": {
                "classes": [{"truth": "sick", "cases": 100, "gained": 20, "lost": 1}],
                "cases": [
                    {"case": 7, "truth": "sick", "before": "well", "after": "sick", "better": True},
                    {"case": 9, "truth": "well", "before": "well", "after": "sick", "better": False},
                ],
                "moved": 2,
            },
        }
    )


def test_the_comparison_says_how_sure_for_whom_and_which_cases(evidence):
    html = comparison_part.fragment(evidence, lambda case: f"/picture/{case}")
    assert html.count("<section") == 1
    for said in ("The challenger is promoted", "97.5 % confidence", "south", "3 not labelled yet", "look 1 of 20", "<svg"):
        assert said in html
    assert html.index("/picture/9") < html.index("/picture/7"), "those that became wrong come first"
    assert "<html" not in html
    assert HOSTILE not in html
    page = comparison_part.page(evidence)
    assert page.startswith("<!")
    assert "/picture/" not in page


def test_without_a_look_the_reasons_stand_alone():
    html = comparison_part.fragment({"decision": "needs-person", "reasons": ["Too few test cases."]})
    assert "A person decides about the challenger" in html
    assert "Too few test cases." in html
    assert "was not looked at" in html


def test_drift_is_told_in_words_and_lines():
    rows = [
        {"week": f"2026-W{week}", "where": HOSTILE, "cases": 5, "confidence": 0.8, "unlike": 0.1, "agreement": None, "labels": {}}
        for week in (40, 41, 42)
    ]
    result = {"alarms": [{"says": f"Scanner {HOSTILE}: brighter."}], "checks": [], "series": rows, "days": 30, "says": ""}
    html = monitor_part.fragment(result)
    assert "1 alarm" in html
    assert html.count("<svg") == 3
    assert HOSTILE not in html
    assert "Nothing" in monitor_part.page({**result, "alarms": [], "says": "Nothing has drifted."})


def test_the_curve_of_labels_shows_the_forecast():
    curve = [{"labels": 50, "figure": 0.8, "low": 0.7, "high": 0.9, "model": "a"}]
    ahead = {"labels": 150, "figure": 0.86, "low": 0.8, "high": 0.9, "best": 0.9}
    html = models_part.fragment({"curve": curve, "forecast": ahead, "metric": "auc", "says": "Expect more."})
    assert "open dot is the forecast" in html
    bare = models_part.fragment({"curve": [], "forecast": None, "metric": "auc", "says": "No model yet."})
    assert "<svg" not in bare


def test_a_card_says_what_is_known_and_nothing_is_markup(evidence):
    facts = Facts(
        name="new",
        state="champion",
        family="classical",
        created="2026-11-23 10:00 UTC",
        parent="old",
        target=TARGET,
        dataset="abcdef0123456789",
        labels={"human": 40, "imported": 60},
        left_out={"ai-only": 4},
        figures={"auc": Metric(0.9, 0.85, 0.94), "accuracy": Metric(0.8, 0.75, 0.85)},
        evidence=evidence,
        history=[("2026-11-23", f"promoted by {HOSTILE}")],
    )
    text = version_card.as_markdown(facts)
    for said in ("100 labels (40 human, 60 imported)", "4 ai-only", "beside", "of old", "Not for clinical use"):
        assert said in text
    assert HOSTILE not in text
    assert next(row["heading"] for row in version_card.as_json(facts)["card"]) == "Intended use"
    fresh = dict(version_card.rows(replace(facts, evidence={})))
    assert "not been compared" in fresh["Performance on the frozen test set"]
    assert "For whom it is worse" not in fresh
