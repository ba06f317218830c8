from __future__ import annotations

import numpy as np
import pytest

from medloop.networks import necks
from medloop.torch_compat import torch


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def test_means_and_deviations_of_regions():
    maps = [torch.rand(3, 2, 6, 4), torch.rand(3, 5, 3, 3)]
    pool = necks.Pool((2, 5), (1, 2))
    found = pool(maps)
    assert found.shape == (3, pool.width) == (3, 2 * 7 * 5)
    whole = maps[0].numpy()
    np.testing.assert_allclose(found[:, :2], whole.mean((2, 3)), rtol=1e-5)
    np.testing.assert_allclose(found[:, 2:4], whole.std((2, 3)), rtol=1e-4)
    lower_right = whole[:, :, 3:, 2:]
    np.testing.assert_allclose(found[:, 16:18], lower_right.mean((2, 3)), rtol=1e-5)


def test_means_and_deviations_where_a_guide_leads():
    maps, inside = [torch.rand(2, 3, 6, 4), torch.rand(2, 4, 3, 2)], torch.zeros(2, 2, 6, 4)
    inside[:, 0, 2:4, :2] = 1.0
    pool = necks.Pool((3, 4), (1,), 2)
    found = pool(maps, inside)
    assert found.shape == (2, pool.width) == (2, 2 * 7 * 3)
    np.testing.assert_allclose(found[:, :14], necks.Pool((3, 4))(maps), rtol=1e-5)
    part = maps[0][:, :, 2:4, :2].numpy()
    np.testing.assert_allclose(found[:, 14:17], part.mean((2, 3)), rtol=1e-4)
    np.testing.assert_allclose(found[:, 17:20], part.std((2, 3)), rtol=1e-3)
    np.testing.assert_allclose(found[:, 20:26], 0, atol=2e-3, err_msg="there is nothing in the second")
    np.testing.assert_allclose(found[:, 26:30], maps[1][:, :, 1, 0], rtol=1e-4)


def test_a_map_smaller_than_the_grid_still_has_every_region():
    found = necks.Pool((4,), (3,))([torch.rand(2, 4, 2, 1)])
    assert torch.isfinite(found).all()


def test_a_flat_map_has_a_gradient():
    maps = torch.ones(2, 3, 4, 4, requires_grad=True)
    necks.Pool((3,))([maps]).sum().backward()
    assert torch.isfinite(maps.grad).all()


def test_one_scale_for_every_number():
    features = torch.randn(50, 2, 3) * torch.tensor([1.0, 100.0, 0.0]) + torch.tensor([0.0, 7.0, 5.0])
    level = necks.Level(3)
    level.learn(features)
    found = level(features)
    np.testing.assert_allclose(found[..., :2].reshape(-1, 2).std(0, unbiased=False), 1, rtol=1e-4)
    assert (found[..., 2] == 0).all(), "a number that never changes says nothing"
    assert float(level(features * 1e6).abs().max()) <= 8


@pytest.mark.parametrize("name", necks.JOINS)
def test_a_join_learns_which_slice_matters(name):
    """Every slice has a sign; the answer is that of the one slice with a mark, which a plain mean cannot tell."""
    draw = np.random.default_rng(1)
    signs, marked = draw.choice([-1.0, 1.0], (600, 5)), draw.integers(5, size=600)
    marks = np.eye(5)[marked]
    rows = torch.from_numpy(np.stack([3 * marks, signs], axis=-1).astype(np.float32))
    wanted = torch.from_numpy((signs * marks).sum(1) > 0).float()
    layer = necks.join(name, rows.shape[-1])
    last = torch.nn.Linear(layer.width, 1)
    torch.nn.init.zeros_(last.weight)
    steps = torch.optim.Adam([*layer.parameters(), *last.parameters()], 0.02)
    for _ in range(80):
        steps.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(last(layer(rows[:400]))[:, 0], wanted[:400]).backward()
        steps.step()
    with torch.no_grad():
        right = float(((last(layer(rows[400:]))[:, 0] > 0) == (wanted[400:] > 0)).float().mean())
    assert right < 0.85 if name == "mean" else right > 0.95
    if name == "attention":
        with torch.no_grad():
            shares = layer.shares(rows)
        np.testing.assert_allclose(shares.sum(1), 1, rtol=1e-5)


def test_order_matters_to_the_recurrent_layer_only():
    rows = torch.randn(4, 5, 8)
    for name in necks.JOINS:
        layer = necks.join(name, 8)
        if name == "attention":
            torch.nn.init.normal_(layer.weight.weight)
        same = torch.allclose(layer(rows), layer(rows[:, [1, 0, 4, 3, 2]]), atol=1e-5)
        assert same == (name != "gru")
