"""Parts of a batch in threads: what the whole teaches, to the last bit however the threads run, after a kill too."""

import dataclasses
import multiprocessing
import signal
import threading
import time

import pytest
import torch
from torch import nn

from medloop.learning import _abreast
from medloop.learning._abreast import ABREAST, Draws, abreast, cut
from medloop.learning.fitting import train
from medloop.networks.depth import timm
from tests.learning import lessons
from tests.learning.lessons import PLAN, Ear, Net, lesson, noisy, same

KEPT = dataclasses.replace(PLAN, norms="keep", at_once=8)
APART = {"plan": KEPT, "seen": 10_000, "apart": True}


@pytest.fixture(autouse=True)
def _two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def unbroken():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield train(lesson(**APART))
    torch.set_num_threads(before)


def test_parts_abreast_learn_what_the_whole_does():
    plan = dataclasses.replace(KEPT, optimiser="sgd", average="none", at_once=0)
    whole = train(lesson(plan=plan, net=Net(dropout=0.0)))
    abreast = train(lesson(**(APART | {"plan": dataclasses.replace(plan, at_once=8)}), net=Net(dropout=0.0)))
    assert not same(whole.state, abreast.state)
    for name, each in whole.state.items():
        torch.testing.assert_close(abreast.state[name], each, rtol=1e-4, atol=1e-6)
    assert [row["loss"] for row in abreast.history] == pytest.approx([row["loss"] for row in whole.history], rel=1e-4)


def late(places):
    """An augmentation in which the parts at these places of an epoch wait: others overtake them. It notes who does the work."""
    workers = set()

    def augment(pixels, targets, epoch, first):
        workers.add(threading.current_thread().name)
        if first in places:
            time.sleep(0.05)
        return noisy(pixels, targets, epoch, first)

    return augment, workers


def test_the_same_bytes_whichever_thread_is_first(unbroken):
    for places in ({0, 15, 30}, {3, 18, 33}):
        augment, workers = late(places)
        assert same(train(lesson(**APART, augment=augment)).state, unbroken.state)
        assert workers == {"part_0", "part_1"}
    assert not same(train(lesson(**APART, seed=1)).state, unbroken.state)


def test_the_same_bytes_on_one_core(unbroken):
    torch.set_num_threads(1)
    assert same(train(lesson(**APART)).state, unbroken.state)


def test_gradients_added_in_another_order_would_be_seen(unbroken, monkeypatch):
    added = _abreast._added
    monkeypatch.setattr(_abreast, "_added", lambda trained, found: added(trained, found[::-1]))
    assert not same(train(lesson(**APART)).state, unbroken.state)


def test_a_killed_training_goes_on_to_the_same_weights(unbroken, tmp_path):
    start = {"target": lessons.learn_and_die, "args": (tmp_path, 2), "kwargs": APART}
    process = multiprocessing.get_context("spawn").Process(**start)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    ear = Ear()
    assert same(train(lesson(**APART, folder=tmp_path, tell=ear)).state, unbroken.state)
    assert ear.said == ["Training goes on after epoch 1 of 3."]


class Noisy(Net):
    """Draws in a way that is not known."""

    def forward(self, pixels):
        return super().forward(pixels + torch.randn(pixels.shape))


def test_what_draws_from_the_global_generator_goes_one_after_another():
    one = train(lesson(**APART, net=Noisy()))
    assert same(one.state, train(lesson(**(APART | {"apart": False}), net=Noisy())).state)
    assert not same(one.state, train(lesson(**APART)).state)


def test_batch_norms_that_learn_see_the_whole_batch():
    plan = dataclasses.replace(PLAN, norms="learn")
    one = train(lesson(**(APART | {"plan": plan})))
    assert one.batch == 16
    assert same(one.state, train(lesson(plan=plan)).state)


def test_a_full_memory_halves_and_the_plan_repeats_it():
    ear = Ear()
    wide = dataclasses.replace(KEPT, at_once=0)
    trained = train(lesson(**(APART | {"plan": wide}), net=Net(room=7), tell=ear, validation=None, score=None))
    assert [text.split(":")[0] for text in ear.said] == ["Memory does not hold 15 images at once"]
    assert trained.plan == KEPT
    assert same(trained.state, train(lesson(**APART, validation=None, score=None)).state)


def test_threads_are_given_back_and_errors_come_through():
    with abreast(True) as threads:
        assert threads is not None
        weight = nn.Parameter(torch.ones(2))
        seen = []

        def loss(part):
            seen.append(torch.get_num_threads())
            if part < 0:
                raise ValueError("no such part")
            return (weight * part).sum()

        assert float(threads.gradients([weight], [1, 2, 3], loss)) == 12
        assert weight.grad.tolist() == [6, 6]
        assert set(seen) == {1}
        with pytest.raises(ValueError, match="no such part"):
            threads.gradients([weight], [1, -1], loss)
    assert torch.get_num_threads() == 2
    with abreast(False) as threads:
        assert threads is None


def test_parts_are_of_two_images_or_more():
    assert [cut(16, at_once) for at_once in (16, 15, 8, 4, 3)] == [2, 4, 4, 8, 8]
    assert [cut(count, 2 * ABREAST) for count in (1, 2, 3, 5)] == [1, 1, 1, 2]


@pytest.mark.parametrize("layer", [nn.Dropout(0.5), nn.Dropout(0.5, inplace=True), timm.layers.DropPath(0.5)])
def test_draws_come_from_their_own_seed(layer):
    def drawn(seed, rows=2000):
        with Draws(seed):
            return layer.train()(torch.ones(rows, 1))

    before = torch.get_rng_state()
    one = drawn(1)
    assert torch.equal(one, drawn(1))
    assert not torch.equal(one, drawn(2))
    assert set(one.flatten().tolist()) == {0.0, 2.0}
    assert 0.9 < float(one.mean()) < 1.1
    assert torch.equal(before, torch.get_rng_state())
    with Draws(1):
        assert torch.equal(layer.eval()(torch.ones(5, 1)), torch.ones(5, 1))
