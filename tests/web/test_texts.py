"""Every language has every text, and no page says anything that is in no catalogue."""

from __future__ import annotations

import re
import string
from importlib.resources import files

import pytest

from medloop.web.texts import DEFAULT, chosen, languages, texts

TEMPLATES = sorted(each.name for each in files("medloop.web").joinpath("templates").iterdir() if each.name.endswith(".j2"))
SPOKEN = ("title", "alt", "aria-label", "placeholder")
ALLOWED = {"medloop", "W", "O", "H", "V", "R", "N", "U", "Z", "Esc", "Enter", "Ctrl+Z", "study:12"}
"""The product's name, keys of the keyboard, and how a subject of the trail is written."""


def source(name):
    return files("medloop.web").joinpath("templates", name).read_text(encoding="utf-8")


def written(template):
    """Words that a template says itself: between tags, and in attributes that are read out."""
    plain = re.sub(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}", "\x00", template, flags=re.S)
    plain = re.sub(r"<(script|style)\b.*?</\1>|<!.*?>", "", plain, flags=re.S)
    spoken = [value for name in SPOKEN for value in re.findall(rf'\b{name}="([^"]*)"', plain)]
    between = re.sub(r"<(?:[^<>\"]|\"[^\"]*\")*>", "\n", plain).split("\n")
    return {bare(each) for each in [*spoken, *between]} - {bare(each) for each in ALLOWED} - {""}


def bare(words):
    return re.sub(r"[\W\d_]+", " ", words).strip()


def places(text):
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def test_there_are_english_and_chinese():
    assert {"en", "zh"} <= set(languages())
    assert next(iter(languages())) == DEFAULT


@pytest.mark.parametrize("language", sorted(set(languages()) - {DEFAULT}))
def test_a_translation_says_everything_with_the_same_places(language):
    english, other = texts(DEFAULT).words, texts(language).words
    assert set(other) == set(english)
    assert {key for key in english if places(english[key]) != places(other[key])} == set()
    assert [key for key, text in other.items() if not text.strip()] == []


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_says_nothing_itself(name):
    assert written(source(name)) == set()


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_asks_for_texts_that_there_are(name):
    asked = set(re.findall(r"\bt\('([^']+)'(?=[,)])", source(name)))
    assert asked <= set(texts(DEFAULT).words)


@pytest.mark.parametrize("slip", ["<p>Hello</p>", '<img alt="A picture">', "{% if x %}yes{% endif %}", "<b>{{ t('a') }} of</b>"])
def test_words_in_a_template_are_seen(slip):
    assert written(source("login.html.j2") + slip)


def test_the_language_is_the_first_that_there_is():
    assert chosen(["fr", "zh-CN", "en"]).language == "zh"
    assert chosen(["", "xx"]).language == DEFAULT
    assert chosen(["fr"], lambda: "zh").language == "zh"
    assert chosen(["en"], lambda: "zh").language == "en"
    assert chosen(["../../secrets", "zh_TW"]).language == "zh"


def test_an_unknown_text_is_an_error():
    with pytest.raises(KeyError):
        texts(DEFAULT)("no.such.text")
