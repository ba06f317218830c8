"""Findings that touch are told apart where they have a neck, by a neck that is learnt, and what is one stays one."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import ndimage

from medloop.targets import _apart, masks
from medloop.targets._components import parts
from medloop.targets.masks import Cleaning

THICK = (4.0, 2.0, 2.0)


def balls(gap, radii=(20.0, 16.0), spacing=THICK):
    """Balls side by side along x, ``gap`` mm apart (below 0 they reach into each other), and each ball's own voxels."""
    shape = tuple(int(100 / step) for step in spacing)
    grid = [(np.arange(side) + 0.5) * step - 50 for side, step in zip(shape, spacing, strict=True)]
    z, y, x = np.meshgrid(*grid, indexing="ij")
    own = [np.sqrt(z**2 + y**2 + (x - at) ** 2) < radius for at, radius in zip((-20, -20 + sum(radii) + gap), radii, strict=True)]
    return own[0] | own[1], own


def count(mask):
    return len(parts(mask)[1]) - 1


@pytest.mark.parametrize("spacing", [THICK, (1.5, 2.5, 2.5), (2.0, 2.0, 2.0)])
def test_balls_that_reach_into_each_other_are_two(spacing):
    both, own = balls(-3, spacing=spacing)
    cut = both & ~_apart.cuts(both, 0.75, spacing)
    assert count(both) == 1
    assert count(cut) == 2
    assert cut.sum() > 0.9 * both.sum()
    labels = parts(cut)[0]
    for ball in own:
        inside = labels[ball & cut]
        assert (inside == np.bincount(inside).argmax()).mean() > 0.97


def test_what_is_one_stays_one():
    one = balls(-30)[0]
    egg = ndimage.binary_dilation(one, iterations=2)
    for neck in _apart.NECKS[:-1]:
        assert not _apart.cuts(one, neck, THICK).any()
        assert not _apart.cuts(egg, neck, THICK).any()
    assert not _apart.cuts(balls(-3)[0], 0.0, THICK).any()
    assert not _apart.cuts(np.zeros((3, 4, 5), bool), 0.8).any()


def test_several_necks_at_once_cut_as_each_alone():
    rng = np.random.default_rng(5)
    rough = ndimage.gaussian_filter(rng.normal(size=(12, 60, 60)), 3)
    ragged = rough > np.quantile(rough, 0.6)
    for there in (balls(-3)[0], balls(-9)[0], ragged):
        each = [_apart.cuts(there, neck, THICK) for neck in (0.0, *_apart.NECKS)]
        np.testing.assert_array_equal(_apart.cuts_at(there, (0.0, *_apart.NECKS), THICK), each)
    assert len({int(one.sum()) for one in each}) > 3, "the necks differ"


def test_a_flat_mask_is_cut_too():
    both = balls(-3)[0][12:13]
    assert count(both) == 1
    assert count(both & ~_apart.cuts(both, 0.8, THICK)) == 2


def test_parts_are_held_against_parts():
    both, (first, second) = balls(4)
    assert _apart.likeness(both, both) == 1
    assert _apart.likeness(both, first) == pytest.approx(2 / 3)
    assert _apart.likeness(both, 0 * both) == 0
    assert np.isnan(_apart.likeness(0 * both, 0 * both))
    bridge = ndimage.binary_closing(both, iterations=4)
    assert _apart.joined(both, bridge)
    assert not _apart.joined(both, both)
    assert _apart.likeness(both, bridge) < 0.6
    assert _apart.likeness(both, bridge) < _apart.likeness(both, second)


def cases(gap=3.0):
    """Scores of balls that see no gap of a few millimetres."""
    found = []
    for radii in ((20.0, 16.0), (14.0, 15.0), (22.0, 10.0)):
        truth = balls(gap, radii)[0]
        chance = np.where(ndimage.binary_closing(truth, iterations=2), 0.9, 0.1).astype(np.float32)
        found.append((np.stack([1 - chance, chance]), truth.astype(np.uint8)))
    return found


def test_the_neck_is_learnt_where_neighbours_are_joined(monkeypatch):
    learnt = masks.learn_cleaning(cases(), [THICK] * 3)
    assert learnt.necks[0] in _apart.NECKS
    assert Cleaning.from_json(json.loads(json.dumps(learnt.to_json()))) == learnt
    for scores, _ in cases():
        plain = masks.clean(scores, Cleaning(learnt.thresholds, learnt.smallest), THICK)
        assert count(plain > 0) == 1
        assert count(masks.clean(scores, learnt, THICK) > 0) == 2
    assert masks.learn_cleaning(cases(gap=12.0), [THICK] * 3).necks == (), "nothing is joined"
    monkeypatch.setattr(_apart, "cuts_at", lambda there, necks, *_: np.zeros((len(necks), *there.shape), bool))
    assert masks.learn_cleaning(cases(), [THICK] * 3).necks == (), "cuts that cut nothing are noticed"


def test_a_cleaning_from_before_there_were_cuts_cuts_nothing():
    old = {"thresholds": [0.4], "smallest": [3], "before": 0.5, "after": 0.6}
    assert Cleaning.from_json(old) == Cleaning((0.4,), (3,), 0.5, 0.6)


def test_ragged_masks_are_cut_soon() -> None:
    """On this one the watershed's own lines, as scikit-image draws them, do not come to an end."""
    draw = np.random.default_rng(168)
    noise = draw.normal(size=(1, 120, 120))
    noise = ndimage.gaussian_filter(noise, (0, draw.uniform(1, 12), draw.uniform(1, 12)))
    there = noise > np.quantile(noise, draw.uniform(0.3, 0.95))
    line = _apart.cuts(there, 0.9)
    assert line.any()
    assert len(parts(there & ~line)[1]) > len(parts(there)[1])
