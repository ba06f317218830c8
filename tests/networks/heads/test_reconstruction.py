from __future__ import annotations

import numpy as np
import pytest
import torch

from medloop.networks.heads import reconstruction
from medloop.networks.heads.reconstruction import grey, hide
from medloop.targets import reconstruction as without_torch


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


@pytest.mark.parametrize("shape", [(2, 3, 32, 40), (2, 1, 3, 28, 37)])
def test_a_model_is_asked_as_it_learnt(shape):
    """What is hidden of an image to predict its anomaly is what was hidden of it while it was learnt."""
    pixels, (high, wide) = _pixels(*shape), shape[-2:]
    for blocks in without_torch.quarters((-(-high // 16), -(-wide // 16))):
        shown, truth = hide(pixels, torch.from_numpy(blocks).expand(2, *blocks.shape))
        hidden = without_torch._spread(blocks, (high, wide))
        assert torch.equal(torch.from_numpy(without_torch.hide(pixels.numpy(), hidden)), shown)
        assert torch.equal(torch.from_numpy(hidden).expand(truth.shape), torch.isfinite(truth))
    assert torch.allclose(torch.from_numpy(without_torch.grey(pixels.numpy())), grey(pixels), atol=1e-5)


@pytest.mark.parametrize("size", [(7, 10), (28, 37), (33, 50)])
def test_errors_are_what_the_loss_counts(size):
    pixels, said = _pixels(2, 1, 28, 37), torch.zeros(2, 1, *size)
    blocks = torch.from_numpy(without_torch.quarters((2, 3)))
    costs = [float(reconstruction.loss(said, hide(pixels, each.expand(2, 2, 3))[1])) for each in blocks]
    found = without_torch.errors(lambda shown: np.zeros((len(shown), 1, *size), np.float32), pixels.numpy())
    assert found.shape == (2, 1, 28, 37)
    weights = np.array([without_torch._spread(each.numpy(), (28, 37)).mean() for each in blocks])
    assert found.mean() == pytest.approx(float(np.dot(weights, costs)), rel=0.1)
