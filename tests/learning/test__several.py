"""Training in two processes: the gradients of one process with the whole batch, and what they tell comes through."""

import multiprocessing

import numpy as np
import pytest
import torch

from medloop.errors import InputError
from medloop.learning import _several
from medloop.learning._several import Teller
from medloop.learning.devices import Place
from medloop.learning.fitting import train
from medloop.learning.plan import Plan
from tests.learning.lessons import Ear, Net, lesson

PLAN = Plan(epochs=2, batch=16, rate=0.1, head_rate=2.0, norms="keep", optimiser="sgd", clip=1.0, unfreeze_every=1, precision="32")


def given(**changes):
    return lesson(net=Net(dropout=0.0), plan=PLAN, **changes)


def furthest(one, other):
    return max(float((one[name] - other[name]).abs().max()) for name in one)


def test_two_processes_learn_what_one_does_with_the_whole_batch():
    ear = Ear()
    both = given(device="cpu*2", tell=ear)
    together, alone = train(both), train(given())
    assert furthest(together.state, alone.state) < 1e-5
    half = train(given(order=lambda epoch: np.random.default_rng(epoch).permutation(60)[:30]))
    assert furthest(half.state, alone.state) > 1e-3, "gradients of half the cases would be seen"
    for one, other in zip(together.history, alone.history, strict=True):
        assert one["score"] == other["score"]
        assert one["loss"] == pytest.approx(other["loss"], abs=1e-5)
        assert one["validation_loss"] == pytest.approx(other["validation_loss"], abs=1e-5)
    assert (together.plan, together.batch, together.stopped) == (alone.plan, alone.batch, alone.stopped)
    assert ear.done == ear.total == 8
    assert torch.equal(both.net.state_dict()["head.weight"], together.state["head.weight"])


def test_no_process_goes_without_cases():
    with pytest.raises(InputError) as error:
        train(given(device="cpu*16"))
    assert error.value.code == "too-many-processes"


def broken(pixels, targets, epoch, first):
    """Memory is never enough."""
    raise RuntimeError("DefaultCPUAllocator: not enough memory")


def test_what_a_process_tells_and_what_goes_wrong_there_is_heard(tmp_path):
    queue = multiprocessing.get_context("spawn").SimpleQueue()
    with pytest.raises(InputError):
        _several._process(given(tell=Teller(queue), augment=broken), tmp_path, Place("cpu").fabric())
    queue.put(None)
    ear, errors = Ear(), []
    _several._listen(queue, ear, errors)
    assert ear.total == 8
    assert [text.split(":")[0] for text in ear.said] == [f"Memory does not hold {n} images at once" for n in (15, 8, 4)]
    assert [error.code for error in errors] == ["out-of-memory"]
    assert not list(tmp_path.iterdir())
