"""Penalties pull probabilities to where the rules hold, and agree with the checks."""

from __future__ import annotations

import numpy as np
import pytest

from medloop.networks.heads import rules as head
from medloop.targets import measures, rules
from medloop.torch_compat import torch
from medloop.types import Findings, Target, TargetKind

MASKS = Target(TargetKind.MASKS, ("liver", "tumour"), "masks")
SPACING = (1.0, 2.0, 2.0)
UNKNOWN = (np.nan, np.nan, np.nan)


def _rule(body, flat=False):
    return rules.parse(f'[[rule]]\nname = "n"\n{body}', [MASKS], flat)


def _scores(mask):
    """Scores of a network that is sure."""
    return torch.stack([torch.from_numpy(mask == value) for value in range(3)])[None].float() * 16


def _cost(parsed, scores, spacing=SPACING):
    return head.loss(scores, rules.penalties(parsed), torch.tensor([spacing]))


BODIES = [
    'measure = "tumour volume"\nat_most = 0.05\nunit = "ml"',
    'measure = "tumour volume"\nat_least = 2\nunit = "ml"',
    'inside = { what = "tumour", of = "liver", share = 0.9 }',
    'fraction = { what = "tumour", of = "liver" }\nat_most = 0.1',
    'fraction = { what = "tumour", of = "liver" }\nat_least = 0.4',
    'count = "tumour"\nat_most = 0',
]


def _anatomy():
    """A liver with a tumour in it, and one beside it."""
    mask = np.zeros((8, 20, 20), np.uint8)
    mask[1:7, 3:13, 3:13] = 1
    mask[2:5, 6:10, 6:10] = 2
    mask[2:5, 15:18, 15:18] = 2
    return mask


def _breaks(parsed, mask):
    return bool(rules.check(parsed, Findings("case", mask=mask, measures=measures.measure(mask, SPACING, MASKS.classes)), SPACING))


@pytest.mark.parametrize("body", BODIES)
def test_what_a_rule_costs_teaches_to_obey_it(body):
    """In expectation; and but for the least fraction, which many doubts make up together, also in the mask."""
    parsed, scores = _rule(body), (_scores(_anatomy()) / 4).requires_grad_()
    optimiser = torch.optim.Adam([scores], lr=0.1)
    assert _breaks(parsed, _anatomy())
    first = float(_cost(parsed, scores).detach())
    for _ in range(100):
        optimiser.zero_grad()
        cost = _cost(parsed, scores)
        cost.backward()
        optimiser.step()
    assert float(cost.detach()) < 0.3 * first
    mask = scores.detach()[0].argmax(dim=0).numpy().astype(np.uint8)
    assert "at_least = 0.4" in body or not _breaks(parsed, mask)


@pytest.mark.parametrize("body", BODIES)
def test_a_rule_that_holds_costs_nothing(body):
    mask = _anatomy()
    if body.startswith("inside"):
        mask[:, 14:] = 0
    elif "at_most" in body:
        mask[mask == 2] = 1
    else:
        mask[mask == 1] = 2
    parsed = _rule(body)
    assert not _breaks(parsed, mask)
    assert float(_cost(parsed, _scores(mask))) == pytest.approx(0, abs=2e-3)
    assert float(_cost(parsed, _scores(_anatomy()))) > 0.01


def test_without_a_spacing_a_bound_in_mm_costs_nothing():
    parsed = _rule(BODIES[0])
    assert float(_cost(parsed, _scores(_anatomy()))) > 0
    assert float(_cost(parsed, _scores(_anatomy()), UNKNOWN)) == 0
    assert float(_cost(_rule(BODIES[3]), _scores(_anatomy()), UNKNOWN)) > 0


def test_physical_units_count():
    """The same voxels, four times as large in volume."""
    parsed = _rule('measure = "tumour volume"\nat_most = 0.5\nunit = "ml"')
    assert float(_cost(parsed, _scores(_anatomy()))) == 0
    assert float(_cost(parsed, _scores(_anatomy()), (4.0, 2.0, 2.0))) > 0


def test_pictures_have_areas():
    parsed = _rule('measure = "tumour area"\nat_most = 40\nunit = "mm2"', flat=True)
    flat = _scores(_anatomy()[3])
    assert float(_cost(parsed, flat)) > 0
    assert float(_cost(parsed, flat, (7.0, 1.0, 1.0))) == 0


def test_weights_and_no_rules():
    light = _rule(BODIES[3] + "\nweight = 0.5")
    assert float(_cost(light, _scores(_anatomy()))) == pytest.approx(0.5 * float(_cost(_rule(BODIES[3]), _scores(_anatomy()))))
    scores = _scores(_anatomy()).requires_grad_()
    nothing = head.loss(scores, (), torch.tensor([SPACING]))
    nothing.backward()
    assert float(nothing.detach()) == 0
    assert not scores.grad.any()


@pytest.mark.parametrize("shape", [(5, 7, 6), (1, 9, 8)])
def test_enclosed_is_that_of_the_check(shape):
    there = np.random.default_rng(0).random((4, *shape)) < 0.25
    expected = np.stack([rules.enclosed(each) for each in there])
    assert 0.3 < expected.mean() < 1
    np.testing.assert_array_equal(head.enclosed(torch.from_numpy(there).float()).numpy() > 0.5, expected)
