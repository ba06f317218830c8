"""Rules that a clinician writes, in physical units. An answer that breaks one is marked; the rule is named, the value shown.

```toml
[[rule]]
name = "a plausible diameter"
measure = "tumour longest diameter"      # any measure that the model gives (`medloop.targets.measures`)
at_least = 3
at_most = 200
unit = "mm"                              # converted where needed: cm, ml, cm3, ...
reason = "Nothing below 3 mm is seen at this slice thickness."

[[rule]]
name = "five tumours at most"
count = "tumour"                         # connected parts of the mask; without masks, boxes that are shown
at_most = 5

[[rule]]
name = "tumours lie in the liver"
inside = { what = "tumour", of = "liver", share = 0.95 }

[[rule]]
name = "some liver is left"
fraction = { what = "tumour", of = "liver" }   # of both together
at_most = 0.6

[[rule]]
name = "growth needs a reason"
growth = "tumour longest diameter"       # against last time, where there is one
at_most = 1.2                            # times; left out: 1
```

What can be wrong with rules (unknown names, units that do not fit, bounds that no answer can obey) is found by `parse`. While a
network learns, some rules pull softly (`penalties`, `medloop.networks.heads.rules`); ``weight = 0`` in a rule leaves that out.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tomli_w

from medloop.errors import InputError
from medloop.evaluation import intervals, weighted
from medloop.targets import _rule_reading as reading
from medloop.targets._rule_checks import allowed, check, enclosed
from medloop.targets._rule_nouns import KINDS, Rule, Rules, Vocabulary
from medloop.targets._rule_penalties import Penalty, penalties
from medloop.targets._rule_units import UNITS
from medloop.targets.measures import describe
from medloop.types import Integers, Json, Metric, Target, TargetKind, Violation

__all__ = [
    "KIND",
    "KINDS",
    "UNITS",
    "Penalty",
    "Rule",
    "Rules",
    "Vocabulary",
    "allowed",
    "check",
    "enclosed",
    "fitting",
    "from_json",
    "in_words",
    "load",
    "metrics",
    "parse",
    "penalties",
    "read",
    "to_json",
    "to_toml",
    "vocabulary",
]

KIND = None


def vocabulary(targets: Sequence[Target], flat: bool | None = None, spacing: bool | None = None) -> Vocabulary:
    """What rules can be about where these are learnt.

    ``flat``: whether images are pictures, not volumes; ``spacing``: whether they say how large a voxel is; None where it is mixed
    or not known.
    """
    masks = next((target.classes for target in targets if target.kind is TargetKind.MASKS), ())
    boxes = next((target.classes for target in targets if target.kind is TargetKind.BOXES), ())
    found: dict[str, tuple[str, ...]] = {}
    for each in (True, False) if flat is None else (flat,):
        sizes, pixels = (describe(masks, flat=each, physical=physical, image=False) for physical in (True, False))
        found |= {name: tuple(units) for name, *units in zip(sizes.classes, sizes.units, pixels.units, strict=True)}
    for target in targets:
        if target.kind is TargetKind.MEASURES:
            units = target.units or ("",) * len(target.classes)
            found |= {name: (unit,) for name, unit in zip(target.classes, units, strict=True) if name not in found}
    return Vocabulary(found, masks, boxes, spacing)


def parse(text: str, targets: Sequence[Target], flat: bool | None = None, spacing: bool | None = None) -> Rules:
    """Rules from TOML text, for a model of these targets (see `vocabulary`). Raises `InputError` for all that is wrong."""
    return reading.parse(text, vocabulary(targets, flat, spacing))


def load(path: Path, targets: Sequence[Target], flat: bool | None = None, spacing: bool | None = None) -> Rules:
    """Rules from a TOML file. Raises `InputError` also where it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = "it is not text in UTF-8" if isinstance(error, UnicodeDecodeError) else str(error.strerror).lower()
        raise InputError(
            "no-rules", got=f"The rules {path} cannot be read: {why}.", allowed="A TOML file.", fix="Check the path."
        ) from error
    return parse(text, targets, flat, spacing)


def in_words(rules: str) -> bool:
    """Whether this is TOML text of rules, not the path of a file."""
    return "\n" in rules or "=" in rules


def read(rules: str, targets: Sequence[Target], flat: bool | None = None, spacing: bool | None = None) -> Rules:
    """Rules from a TOML file or in their own words. Raises `InputError` for all that is wrong with them."""
    if in_words(rules):
        return parse(rules, targets, flat, spacing)
    return load(Path(rules).expanduser(), targets, flat, spacing)


def fitting(rules: Rules, targets: Sequence[Target]) -> Rules:
    """Those of the rules that a model of these targets can be held against."""
    about = vocabulary(targets)
    return Rules(tuple(rule for rule in rules.rules if _fits(rule, about)), about)


def _fits(rule: Rule, about: Vocabulary) -> bool:
    try:
        reading.from_table(reading.to_table(Rules((rule,))), about)
    except InputError:
        return False
    return True


def to_toml(rules: Rules) -> str:
    """TOML text that `parse` reads back as equal rules."""
    return tomli_w.dumps(reading.to_table(rules))


def to_json(rules: Rules) -> dict[str, Json]:
    """Plain JSON, with all that a check needs: as it is saved with a model."""
    return reading.to_table(rules) | {"about": rules.about.to_json()}


def from_json(content: Json) -> Rules:
    """The inverse of `to_json`. Raises `InputError` as `parse` does."""
    table = json.loads(json.dumps(content))
    about = Vocabulary.from_json(table.pop("about"))
    return reading.from_table(table, about)


def metrics(tallies: Sequence[Sequence[Violation]], patients: Integers, seed: int = 0) -> dict[str, Metric]:
    """``broken``: the share of cases that break a rule; ``broken_<rule>`` for each rule that is broken anywhere.

    ``tallies``: what `check` found in each of N cases.
    """
    names = list(dict.fromkeys(violation.rule for found in tallies for violation in found))
    parts = {"broken": weighted.mean(np.asarray([bool(found) for found in tallies]))}
    for name in names:
        parts[f"broken_{name}"] = weighted.mean(np.asarray([any(each.rule == name for each in found) for found in tallies]))
    return intervals.bootstrap(parts, patients, seed)
