from __future__ import annotations

import math

import numpy as np
import pytest

from medloop.families import _sgd
from medloop.families._sgd import Plan, Views
from medloop.torch_compat import torch
from medloop.types import Target, TargetKind

WIDTH, COUNT = 24, 90
SEEN, HELD = np.arange(77), np.arange(77, COUNT)
NONE = np.arange(0)
TARGETS = {
    "two classes": Target(TargetKind.BINARY, ("no", "yes")),
    "three classes": Target(TargetKind.MULTICLASS, ("a", "b", "c")),
    "several labels": Target(TargetKind.MULTILABEL, ("left", "right")),
    "a number": Target(TargetKind.NUMBER),
}


def _values(target, draw):
    if target.kind is TargetKind.NUMBER:
        return draw.normal(size=COUNT)
    if target.kind is TargetKind.MULTILABEL:
        values = draw.integers(2, size=(COUNT, 2)).astype(np.float32)
        values[draw.random((COUNT, 2)) < 0.2] = np.nan
        return values
    return draw.integers(len(target.classes), size=COUNT)


@pytest.fixture(params=TARGETS)
def lesson(request):
    """A target and views of which the first number of each row follows the truth."""
    draw = np.random.default_rng(1)
    target = TARGETS[request.param]
    values = _values(target, draw)
    rows = draw.normal(size=(COUNT, 2, WIDTH)).astype(np.float32)
    rows[:, :, 0] += np.nan_to_num(values.reshape(COUNT, -1)[:, :1])
    return target, Views(rows, values)


def _torch_loss(target, scores, truth):
    if target.kind is TargetKind.NUMBER:
        return torch.nn.functional.mse_loss(scores[:, 0], torch.from_numpy(truth).float())
    if target.kind is TargetKind.MULTILABEL:
        known = torch.from_numpy(~np.isnan(truth))
        return torch.nn.functional.binary_cross_entropy_with_logits(scores[known], torch.from_numpy(truth)[known])
    return torch.nn.functional.cross_entropy(scores, torch.from_numpy(truth))


def _by_torch(target, views, plan, seed):
    """The same lesson by ``torch.optim.SGD``, from the same start and on the same batches: weights, and losses by epoch."""
    weights, bias = _sgd.start(WIDTH, max(1, len(target.classes)), seed)
    layer = torch.nn.Linear(*weights.shape)
    layer.load_state_dict({"weight": torch.from_numpy(weights.T.copy()), "bias": torch.from_numpy(bias)})
    optimiser = torch.optim.SGD(layer.parameters(), plan.rate, plan.momentum)
    losses = []
    for epoch in range(1, plan.epochs + 1):
        total = 0.0
        for rows, truth in views.batches(SEEN, plan.batch, np.random.default_rng((seed, epoch))):
            loss = _torch_loss(target, layer(torch.from_numpy(rows)), truth)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += float(loss.detach()) * len(rows)
        losses.append(total / len(SEEN))
    return layer.weight.detach().numpy().T, losses


def test_every_step_is_that_of_torch(lesson):
    target, views = lesson
    plan = Plan(rate=0.02, epochs=4)
    mine = _sgd.learn(views, SEEN, NONE, target, plan, 5)
    theirs, losses = _by_torch(target, views, plan, 5)
    np.testing.assert_allclose(mine.weights, theirs, atol=2e-6)
    np.testing.assert_allclose([row["loss"] for row in mine.history], losses, atol=1e-6)


def test_momentum_forgotten_is_caught_by_the_test_above(lesson, monkeypatch):
    target, views = lesson

    def without(self, *slopes):
        for what, slope in zip((self.weights, self.bias), slopes, strict=True):
            what -= self._rate * slope

    monkeypatch.setattr(_sgd._Pupil, "_step", without)
    plan = Plan(rate=0.02, epochs=4)
    mine = _sgd.learn(views, SEEN, NONE, target, plan, 5)
    assert np.abs(mine.weights - _by_torch(target, views, plan, 5)[0]).max() > 1e-3


def test_the_epoch_of_the_lowest_validation_loss_is_kept(lesson):
    target, views = lesson
    told = []
    layer = _sgd.learn(views, SEEN, HELD, target, Plan(rate=0.1, epochs=30), 0, told.append)
    assert tuple(told) == layer.history
    assert [row["epoch"] for row in told] == list(range(1, 31))
    losses = [row["validation_loss"] for row in told]
    assert layer.epoch == 1 + int(np.argmin(losses))
    kept, _ = _sgd.LOSSES[target.kind](layer.scores(views.plain(HELD)), views.values[HELD])
    assert kept == pytest.approx(min(losses), abs=1e-6)
    again = _sgd.learn(views, SEEN, HELD, target, Plan(rate=0.1, epochs=layer.epoch), 0)
    np.testing.assert_array_equal(again.weights, layer.weights)


def test_each_image_comes_once_an_epoch_in_views_and_an_order_drawn_anew():
    rows = np.arange(COUNT)[:, None, None] + 1000 * np.arange(4)[None, :, None] + np.zeros(3)
    views = Views(rows.astype(np.float32), np.arange(COUNT))
    epochs = []
    for epoch in range(40):
        batches = list(views.batches(SEEN, 16, np.random.default_rng((0, epoch))))
        assert [len(rows) for rows, _ in batches] == [16, 16, 16, 16, 13]
        seen, values = (np.concatenate(part) for part in zip(*batches, strict=True))
        np.testing.assert_array_equal(seen[:, 0] % 1000, values)
        np.testing.assert_array_equal(np.sort(values), SEEN)
        epochs.append((seen[:, 0] // 1000)[np.argsort(values)])
        assert (values != SEEN).any()
    shares = np.bincount(np.concatenate(epochs).astype(int), minlength=4) / (40 * len(SEEN))
    np.testing.assert_allclose(shares, 0.25, atol=0.04)
    assert all(len(set(drawn)) > 1 for drawn in np.transpose(epochs)), "every image is seen in several views"


def test_a_table_on_disk_gives_the_same(lesson, tmp_path):
    target, views = lesson
    np.save(tmp_path / "rows.npy", views.rows.reshape(COUNT, -1))
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r").reshape(COUNT, 2, WIDTH)
    one, two = (_sgd.learn(each, SEEN, HELD, target, Plan(epochs=3), 0) for each in (views, Views(mapped, views.values)))
    np.testing.assert_array_equal(one.weights, two.weights)


def test_the_start_is_kaiming_normal():
    weights, bias = _sgd.start(2000, 8, 0)
    assert weights.std() == pytest.approx(math.sqrt(2 / 2000), rel=0.02)
    assert abs(weights.mean()) < 0.001
    assert not bias.any()
    assert not np.array_equal(weights, _sgd.start(2000, 8, 1)[0])


def test_a_loss_that_is_no_number_ends_it_with_the_last_good_weights(lesson):
    target, views = lesson
    views.rows[5] *= 1e30
    layer = _sgd.learn(views, SEEN, HELD, target, Plan(rate=1e9, epochs=20), 0)
    assert layer.stopped == "nan"
    assert len(layer.history) < 20
    assert np.isfinite(layer.weights).all()


def test_unknown_labels_weigh_nothing():
    target = TARGETS["several labels"]
    values = np.full((4, 2), np.nan, np.float32)
    loss, slope = _sgd.LOSSES[target.kind](np.ones((4, 2), np.float32), values)
    assert loss == 0
    assert not slope.any()
    assert _sgd.hits(target, np.ones((4, 2), np.float32), values) is None
