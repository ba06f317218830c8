"""The champion's rules go on in its challenger, or it is told which do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from medloop.loop import _start
from medloop.loop._carried import with_rules
from medloop.requests import LearnRequest
from medloop.targets import rules
from medloop.types import Target, TargetKind
from medloop.workspace import Workspace

MASKS = Target(TargetKind.MASKS, ("liver", "tumour"), "masks")
LENGTHS = Target(TargetKind.MEASURES, ("length",), "lengths", units=("cm",))
BEFORE = rules.parse(
    """
[[rule]]
name = "some liver"
count = "liver"
at_least = 1
reason = "There always is."

[[rule]]
name = "not too long"
measure = "length"
at_most = 20
unit = "cm"
""",
    [MASKS, LENGTHS],
)
OWN = '[[rule]]\nname = "one liver"\ncount = "liver"\nat_most = 1\n'


def asked(home: Workspace, targets: str, recipe: str | None = None) -> LearnRequest:
    return LearnRequest(src=str(home.root), targets=targets, recipe=recipe)


def test_rules_that_the_challenger_can_be_held_against_go_on(home: Workspace) -> None:
    request, told = with_rules(home, asked(home, "masks,lengths"), BEFORE, [MASKS, LENGTHS])
    kept = rules.parse(_start.recipe_of(home, request).parameters["rules"], [MASKS, LENGTHS])
    assert kept.rules == BEFORE.rules
    assert not told


def test_rules_about_what_it_does_not_answer_are_told(home: Workspace) -> None:
    request, (told,) = with_rules(home, asked(home, "masks"), BEFORE, [MASKS])
    kept = rules.parse(_start.recipe_of(home, request).parameters["rules"], [MASKS])
    assert [rule.name for rule in kept.rules] == ["some liver"]
    assert "not too long" in told
    assert "some liver" not in told


def test_a_model_of_classes_alone_is_held_against_none_and_that_is_told(home: Workspace) -> None:
    before = asked(home, "classes", "classical")
    request, (told,) = with_rules(home, before, BEFORE, [])
    assert request is before
    assert "some liver, not too long" in told


@pytest.mark.parametrize("written", ["words", "file"])
def test_a_recipe_with_rules_of_its_own_goes_before(home: Workspace, tmp_path: Path, written: str) -> None:
    (tmp_path / "rules.toml").write_text(OWN)
    own = OWN if written == "words" else str(tmp_path / "rules.toml")
    recipe = tmp_path / "own.toml"
    recipe.write_text(f"name = 'own'\nfamily = 'multitask'\n[parameters]\nrules = '''{own}'''\n")
    before = asked(home, "masks", str(recipe))
    request, (told,) = with_rules(home, before, BEFORE, [MASKS])
    assert request is before
    assert "the recipe has its own: some liver, not too long" in told
    assert with_rules(home, before, rules.read(own, [MASKS]), [MASKS]) == (before, ())


def test_without_rules_nothing_changes(home: Workspace) -> None:
    before = asked(home, "masks")
    assert with_rules(home, before, None, [MASKS]) == (before, ())
    assert with_rules(home, before, rules.Rules(), [MASKS]) == (before, ())
