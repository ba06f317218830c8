"""The quicker backward passes are the right ones."""

from contextlib import nullcontext

import pytest
import torch
from torch import nn

from medloop.learning import _depthwise
from medloop.learning._depthwise import QuickDepthwise

LAYERS = {
    "strides": lambda: nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=8, bias=False),
    "large": lambda: nn.Conv2d(8, 8, 5, padding=2, groups=8),
    "both": lambda: nn.Conv2d(8, 8, (5, 3), stride=(2, 1), groups=8),
    "named padding": lambda: nn.Conv2d(8, 8, 7, padding="same", groups=8),
    "dilated": lambda: nn.Conv2d(8, 8, 5, dilation=2, groups=8),
    "not depthwise": lambda: nn.Conv2d(8, 4, 3, stride=2),
}


def gradients(layer, *, quick, reduced=True):
    """Output, and the gradients of input, weight and bias."""
    pixels = torch.linspace(-1, 1, 2 * 8 * 14 * 14).sin().reshape(2, 8, 14, 14).requires_grad_()
    layer.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=reduced), QuickDepthwise() if quick else nullcontext():
        found = layer(pixels)
    (found.float() * torch.linspace(0, 1, found.numel()).reshape(found.shape)).sum().backward()
    return found.detach().float(), pixels.grad, *(each.grad.clone() for each in layer.parameters())


def error(found, wanted):
    return max(float((a - b).norm() / b.norm()) for a, b in zip(found, wanted, strict=True))


@pytest.fixture(params=LAYERS)
def layer(request):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return LAYERS[request.param]()


def test_gradients_are_those_of_float32_within_rounding(layer):
    plain = gradients(layer, quick=False, reduced=False)
    assert error(gradients(layer, quick=True), plain) < max(0.02, 1.5 * error(gradients(layer, quick=False), plain))


def test_nothing_changes_without_reduced_precision(layer):
    plain = gradients(layer, quick=False, reduced=False)
    assert all(torch.equal(a, b) for a, b in zip(gradients(layer, quick=True, reduced=False), plain, strict=True))


def test_a_wrong_gradient_would_be_seen(monkeypatch):
    layer = LAYERS["strides"]()
    plain = gradients(layer, quick=False, reduced=False)
    backward = _depthwise._Depthwise.backward
    monkeypatch.setattr(_depthwise._Depthwise, "backward", staticmethod(lambda ctx, g: backward(ctx, g * 1.05)))
    assert error(gradients(layer, quick=True), plain) > 0.02


def test_weights_that_stand_still_get_no_gradient():
    layer = LAYERS["strides"]()
    layer.weight.requires_grad_(False)
    with torch.autocast("cpu", torch.bfloat16), QuickDepthwise():
        found = layer(torch.ones(1, 8, 6, 6, requires_grad=True))
    found.sum().backward()
    assert layer.weight.grad is None
