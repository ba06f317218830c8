"""Checkpoints: whole or not there, and back as they were."""

import pytest
import torch

from medloop.errors import InputError
from medloop.learning import checkpoints, schedule
from medloop.learning.checkpoints import Checkpoint
from medloop.learning.plan import Plan
from tests.learning.lessons import Net, same


def stepped(net, plan, times=1):
    """An optimiser after so many steps on the network."""
    optimiser = schedule.optimiser(net.blocks(), plan)
    for _ in range(times):
        step(net, optimiser)
    return optimiser


def step(net, optimiser):
    optimiser.zero_grad()
    net.eval()(torch.linspace(0, 255, 2 * 144).reshape(2, 1, 12, 12)).square().sum().backward()
    optimiser.step()


def test_tensors_and_what_is_said_come_back(tmp_path):
    net = Net().to(memory_format=torch.channels_last)
    checkpoints.save(tmp_path, Checkpoint(1, {"history": []}, best=net.state_dict()))
    checkpoints.save(tmp_path, Checkpoint(2, {"history": [{"loss": 0.25}]}, net.state_dict(), average={"a": torch.ones(2, 3).T}))
    found = checkpoints.load(tmp_path)
    assert (found.epoch, found.said) == (2, {"history": [{"loss": 0.25}]})
    assert same(dict(found.net), dict(net.state_dict()))
    assert torch.equal(found.average["a"], torch.ones(3, 2))
    assert [path.name for path in tmp_path.iterdir()] == ["epoch-0002"]


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
def test_an_optimiser_goes_on_as_if_nothing_had_been(tmp_path, optimiser):
    plan = Plan(optimiser=optimiser, rate=0.01)
    unbroken = Net().to(memory_format=torch.channels_last)
    stepped(unbroken, plan, times=4)
    net = Net().to(memory_format=torch.channels_last)
    kept = checkpoints.optimiser_tensors(stepped(net, plan, times=2))
    checkpoints.save(tmp_path, Checkpoint(1, {}, net.state_dict(), kept))
    found = checkpoints.load(tmp_path)
    resumed = Net().to(memory_format=torch.channels_last)
    resumed.load_state_dict(found.net)
    again = schedule.optimiser(resumed.blocks(), plan)
    checkpoints.restore_optimiser(again, found.optimiser)
    for _ in range(2):
        step(resumed, again)
    assert same(resumed.state_dict(), unbroken.state_dict())
    assert not same(resumed.state_dict(), net.state_dict())


@pytest.mark.parametrize("name", ["net.safetensors", "state.json"])
def test_a_checkpoint_cut_short_is_passed_over(tmp_path, name):
    checkpoints.save(tmp_path, Checkpoint(1, {}, Net().state_dict()))
    path = tmp_path / "epoch-0001" / name
    path.write_bytes(path.read_bytes()[:-20])
    assert checkpoints.load(tmp_path) is None
    checkpoints.save(tmp_path, Checkpoint(1, {}, Net().state_dict()))
    assert checkpoints.load(tmp_path).epoch == 1


def test_nothing_is_there_when_writing_fails(tmp_path, monkeypatch):
    checkpoints.save(tmp_path, Checkpoint(1, {}, Net().state_dict()))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints, "write_json", full)
    with pytest.raises(InputError, match="No space is left"):
        checkpoints.save(tmp_path, Checkpoint(2, {}, Net().state_dict()))
    assert [path.name for path in tmp_path.iterdir()] == ["epoch-0001"]
    assert checkpoints.load(tmp_path).epoch == 1
