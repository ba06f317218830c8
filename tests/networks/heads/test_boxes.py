"""The head for boxes learns to find, and what is unknown teaches nothing."""

from __future__ import annotations

import numpy as np
import pytest

from medloop.evaluation import detection, matching
from medloop.networks import onnx
from medloop.networks.heads import boxes as head
from medloop.networks.pyramid import Mix
from medloop.targets import boxes
from medloop.targets.boxes import Boxes
from medloop.torch_compat import torch

STRIDE, SIDE = 8, 48


class Small(torch.nn.Module):
    """Patches of 8 by 8 pixels, seen with their neighbours, under the head."""

    def __init__(self):
        super().__init__()
        self.patches = torch.nn.Conv2d(3, 32, STRIDE, STRIDE)
        self.mix = Mix(32)
        self.head = head.BoxHead(32, 2, STRIDE)

    def forward(self, pixels):
        return self.head(self.mix(self.patches(pixels.float() / 255)))


def _marked(pictures):
    """Each picture with a red square or a green oblong in it: pixels and boxes."""
    draw = np.random.default_rng(0)
    pixels, marked = pictures.copy(), []
    for number, picture in enumerate(pixels):
        kind = number % 2
        y, x = (int(each) for each in draw.integers(2, 24, 2))
        high, wide = ((14, 14), (10, 20))[kind]
        picture[:, y : y + high, x : x + wide] = np.array([(255, 0, 0), (0, 255, 0)][kind])[:, None, None]
        marked.append(Boxes.of(np.array([[0, y, x, 1, y + high, x + wide]]), np.array([kind])))
    return pixels, marked


def _wanted(marked, known=None):
    cells = SIDE // STRIDE
    maps = boxes.encode(marked, np.ones(len(marked)) if known is None else known, 2, (cells, cells), STRIDE)
    return tuple(torch.from_numpy(each) for each in (maps.centres, maps.sizes, maps.weights, maps.known))


def _decoded(net, pixels):
    with torch.no_grad():
        centres, sizes = (each.float().numpy() for each in net.eval()(torch.from_numpy(pixels)))
    return [boxes.decode(centre, size, STRIDE, (SIDE, SIDE)) for centre, size in zip(centres, sizes, strict=True)]


def test_it_learns_to_find(pictures):
    torch.manual_seed(0)
    pixels, marked = _marked(pictures)
    net, wanted = Small(), _wanted(marked)
    optimiser = torch.optim.AdamW(net.parameters(), lr=5e-3)
    for _ in range(150):
        optimiser.zero_grad()
        cost = head.loss(net(torch.from_numpy(pixels)), wanted)
        cost.backward()
        optimiser.step()
    cases = [matching.match(truth, found, 2) for truth, found in zip(marked, _decoded(net, pixels), strict=True)]
    figures = detection.score(("a", "b"), cases, np.arange(len(cases)))
    assert figures["map50"].value > 0.95
    assert figures["shown_false"].value == 0


def test_at_first_a_centre_is_rare_and_sizes_are_positive(pictures):
    torch.manual_seed(0)
    centres, sizes = Small()(torch.from_numpy(pictures))
    assert centres.shape == (6, 2, 6, 6)
    assert sizes.shape == (6, 4, 6, 6)
    assert 0.005 < float(centres.detach().sigmoid().mean()) < 0.02
    assert bool((sizes > 0).all())


def test_what_was_taught_costs_least(pictures):
    centres, sizes, *_ = wanted = _wanted(_marked(pictures)[1])
    right = (torch.where(centres == 1, 12.0, -12.0), sizes.clamp(min=1e-3))
    least = float(head.loss(right, wanted))
    assert least < 1e-3
    assert float(head.loss((right[0], right[1] * 1.5), wanted)) > least + 0.3
    assert float(head.loss((-right[0], right[1]), wanted)) > least + 1


def _teaches(known):
    """Whether what is said of the second case moves the loss."""
    two = [Boxes.of(np.array([[0, 4, 4, 1, 30, 30]]), np.array([0]))] * 2
    wanted = _wanted(two, known)
    centres, sizes = torch.zeros(2, 2, 6, 6, requires_grad=True), torch.full((2, 4, 6, 6), 9.0, requires_grad=True)
    head.loss((centres, sizes), wanted).backward()
    return bool(centres.grad[1].any() or sizes.grad[1].any())


def test_unknown_cases_cost_nothing():
    assert _teaches(np.array([True, True]))
    assert not _teaches(np.array([True, False]))
    nobody = _wanted([Boxes.none()] * 2, np.zeros(2))
    assert float(head.loss((torch.zeros(2, 2, 6, 6), torch.ones(2, 4, 6, 6)), nobody)) == 0


def test_a_known_case_without_a_box_teaches_that_nothing_is_there():
    centres = torch.zeros(1, 2, 6, 6, requires_grad=True)
    head.loss((centres, torch.ones(1, 4, 6, 6)), _wanted([Boxes.none()])).backward()
    assert bool((centres.grad > 0).all())


def test_volumes_cost_what_their_slices_cost(pictures):
    _, marked = _marked(pictures)
    flat = _wanted(marked)
    torch.manual_seed(0)
    centres, sizes = torch.randn(6, 2, 6, 6), torch.rand(6, 4, 6, 6) * 20
    solid = [each.transpose(0, 1)[None] for each in (centres, sizes, flat[0], flat[1])]
    wanted = (solid[2], solid[3], flat[2][None], torch.ones(1, dtype=torch.bool))
    assert float(head.loss((solid[0], solid[1]), wanted)) == pytest.approx(float(head.loss((centres, sizes), flat)), rel=1e-5)


def test_half_precision_stays_finite(pictures):
    torch.manual_seed(0)
    pixels, marked = _marked(pictures)
    net = Small()
    with torch.autocast("cpu", torch.bfloat16):
        answers = net(torch.from_numpy(pixels))
    assert answers[1].dtype == torch.float32
    cost = head.loss(answers, _wanted(marked))
    cost.backward()
    assert bool(torch.isfinite(cost))
    assert all(bool(torch.isfinite(each.grad).all()) for each in net.parameters())


def test_it_can_be_written_as_onnx(pictures):
    torch.manual_seed(0)
    net = Small()
    written = onnx.write(net, (3, SIDE, SIDE), ("centres", "sizes"))
    assert onnx.check(written, net, pictures) < onnx.TOLERANCE
