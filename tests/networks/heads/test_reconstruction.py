from __future__ import annotations

import pytest
import torch

from medloop.networks.heads import reconstruction
from medloop.networks.heads.reconstruction import grey, hide, quarters


def _pixels(*shape):
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("shape", [(2, 3, 16, 24), (2, 1, 3, 16, 24)])
def test_what_is_hidden_is_told_and_nothing_else(shape):
    pixels, blocks = _pixels(*shape), torch.zeros(2, 2, 3, dtype=torch.bool)
    blocks[0, 1, 2] = True
    shown, truth = hide(pixels, blocks)
    assert shown.dtype == pixels.dtype
    assert torch.equal(shown[1], pixels[1])
    hidden = shown[0] != pixels[0]
    assert not hidden[..., :8, :].any()
    assert not hidden[..., :16].any()
    assert hidden[..., 8:, 16:].float().mean() > 0.9
    assert torch.isfinite(truth[0, ..., 8:, 16:]).all()
    assert int(torch.isfinite(truth).sum()) == truth[0, ..., 8:, 16:].numel()
    assert torch.equal(truth[0, ..., 8:, 16:], grey(pixels)[0, ..., 8:, 16:])
    assert reconstruction.known(truth).tolist() == [True, False]


def test_brightness_and_contrast_change_nothing():
    pixels = _pixels(2, 1, 8, 8).float()
    assert torch.allclose(grey(pixels), grey(pixels * 40 + 700), atol=0.03)


@pytest.mark.parametrize("shape", [(2, 16, 24), (2, 3, 16, 24)])
def test_only_what_was_hidden_costs(shape):
    truth = torch.full(shape, torch.nan)
    truth[0, ..., :8, :8] = 0.5
    outputs = torch.zeros(2, 1, *shape[1:-2], 4, 6, requires_grad=True)
    loss = reconstruction.loss(outputs, truth)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(0.5)
    assert (outputs.grad[0, ..., :2, :2] != 0).all()
    assert int((outputs.grad != 0).sum()) == outputs.grad[0, ..., :2, :2].numel()
    assert float(reconstruction.loss(outputs, torch.full(shape, torch.nan)).detach()) == 0


def test_quarters_hide_everything_once():
    found = quarters(5, 6)
    assert torch.equal(found.sum(dim=0), torch.ones(5, 6, dtype=torch.int64))
    assert int(found.flatten(1).sum(dim=1).min()) >= 4
