"""Stages: which there are, how epochs are shared out, and that each starts from the weights of the one before."""

import dataclasses

import pytest
import torch

from medloop.learning import stages
from medloop.learning.stages import JOINT, STAGES
from tests.learning.lessons import PLAN, Net, lesson, same


@pytest.mark.parametrize("epochs", range(1, 12))
@pytest.mark.parametrize("targets", [("classes",), ("masks",), ("classes", "masks"), ("classes", "masks", "embedding")])
def test_epochs_are_shared_out_and_none_is_lost(epochs, targets):
    found = stages.parts(STAGES, targets, epochs)
    assert sum(count for _, count in found) == epochs
    assert all(count >= 1 for _, count in found)
    assert found[-1][0].targets >= set(targets)


def test_a_stage_in_which_nothing_new_is_learnt_is_left_to_the_next():
    assert [stage.name for stage, _ in stages.parts(STAGES, ("classes",), 9)] == ["decision"]
    assert [stage.name for stage, _ in stages.parts(STAGES, ("classes", "masks"), 9)] == ["global", "local", "decision"]
    assert [stage.name for stage, _ in stages.parts(JOINT, ("classes", "masks"), 9)] == ["joint"]


def test_each_stage_starts_from_the_weights_of_the_one_before():
    net, begun = Net(), []

    def of(stage, plan):
        begun.append({name: each.clone() for name, each in net.state_dict().items()})
        return lesson(net=net, plan=plan, validation=None)

    trained = stages.train(of, STAGES, dataclasses.replace(PLAN, epochs=4, kept="last"), ("classes", "masks"))
    assert [row["stage"] for row in trained.history] == ["global", "local", "decision", "decision"]
    assert [row["epoch"] for row in trained.history] == [1, 2, 3, 4]
    assert trained.best_epoch == 4
    assert same(net.state_dict(), trained.state)
    alone = Net()
    first = stages.train_one(lesson(net=alone, plan=dataclasses.replace(PLAN, epochs=1, kept="last"), validation=None))
    assert same(begun[1], first.state)
    assert not same(begun[0], begun[1])
    assert not same(begun[1], begun[2])
    assert torch.isfinite(trained.state["head.weight"]).all()
