from __future__ import annotations

import numpy as np
import pytest
import torch

from medloop.networks.heads import masks
from medloop.types import UNKNOWN


def _truth(count=3, side=8):
    truth = np.random.default_rng(0).integers(0, 3, (count, side, side), dtype=np.uint8)
    truth[:, :2] = UNKNOWN
    return torch.from_numpy(truth)


def _scores(truth, sure):
    kinds = torch.where(truth == UNKNOWN, 0, truth).long()
    return (sure * torch.nn.functional.one_hot(kinds, 3)).movedim(-1, 1).float().requires_grad_()


def test_the_right_answer_costs_nothing_and_no_answer_what_chance_costs():
    truth = _truth()
    assert float(masks.loss(_scores(truth, 50.0), truth).detach()) == pytest.approx(0, abs=1e-6)
    known = truth != UNKNOWN
    count, sizes = int(known.sum()), [int(((truth == kind) & known).sum()) for kind in (1, 2)]
    dice = np.mean([1 - (2 * size / 3 + 1) / (size + count / 3 + 1) for size in sizes])
    assert float(masks.loss(_scores(truth, 0.0), truth).detach()) == pytest.approx(np.log(3) + dice, rel=1e-5)


def test_what_is_unknown_has_no_slope():
    truth = _truth()
    scores = _scores(truth, 1.0)
    masks.loss(scores, truth).backward()
    unknown = (truth == UNKNOWN)[:, None].expand_as(scores)
    assert (scores.grad[unknown] == 0).all()
    assert (scores.grad[~unknown] != 0).all()
    nothing = torch.full_like(truth, UNKNOWN)
    scores.grad = None
    loss = masks.loss(scores, nothing)
    loss.backward()
    assert float(loss.detach()) == 0
    assert (scores.grad == 0).all()
    assert masks.known(torch.stack([truth[0], nothing[0]])).tolist() == [True, False]


def test_the_check_above_sees_unknown_taken_for_a_class(monkeypatch):
    monkeypatch.setattr(masks, "UNKNOWN", 254)
    scores = _scores(_truth(), 1.0)
    with pytest.raises((RuntimeError, IndexError)):
        masks.loss(scores, _truth())


def test_a_class_that_is_not_there_leaves_dice_to_the_others():
    truth = torch.zeros(2, 6, 6, dtype=torch.uint8)
    truth[:, :3] = 1
    scores = torch.zeros(2, 3, 6, 6)
    scores[:, 2] = -50
    scores[:, 1, :3] = scores[:, 0, 3:] = 50
    assert float(masks.loss(scores, truth)) == pytest.approx(0, abs=1e-6)


def test_volumes_cost_what_their_slices_cost():
    truth = _truth(4)
    scores = _scores(truth, 1.0).detach() + torch.linspace(0, 1, 8)
    deep = scores.reshape(2, 2, 3, 8, 8).transpose(1, 2)
    assert float(masks.loss(deep, truth.reshape(2, 2, 8, 8))) == pytest.approx(float(masks.loss(scores, truth)), rel=1e-5)


def _stripes(head, width, **shown):
    """Mean loss after learning where single columns are bright, from maps that say nothing of it."""
    columns = torch.arange(32) % 4 == 1
    pixels = torch.where(columns, 200.0, 50.0).expand(2, 1, 32, 32).contiguous()
    truth = columns.to(torch.uint8).expand(2, 32, 32).contiguous()
    values = torch.ones(2, width, 16, 16)
    optimiser = torch.optim.AdamW(head.parameters(), lr=0.02)
    for _ in range(40):
        optimiser.zero_grad()
        loss = masks.loss(head(values, pixels if shown else pixels.shape[-2:]), truth)
        loss.backward()
        optimiser.step()
    return float(loss.detach())


def test_the_fine_head_sees_what_lies_between_two_cells_of_the_maps():
    torch.manual_seed(0)
    assert _stripes(masks.FineMaskHead(16, 1, 1), 16, pixels=True) < 0.1
    assert _stripes(masks.MaskHead(16, 1), 16) > 0.9, "maps alone do not say it"
