"""The champion's rules in its challenger: what a clinician forbade stays forbidden, or it is told that nobody checks it now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from medloop.loop._start import SEVERAL, recipe_of
from medloop.requests import LearnRequest
from medloop.targets import rules
from medloop.targets.rules import Rules
from medloop.types import Target
from medloop.workspace import Workspace


def with_rules(
    workspace: Workspace, request: LearnRequest, before: Rules | None, targets: Sequence[Target]
) -> tuple[LearnRequest, tuple[str, ...]]:
    """The request with the rules ``before`` that a model of these targets can be held against, and what must be told of the others.

    A recipe with rules of its own goes before. Raises `InputError` for a recipe that is not there or rules that cannot be read.
    """
    if not before:
        return request, ()
    recipe = recipe_of(workspace, request)
    own = recipe.parameters.get("rules")
    if own:
        kept = rules.read(own, targets)
    else:
        kept = rules.fitting(before, targets) if recipe.family == SEVERAL else Rules()
        request = replace(request, rules=rules.to_toml(kept)) if kept else request
    lost = [rule.name for rule in before.rules if rule not in kept.rules]
    why = "the recipe has its own" if own else "it does not answer what they are about"
    return request, (f"Rules of the champion that this model is not held against, for {why}: {', '.join(lost)}.",) if lost else ()
