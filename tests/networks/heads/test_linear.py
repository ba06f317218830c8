from __future__ import annotations

import pytest

from medloop.networks.heads import LinearHead
from medloop.torch_compat import torch


@pytest.mark.parametrize("columns", [1, 7])
def test_a_fresh_head_answers_at_the_scale_of_its_input(columns):
    torch.manual_seed(0)
    head = LinearHead(400, columns)
    scores = head(torch.randn(500, 400)).detach()
    assert scores.shape == (500, columns)
    assert 0.8 < float(scores.std()) < 1.2
    assert (head.linear.bias == 0).all()


def test_dropout_only_while_learning():
    torch.manual_seed(0)
    head, rows = LinearHead(30, 2, dropout=0.5), torch.randn(4, 30)
    assert not torch.equal(head(rows), head(rows))
    head.eval()
    assert torch.equal(head(rows), head(rows))
