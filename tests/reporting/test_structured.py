"""Sections of masks and boxes: every figure is there, by class where it has one, and what breaks a rule is named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from medloop.reporting import learn_page, structured, words
from medloop.types import Metric
from tests.reporting import made


def test_figures_of_classes_are_told_apart_from_figures_of_all() -> None:
    found = made.outlined()
    whole, parts = structured.stems(found.target, found.figures)
    assert {"dice", "dice_whole", "iou_whole", "hd95_mm", "hd95_mm_whole", "surface_dice"} <= set(whole)
    assert {"dice", "iou", "hd95_mm", "surface_dice"} <= set(parts)
    assert not [name for name in whole if name.endswith(("_cytoplasm", "_nucleus"))]
    assert {f"{stem}_{name}" for stem in parts for name in found.target.classes} | set(whole) == set(found.figures)


def test_a_section_says_what_was_found() -> None:
    section, boxes = structured.sections([made.outlined(), made.boxed()])
    assert [row.title for row in section.overall][:2] == ["Dice", "Dice of the whole"]
    assert [name for name, _ in section.by_class[1]] == ["cytoplasm", "nucleus"]
    assert section.violations[0] == ("scan_0003.png", "nucleus inside the cell", "12 % outside", "at most 5 % outside")
    assert [title for title, _ in section.pictures] == ["Worst cases", "Best cases"]
    first, last = (items[0].lines[0] for _, items in section.pictures)
    assert float(first.removeprefix("Dice ")) < float(last.removeprefix("Dice "))
    assert {chart.title for chart in boxes.charts} >= {"Findings hit against false alarms", "Agreement: longest diameter"}


def test_too_few_cases_have_no_spread() -> None:
    few = made.outlined(4)
    assert structured.sections([few])[0].charts == []


def test_the_page_tells_of_classes_and_of_outlines_and_of_broken_rules() -> None:
    given = made.with_structured(made.evidence("multi-class", 60))
    page = learn_page(made.learnt(given), given)
    assert "outlining ‘cytoplasm’ and ‘nucleus’, finding ‘red cell’ and ‘platelet’, measuring ‘longest diameter’ and ‘area’" in page
    assert "2 of 27 answers break a rule (‘nucleus inside the cell’)" in page
    assert "Weights of the losses" in page
    assert page.count(">Dice<") >= 2


def test_without_answers_that_break_a_rule_none_is_named() -> None:
    given = made.with_structured(made.evidence("multi-class", 60))
    good = replace(given, structured=tuple(replace(each, violations=()) for each in given.structured))
    assert "break a rule" not in learn_page(made.learnt(good), good)


def test_a_figure_that_could_not_be_computed_says_why() -> None:
    found = made.outlined()
    figures = {**found.figures, "dice_nucleus": Metric(None, reason="no case here has 'nucleus'")}
    (section,) = structured.sections([replace(found, figures=figures)])
    assert ("–", "no case here has 'nucleus'") in section.by_class[1][1][1]


def test_only_outlines_are_told_without_words_about_classes() -> None:
    given = made.only_outlines()
    page = learn_page(made.learnt(given), given)
    assert "Its outlines cover the true ones with a Dice of" in page
    for absent in ("Confusion matrix", "ROC curve", "Always saying", "abstain"):
        assert absent not in page
    assert np.isfinite(given.structured[0].merits).all()


def test_measures_have_a_row_each_with_their_unit() -> None:
    (section,) = structured.sections([made.sized()])
    assert [name for name, _ in section.by_class[1]] == ["longest diameter (mm)", "area (mm2)"]
    assert section.by_class[0][0] == "Mean absolute error"
    assert all(value != "–" for _, cells in section.by_class[1] for value, _ in cells)
    assert section.overall == []
    assert [chart.title for chart in section.charts] == ["Agreement: longest diameter", "Agreement: area"]
    assert words.verdict(made.SIZES, made.sized().figures).startswith("Its measures are off on average: longest diameter by 0.")
    assert [tile.title for tile in structured.tiles(made.sized(), 3)] == ["longest diameter (mm)", "area (mm2)"]
