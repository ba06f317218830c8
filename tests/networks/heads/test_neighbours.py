"""Slices that lie side by side are told alike where nothing changes between them."""

from __future__ import annotations

import pytest
import torch

from medloop.networks.heads import neighbours
from medloop.types import UNKNOWN


def volume(*slices):
    """``(1, Z, 4, 4)`` of whole slices of one value each."""
    return torch.stack([torch.full((4, 4), value, dtype=torch.uint8) for value in slices])[None]


def scores(*sure):
    """``(1, 2, Z, 4, 4)``: how sure each slice is of the class."""
    one = torch.tensor(sure, dtype=torch.float32)[:, None, None].expand(len(sure), 4, 4)
    return torch.stack([torch.zeros_like(one), one])[None].requires_grad_()


def test_a_jump_costs_what_moves_and_no_jump_costs_nothing():
    truth = volume(1, 1, 1)
    assert float(neighbours.loss(scores(3.0, 3.0, 3.0), truth).detach()) == 0
    jump = float(neighbours.loss(scores(40.0, -40.0, -40.0), truth).detach())
    assert jump == pytest.approx(0.5)
    told = scores(1.0, -1.0, 1.0)
    neighbours.loss(told, truth).backward()
    assert (told.grad[0, 1, 1] < 0).all(), "the slice between is drawn to its neighbours"
    assert (told.grad[0, 1, 0] > 0).all()


def test_where_the_truth_changes_or_is_unknown_nothing_is_asked():
    for truth in (volume(1, 0, 1), volume(UNKNOWN, UNKNOWN, UNKNOWN), volume(1, UNKNOWN, 1)):
        told = scores(3.0, -3.0, 3.0)
        loss = neighbours.loss(told, truth)
        loss.backward()
        assert float(loss.detach()) == 0
        assert (told.grad == 0).all()
        assert neighbours.known(truth).tolist() == [False]
    assert neighbours.known(torch.cat([volume(1, 1), volume(1, 0)])).tolist() == [True, False]


def test_the_check_above_sees_unknown_taken_for_known(monkeypatch):
    monkeypatch.setattr(neighbours, "UNKNOWN", 254)
    told = scores(3.0, -3.0, 3.0)
    assert float(neighbours.loss(told, volume(UNKNOWN, UNKNOWN, UNKNOWN)).detach()) > 0.5
