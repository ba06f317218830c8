"""Rules from TOML, with everything that is wrong with them found before anything is learnt."""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import Any, NoReturn

from medloop.errors import InputError, unknown_name
from medloop.targets import _rule_units as units
from medloop.targets._rule_nouns import KINDS, Rule, Rules, Vocabulary
from medloop.types import Json

_KEYS = ("name", *KINDS, "at_least", "at_most", "unit", "reason", "weight")
_BETWEEN = {"inside": ("what", "of", "share"), "fraction": ("what", "of")}
_NEVER_MORE = (("perpendicular diameter", "longest diameter"), ("largest area", "area"), ("largest volume", "volume"))
"""Of these measures of one class the first is never larger than the second."""


def parse(text: str, about: Vocabulary) -> Rules:
    """Rules from TOML text. Raises `InputError` for anything that could not be checked or could never hold."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(
            "bad-rules", got=f"The rules are not TOML: {error}.", allowed="A TOML file.", fix="Mend the line named."
        ) from error
    return from_table(content, about)


def from_table(content: Json, about: Vocabulary) -> Rules:
    """Rules from what TOML or JSON hold: ``{"rule": [...]}``."""
    if not isinstance(content, dict):
        _bad("is no table", "[[rule]] with its keys.", "Begin each rule with [[rule]].")
    _known("The file of rules", content, ("rule",))
    tables = content.get("rule", [])
    if not isinstance(tables, list) or not all(isinstance(each, dict) for each in tables):
        _bad("has 'rule' that is no list", "[[rule]] with its keys.", "Begin each rule with [[rule]], in double brackets.")
    rules = tuple(_rule(table, number, about) for number, table in enumerate(tables, 1))
    _together(rules)
    return Rules(rules, about)


def to_table(rules: Rules) -> dict[str, Json]:
    """The inverse of `from_table`."""
    return {"rule": [_table(rule) for rule in rules.rules]}


def _table(rule: Rule) -> dict[str, Json]:
    table: dict[str, Json] = {"name": rule.name}
    if rule.kind in _BETWEEN:
        table[rule.kind] = {"what": rule.what, "of": rule.of} | ({"share": rule.low} if rule.kind == "inside" else {})
    else:
        table[rule.kind] = rule.what
    bounds = {} if rule.kind == "inside" else {"at_least": rule.low, "at_most": rule.high}
    table |= {key: value for key, value in bounds.items() if value is not None}
    table |= {key: value for key, value in (("unit", rule.unit), ("reason", rule.reason)) if value}
    return table if rule.weight == 1 else table | {"weight": rule.weight}


def _rule(table: Mapping[str, Any], number: int, about: Vocabulary) -> Rule:
    """One rule, alone."""
    name = table.get("name")
    if not isinstance(name, str) or not name.strip():
        _bad(
            f"has a rule without a name (number {number})", 'name = "a few words".', "Name it: the name is shown when it is broken."
        )
    said = f"The rule '{name}'"
    _known(said, table, _KEYS)
    kinds = [kind for kind in KINDS if kind in table]
    if len(kinds) != 1:
        _bad(f"has {len(kinds)} of {', '.join(KINDS)} in '{name}'", "one of them in a rule.", "Make it one rule for each.")
    kind = kinds[0]
    what, of, share = _what(name, kind, table[kind])
    low, high = (share, None) if kind == "inside" else _bounds(name, kind, table)
    if kind == "inside" and ("at_least" in table or "at_most" in table):
        _bad(f"has bounds beside the share in '{name}'", "inside = { what, of, share }.", "Say share alone.")
    rule = Rule(name, kind, what, of, low, high, _unit(name, kind, table, what, about), _text(name, table), _weight(name, table))
    _about(rule, about)
    return rule


def _what(name: str, kind: str, value: Any) -> tuple[str, str, float | None]:
    """What the rule is about, of what, and the share."""
    if kind not in _BETWEEN:
        if not isinstance(value, str):
            _bad(f"has {kind} = {value!r} in '{name}'", f"{kind}: a name in quotes.", "Write the name of a measure or class.")
        return value, "", None
    keys = _BETWEEN[kind]
    example = f'{kind} = {{ what = "tumour", of = "liver"{", share = 0.95" if "share" in keys else ""} }}'
    if not isinstance(value, dict) or not all(isinstance(value.get(key), str) for key in ("what", "of")):
        _bad(f"has {kind} without what and of in '{name}'", f"{example}.", "Say both.")
    _known(f"'{kind}' in the rule '{name}'", value, keys)
    share = value.get("share", 1.0) if "share" in keys else None
    if share is not None and not (_number(share) and 0 < share <= 1):
        _bad(f"has share = {share!r} in '{name}'", "share: above 0, up to 1.", "Write 0.95 for 95 %.")
    return value["what"], value["of"], None if share is None else float(share)


def _bounds(name: str, kind: str, table: Mapping[str, Any]) -> tuple[float | None, float | None]:
    low, high = table.get("at_least"), table.get("at_most")
    if kind == "growth" and low is None and high is None:
        high = 1.0
    if low is None and high is None:
        _bad(f"has no bound in '{name}'", "at_least, at_most or both.", "Add one of them.")
    for key, value in (("at_least", low), ("at_most", high)):
        if value is None:
            continue
        whole = kind != "count" or (_number(value) and value == int(value) and value >= 0)
        share = kind != "fraction" or (_number(value) and 0 <= value <= 1)
        if not _number(value) or not whole or not share or (kind == "growth" and value < 0):
            allowed = {
                "count": "a whole number from 0",
                "fraction": "a share from 0 to 1",
                "growth": "times last time, 1.2 for 20 % more",
            }
            _bad(f"has {key} = {value!r} in '{name}'", f"{key}: {allowed.get(kind, 'a number')}.", f"Correct {key}.")
    if low is not None and high is not None and low > high:
        raise InputError(
            "contradiction",
            got=f"The rule '{name}' wants at least {low:g} and at most {high:g}: nothing is both.",
            allowed="at_least not above at_most.",
            fix="Swap them if they were mixed up.",
        )
    return None if low is None else float(low), None if high is None else float(high)


def _unit(name: str, kind: str, table: Mapping[str, Any], what: str, about: Vocabulary) -> str:
    given = table.get("unit", "")
    if not isinstance(given, str):
        _bad(f"has unit = {given!r} in '{name}'", "unit: a text such as mm.", "Put it in quotes.")
    if kind == "measure" and what not in about.measures:
        return given  # told by its name
    measured = about.units(what) if kind == "measure" else ("",)
    if given in measured:
        return given
    given = units.unit(given) if given else given
    if not any(units.same_kind(given, each) for each in measured):
        raise units.wrong(name, given, what if kind == "measure" else f"the {kind} of {what}", measured)
    return given


def _text(name: str, table: Mapping[str, Any]) -> str:
    reason = table.get("reason", "")
    if not isinstance(reason, str):
        _bad(f"has reason = {reason!r} in '{name}'", "reason: a text.", "Put it in quotes.")
    return reason


def _weight(name: str, table: Mapping[str, Any]) -> float:
    weight = table.get("weight", 1.0)
    if not _number(weight) or weight < 0:
        _bad(
            f"has weight = {weight!r} in '{name}'",
            "weight: a number from 0.",
            "Leave it out for 1, write 0 for no penalty in training.",
        )
    return float(weight)


def _about(rule: Rule, about: Vocabulary) -> None:
    """Whether what the rule names is there. The nearest name is offered."""
    if rule.kind in ("measure", "growth"):
        if rule.what not in about.measures:
            raise _missing("measure", rule, rule.what, about.measures)
        return
    classes = about.masks if rule.kind in _BETWEEN else (*about.masks, *(each for each in about.boxes if each not in about.masks))
    for each in (rule.what, rule.of) if rule.kind in _BETWEEN else (rule.what,):
        if each not in classes:
            raise _missing("class", rule, each, classes)
    if rule.what == rule.of:
        _bad(f"sets '{rule.what}' against itself in '{rule.name}'", "two classes.", "Name the other one in of.")


def _missing(what: str, rule: Rule, name: str, known: Iterable[str]) -> InputError:
    names = list(known)
    if names:
        error = unknown_name(what, name, names)
        return InputError(error.code, got=f"In the rule '{rule.name}': {error.got}", allowed=error.allowed, fix=error.fix)
    target = "masks" if rule.kind != "count" else "masks or boxes"
    return InputError(
        f"unknown-{what}",
        got=f"The rule '{rule.name}' is about '{name}', but no {target if what == 'class' else 'measures'} are learnt.",
        allowed="Rules about what the model answers.",
        fix="Learn masks too (--masks, --targets), or leave the rule out.",
    )


def _together(rules: tuple[Rule, ...]) -> None:
    """Names that come twice, and rules that cannot hold together."""
    for first, second in combinations(rules, 2):
        if first.name == second.name:
            _bad(f"has two rules named '{first.name}'", "a name of its own for each.", "Rename one.")
        for one, other in ((first, second), (second, first)):
            if _never_more(one, other):
                _conflict(one, other)


def _never_more(one: Rule, other: Rule) -> bool:
    """Whether ``one`` wants more than ``other`` allows of the same thing, or of something that is never smaller."""
    if one.kind != other.kind or one.of != other.of or one.low is None or other.high is None:
        return False
    bounded = one.what == other.what or any(
        one.what.endswith(less) and other.what == one.what.removesuffix(less) + more for less, more in _NEVER_MORE
    )
    return bounded and one.low * units.factor(one.unit, other.unit) > other.high if units.same_kind(one.unit, other.unit) else False


def _conflict(one: Rule, other: Rule) -> NoReturn:
    raise InputError(
        "contradiction",
        got=f"The rules '{one.name}' ({one.what} at least {one.low:g} {one.unit}".rstrip()
        + f") and '{other.name}' ({other.what} at most {other.high:g} {other.unit}".rstrip()
        + ") cannot both hold.",
        allowed="Rules that some answer can obey.",
        fix="Correct one of them.",
    )


def _known(what: str, table: Mapping[str, Any], keys: tuple[str, ...]) -> None:
    for key in table:
        if key not in keys:
            near = difflib.get_close_matches(key, keys, n=1, cutoff=0.5)
            raise InputError(
                "bad-rules",
                got=f"{what} has no key '{key}'.",
                allowed=f"{', '.join(keys)}.",
                fix=f"Did you mean {near[0]}?" if near else "Leave it out.",
            )


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _bad(got: str, allowed: str, fix: str) -> NoReturn:
    raise InputError("bad-rules", got=f"The file of rules {got}.", allowed=allowed, fix=fix)
