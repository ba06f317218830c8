"""Charts: what is drawn is what is said."""

import re

import numpy as np

from medloop.evaluation.curves import Line
from medloop.reporting import charts


def _texts(chart):
    return re.findall(r"<text[^>]*>([^<]*)</text>", chart.svg)


def test_numbers_in_text_keep_their_digits():
    chart = charts.search("s", "Search", "says", [0.9201, 0.9254, 0.9302, 0.9311], "score")
    ticks = [text for text in _texts(chart) if re.fullmatch(r"0\.\d+", text)]
    assert len(ticks) >= 3
    assert len(set(ticks)) == len(ticks)


def test_colours_are_those_of_the_page_and_ids_are_the_charts_own():
    line = Line(np.array([0.0, 0.5, 1.0]), np.array([0.0, 0.8, 1.0]))
    first, second = (charts.lines(name, "ROC", "says", {"a": line, "b": line, "c": line}, "x", "y") for name in ("one", "two"))
    assert not re.findall(r"#[0-9a-f]{6}", first.svg)
    assert "var(--c3)" in first.svg
    assert not set(re.findall(r' id="([^"]+)"', first.svg)) & set(re.findall(r' id="([^"]+)"', second.svg))
    assert {"a", "b", "c", "x", "y"} <= set(_texts(first))
    assert first == charts.lines("one", "ROC", "says", {"a": line, "b": line, "c": line}, "x", "y")


def test_titles_are_escaped():
    chart = charts.scatter("s", 'a "quoted" <title>', "says", np.arange(5.0), np.arange(5.0), " (<mm>)")
    assert "<title>" not in chart.svg
    assert "<mm>" not in chart.svg


def test_many_points_stay_a_small_file():
    many = np.random.default_rng(0).normal(size=(2, 100_000))
    assert len(charts.scatter("s", "t", "says", many[0], many[1], "").svg) < 400_000
    steps = Line(np.linspace(0, 1, 100_000), np.linspace(0, 1, 100_000))
    assert len(charts.lines("l", "t", "says", {"a": steps}, "x", "y").svg) < 60_000
