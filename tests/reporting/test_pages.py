"""Pages say what they must, to everyone, and fetch nothing."""

import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest

from medloop.evaluation import decisions
from medloop.evaluation.evidence import Answers
from medloop.reporting import evaluate_page, inspect_page, learn_page, parts
from tests.reporting import made

KINDS = [
    *(f"learn {kind}" for kind in made.TARGETS),
    "learn with heat",
    "learn structured",
    "learn outlines",
    "evaluate",
    "inspect",
    "explain",
]
VOID = {"meta", "link", "img", "br", "path", "use"}


class Reader(HTMLParser):
    """What a page is made of."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text, self.open = [], [], []
        self.unbalanced = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.unbalanced.append(tag)

    def handle_data(self, data):
        if self.open and self.open[-1] not in {"style", "title"}:
            self.text.append(data)

    @property
    def words(self):
        return " ".join(" ".join(self.text).split())


def fetched(page):
    """Addresses that a browser would fetch."""
    reader = Reader(page)
    found = [
        attrs.get(name, "") for tag, attrs in reader.tags for name in ("src", "href", "srcset", "data", "action") if name in attrs
    ]
    found += [attrs.get("xlink:href", "") for _, attrs in reader.tags]
    found += re.findall(r"url\(([^)]*)\)", page) + re.findall(r"@import[^;]*", page)
    return [address for address in found if address and not address.startswith(("data:", "#"))]


@pytest.mark.parametrize("name", KINDS)
def test_a_page_holds_everything_it_shows(pages, name):
    page = pages[name]
    assert fetched(page) == []
    assert "<script" not in page
    assert "default-src 'none'" in page
    assert len(page) < 5_000_000


def test_a_page_that_fetches_would_be_noticed(pages):
    page = pages["evaluate"]
    assert fetched(page.replace("</main>", '<img src="https://example.org/x.png"></main>')) == ["https://example.org/x.png"]
    assert fetched(page.replace("</style>", "@import 'x.css';</style>")) != []


@pytest.mark.parametrize("name", KINDS)
def test_a_page_is_whole_and_can_be_read_aloud(pages, name):
    reader = Reader(pages[name])
    assert reader.unbalanced == []
    assert reader.open == []
    headings = [int(tag[1]) for tag, _ in reader.tags if re.fullmatch(r"h[1-6]", tag)]
    assert headings[0] == 1
    assert headings.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(headings))
    assert all(attrs.get("alt") for tag, attrs in reader.tags if tag == "img")
    charts = [attrs for tag, attrs in reader.tags if tag == "svg"]
    assert all(attrs["role"] == "img" and attrs["aria-label"] for attrs in charts)
    ids = [attrs["id"] for _, attrs in reader.tags if "id" in attrs]
    assert [each for each, count in Counter(ids).items() if count > 1] == []
    targets = [attrs["href"][1:] for tag, attrs in reader.tags if tag == "a"]
    assert set(targets) <= set(ids)
    assert dict(reader.tags)["html"]["lang"] == "en"


@pytest.mark.parametrize("name", KINDS)
def test_a_page_shows_no_unfilled_value(pages, name):
    words = Reader(pages[name]).words
    assert re.findall(r"\b(nan|None|inf|Undefined)\b", words) == []
    assert "/home/someone" not in words


def test_the_first_screen_says_what_how_well_on_whom_and_what_to_beware_of(pages):
    first = Reader(pages["learn binary"].split("<main>")[0]).words
    given = made.evidence("binary", 120)
    auc = made.figures(given)["auc"]
    for needed in ("‘pneumonia’ from ‘normal’", f"{auc.value:.3f}", f"{auc.low:.3f} to {auc.high:.3f}", "60 patients"):
        assert needed in first
    assert "3 near leaks into the test split were accepted" in first
    assert "Shortcut: the image's width" in first
    assert "scored 2 times" in first
    assert "Not for clinical use" in first


def test_a_page_of_learning_has_every_part(pages):
    words = Reader(pages["learn binary"]).words
    for needed in (
        "ROC curve", "Precision and sensitivity", "Can its probabilities be taken at their word?", "Confusion matrix",
        "Surest mistakes",
        "Surest right answers", "AUC by subgroup", "More labels would", "The data", "How it was found",
        "From simple to dear", "average of classical and transfer (frozen)", "average ◂ chosen",
        "it takes at least 90 s", "Loss while training: transfer (whole)", "210/s", 'family = "classical"',
        "Methods, to paste into a paper", "Model card", "Intended use", "fixed-sequence testing",
    ):  # fmt: skip
        assert needed in words
    assert "Agreement (Bland and Altman)" in Reader(pages["learn number"]).words
    assert "Class ‘basophil’ is left out" in Reader(pages["learn multi-class"].split("<main>")[0]).words


def test_a_page_of_evaluation_says_nothing_of_learning(pages):
    words = Reader(pages["evaluate"]).words
    assert "Would more labels help?" not in words
    assert "How it was found" not in words
    assert "Confusion matrix" in words
    assert "Learnt from" not in words
    assert "applied unchanged" in words


def test_unknown_patients_are_not_counted():
    given = replace(made.evidence("binary", 60), protocol="out-of-fold")
    whole = replace(made.summary(given), patients=None, split={"train": 180, "val": 0, "test": 0})
    words = Reader(learn_page(made.learnt(given, dataset=whole), given)).words
    assert "(patients unknown)" in words
    assert "60 cases, each judged by a model that had not seen it" in words
    assert "0 for" not in words
    assert "scored 2 times" not in words


def test_a_left_out_class_is_told_once():
    given = made.evidence("multi-class", 60)
    said = "Class 'basophil' is left out: only one patient has it."
    first = learn_page(made.learnt(given, warnings=[said, "Another thing."]), given).split("<main>")[0]
    assert first.count("left out") == 1
    assert "Another thing." in first


def test_the_confusion_matrix_counts_every_case(pages):
    cells = re.findall(r'rgba\(var\(--shade\), [\d.]+\)"><b>(\d+)</b>', pages["learn multi-class"])
    assert len(cells) == 16
    assert sum(map(int, cells)) == 120


def test_names_from_the_data_are_escaped():
    given = made.evidence("binary", 60)
    target = replace(given.target, classes=("a<script>alert(1)</script>", 'b"&<img src=x onerror=y>'))
    names = tuple(f"<b>{name}" for name in given.answers.names)
    nasty = replace(given, target=target, answers=replace(given.answers, names=names))
    page = learn_page(made.learnt(nasty), nasty)
    assert "<script" not in page
    assert "<img src=x" not in page
    assert "<b>test/" not in page
    assert "&lt;script&gt;" in page


def test_who_signs_is_shown_instead_of_the_warning():
    given = replace(made.evidence("binary", 60), signed="Triage of chest X-rays at one hospital, signed by its review board.")
    page = learn_page(made.learnt(given), given)
    assert "signed by its review board" in page
    assert "Not for clinical use" not in page


def _few(kind, count):
    """Evidence with so few cases that hardly a figure is defined."""
    given = made.evidence(kind, 60)
    a = given.answers
    chances = a.probabilities[:count]
    few = Answers(
        names=a.names[:count],
        values=a.values[:count],
        probabilities=chances,
        decided=decisions.decide(given.target, chances, given.decision),
        patients=a.patients[:count],
        attributes=a.attributes[:count],
    )
    return replace(
        given, answers=few, validation=None, learning_curve=(), search=(), picture=lambda k: None, split_classes={}, shortcuts=()
    )


@pytest.mark.parametrize("count", [1, 6])
@pytest.mark.parametrize("kind", list(made.TARGETS))
def test_few_cases_and_lost_pictures_still_give_an_honest_page(kind, count):
    given = _few(kind, count)
    page = learn_page(made.learnt(given, ladder=[], accepted_leaks=[], warnings=[], looks=None), given)
    words = Reader(page).words
    assert "fewer than 5 patients" in words
    assert "can no longer be read" in words
    assert re.findall(r"\b(nan|None|inf)\b", words) == []


def test_a_chance_model_is_called_one():
    given = made.evidence("binary", 200, strength=0.0)
    first = Reader(learn_page(made.learnt(given), given).split("<main>")[0]).words
    assert "may be no better than guessing" in first


def test_a_shifted_test_is_told():
    given = made.evidence("binary", 150)
    worse = made.evidence("binary", 150, strength=0.8)
    shifted = replace(given, answers=worse.answers)
    assert "AUC is lower here" in Reader(learn_page(made.learnt(shifted), shifted)).words
    assert "AUC is lower here" not in Reader(learn_page(made.learnt(given), given)).words


def test_the_intake_report_names_everything(pages):
    words = Reader(pages["inspect"]).words
    for needed in (
        "20 not used: it is cut off", "10 not used: not an image", "broken/019.dcm", "name of the image", "no image of that name",
        "labelled normal", "labelled pneumonia", "scan_0012.png", "exact", "AUC 0.91", "scan_0003.png", "pneumonia (30 cases)",
        "64 x 64",
    ):  # fmt: skip
        assert needed in words
    assert pages["inspect"].count("<img") >= 12 + 12 + 5 + 2 + 1


def test_the_intake_report_of_nothing_wrong():
    clean = replace(
        made.inspected(), rejected=[], label_problems=[], duplicates=[], leaks=[], conflicts=[], shortcuts=[], burnt_in_text=[],
        warnings=[], series=[], patients=None, columns=[],
    )  # fmt: skip
    assert "Nothing was found that needs mending." in Reader(inspect_page(clean)).words


def test_ten_thousand_duplicates_do_not_swell_the_page():
    many = replace(
        made.inspected(),
        duplicates=[[f"scan_{k:04d}.png", f"scan_{k + 1:04d}.png"] for k in range(5000)],
        rejected=[{"path": f"broken/{k}.dcm", "reason": "cut off"} for k in range(50_000)],
    )
    assert len(inspect_page(many, lambda name: made.pictures(int(name[5:9])))) < 2_000_000


def _luminance(colour):
    parts = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def _contrast(first, second):
    high, low = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_colours_have_the_contrast_of_wcag_aa(pages):
    style = re.search(r"<style>(.*?)</style>", pages["inspect"], re.S).group(1)
    schemes = [dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block)) for block in re.findall(r":root \{(.*?)\}", style, re.S)[:2]]
    assert len(schemes) == 2
    for colours in schemes:
        for ground in ("paper", "soft"):
            for ink in ("ink", "quiet", "accent"):
                assert _contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)
        assert _contrast(colours["bad"], colours["bad-soft"]) >= 4.5
        assert _contrast(colours["warn"], colours["warn-soft"]) >= 4.5
        for k in range(1, 9):
            assert _contrast(colours[f"c{k}"], colours["paper"]) >= 3


def test_evaluation_without_a_look_count_of_one_does_not_warn():
    given = made.evidence("binary", 60)
    assert "has now been scored" not in evaluate_page(made.evaluated(given), given)


def test_heat_lies_beside_mistakes_and_right_answers_in_turn():
    """Where time runs out, both kinds have some."""
    worst, best = parts.cases_to_see(made.with_heat(made.evidence("binary", 120)))
    hot = [[each.beside is not None for each in kind] for kind in (worst, best)]
    assert all(any(kind) and not all(kind) for kind in hot)
    assert all(kind == sorted(kind, reverse=True) for kind in hot)
    assert not any(each.beside for kind in parts.cases_to_see(made.evidence("binary", 120)) for each in kind)


def test_heat_and_augmentation_are_shown_where_there_are_any(pages):
    with_, without = Reader(pages["learn with heat"]).words, Reader(pages["learn binary"]).words
    for needed in ("Heat, found by covering.", "What training saw", "copy 5"):
        assert needed in with_
        assert needed not in without


def test_an_explanation_sheet_says_what_was_answered_and_where_it_looked(pages):
    reader = Reader(pages["explain"])
    assert "The 20 least sure of 120 cases." in reader.words
    assert len(re.findall(r"(normal|pneumonia), \d+ %", reader.words)) == 20
    alternatives = [attrs["alt"] for tag, attrs in reader.tags if tag == "img"]
    assert sum("where the model looked" in each for each in alternatives) == 10
    assert len(alternatives) == 30
