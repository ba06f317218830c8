"""Subgroups."""

import numpy as np

from medloop import wire
from medloop.evaluation import subgroups
from medloop.types import Target, TargetKind

BINARY = Target(TargetKind.BINARY, ("no", "yes"))


def test_a_group_that_fares_worse_is_named():
    draw = np.random.default_rng(0)
    values = draw.integers(0, 2, 400)
    site = np.repeat(["north", "south"], 200)
    chosen = np.where((site == "south") & (draw.random(400) < 0.4), 1 - values, values)
    chances = np.where(chosen == 1, 0.9, 0.1)
    facts = [{"site": name, "sex": "F"} for name in site]
    found = subgroups.table(BINARY, values, np.stack([1 - chances, chances], axis=1), chosen, np.arange(400), facts)
    assert [(row.attribute, row.group, row.cases, row.patients) for row in found] == [
        ("site", "north", 200, 200),
        ("site", "south", 200, 200),
    ]
    assert "accuracy" in found[1].worse
    assert found[0].worse == ()
    assert wire.to_json(found[1])["figures"]["accuracy"].keys() >= {"value", "low", "high"}


def test_small_groups_and_single_groups_are_left_out():
    values = np.tile([0, 1], 20)
    chances = np.tile([0.5, 0.5], (40, 1))
    facts = [{"sex": "F" if each < 35 else "M"} for each in range(40)]
    assert subgroups.table(BINARY, values, chances, values, np.arange(40), facts) == []
    assert subgroups.table(BINARY, values, chances, values, np.arange(40), [{}] * 40) == []
