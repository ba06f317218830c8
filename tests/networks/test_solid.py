from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from medloop.errors import InputError
from medloop.learning.fitting import train
from medloop.learning.lesson import Cases, Lesson
from medloop.learning.plan import Plan
from medloop.networks import costs, onnx, solid
from medloop.networks.joint import Joint, JointSpec
from medloop.networks.multitask import MultitaskSpec
from medloop.networks.solid import Solid
from medloop.networks.solid_spec import SolidSpec

SMALL = SolidSpec(filters=4, levels=3)


def _balls(count=6):
    """``(N, 1, 9, 12, 10)`` uint8: balls of two sizes somewhere in noise, with their masks."""
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*[np.arange(side) for side in (9, 12, 10)], indexing="ij"))
    middle = rng.uniform(3, 6, (count, 3, 1, 1, 1))
    inside = ((grid - middle) ** 2).sum(axis=1) < np.where(np.arange(count) % 2, 9, 3)[:, None, None, None]
    pixels = rng.integers(0, 60, inside.shape) + 150 * inside
    return torch.from_numpy(pixels[:, None].astype(np.uint8)), torch.from_numpy(inside.astype(np.uint8))


class _Images:
    def __init__(self, pixels):
        self.pixels = pixels

    def take(self, indices):
        return self.pixels[indices]


def _net(spec=SMALL, **asked):
    torch.manual_seed(0)
    return Solid(solid.build(spec), MultitaskSpec(**asked)).eval()


@pytest.mark.parametrize("spec", [SMALL, SolidSpec(filters=4, levels=2, reduce=(1, 2, 2), blocks=(0, 1))], ids=["whole", "reduced"])
def test_answers_for_any_size_and_onnx(spec):
    net, (pixels, _) = _net(spec, columns=2, masks=1, measures=3, embedding=4, kinds=2), _balls(2)
    with torch.inference_mode():
        found = net(pixels)
        flat = net(pixels[:, :, 4])
    assert {name: tuple(each.shape[1:]) for name, each in found.items()} == {
        "classes": (2,),
        "masks": (2, 9, 12, 10),
        "measures": (3,),
        "embedding": (4,),
    }
    assert flat["masks"].shape == (2, 2, 12, 10)
    assert onnx.check(onnx.write(net, pixels.shape[1:], net.spec.outputs), net, pixels.numpy()) < onnx.TOLERANCE


def test_a_training_outlines_balls():
    net, (pixels, truth) = _net(columns=1, masks=1), _balls()
    joint, rows = Joint(net, costs.of(["masks"]), JointSpec()), np.arange(len(pixels))
    lesson = Lesson(
        net=joint,
        loss=joint.loss,
        train=Cases(images=_Images(pixels.numpy()), rows=rows, targets=rows),
        plan=Plan(epochs=30, batch=6, rate=1e-2, head_rate=1.0, kept="last"),
        augment=lambda pixels, rows, epoch, first: (pixels, {"masks": truth[rows]}),
        device="cpu",
    )
    train(lesson)
    with torch.inference_mode():
        found = net(pixels)["masks"].argmax(dim=1)
    assert float(2 * (found & truth).sum() / (found.sum() + truth.sum())) > 0.9


def test_blocks_states_and_specs():
    net, other = _net(columns=2, masks=1), _net(columns=2, masks=1)
    blocks = net.blocks()
    assert sorted(id(each) for block in blocks for each in block) == sorted(id(each) for each in net.parameters())
    assert len(blocks) == 1 + SMALL.levels + 2
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(net.parameters(), other.parameters(), strict=True))
    net.learn_levels(torch.full((3, 1, net.pool.width), 5.0))
    assert float(net.answer.level.mean.abs().max()) == 0
    state = {name: each + 1 for name, each in net.backbone.state_dict().items()}
    again = solid.build(SMALL, state=state)
    assert all(torch.equal(each, state[name]) for name, each in again.state_dict().items())
    few = SolidSpec(filters=4, levels=2, blocks=(0, 1))
    for spec in (SMALL, few):
        assert SolidSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec
    assert SolidSpec.from_json({"channels": 1, "filters": 8, "levels": 4, "reduce": [1, 1, 1]}) == SolidSpec()
    assert not list(solid.build(few).down[0].parameters())


@pytest.mark.parametrize("asked", [{"boxes": 1}, {"image": True}, {"columns": 1, "regions": (1, 2)}, {"masks": 1, "context": 1}])
def test_what_it_cannot_is_refused(asked):
    with pytest.raises(InputError) as caught:
        _net(**asked)
    assert caught.value.code == "solid-network"


def test_no_module_brings_monai_along():
    """Importing it takes seconds: it is asked for by name where it is used."""
    source = Path(solid.__file__).parents[1]
    bringing = [
        path.name
        for path in source.rglob("*.py")
        if "networks.solid import" in (said := path.read_text()) or "networks import solid" in said
    ]
    assert bringing == []
