from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch

from medloop.errors import InputError
from medloop.learning.fitting import train
from medloop.learning.lesson import Cases, Lesson
from medloop.learning.plan import Plan
from medloop.networks import backbones, costs, joint, losses
from medloop.networks.backbones import BackboneSpec
from medloop.networks.joint import HOW, Joint, JointSpec
from medloop.networks.multitask import Multitask, MultitaskSpec
from medloop.types import UNKNOWN, Target, TargetKind

SPEC = MultitaskSpec(columns=3, masks=1, measures=2, embedding=4, kinds=3, width=16)
TARGETS = ("classes", "masks", "measures", "embedding")
CLASSES = losses.make(Target(TargetKind.MULTICLASS, ("a", "b", "c")), losses.LossSpec(), np.array([0, 1, 2]))


def _joint(how="fixed", targets=TARGETS, **weights):
    torch.manual_seed(0)
    net = Multitask(backbones.build(BackboneSpec(side=32, stages=(0, 1), weights="none")), SPEC)
    return Joint(net, costs.of(targets, CLASSES), JointSpec(how, weights))


def _pixels(count=4):
    return torch.randint(0, 256, (count, 1, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def _truth():
    return {
        "classes": torch.tensor([0, 1, 2, 1]),
        "masks": (_pixels()[:, 0] > 120).to(torch.uint8),
        "measures": torch.tensor([[1.0, -1.0], [0.0, 0.5], [-1.0, 1.0], [0.2, 0.1]]),
        "embedding": torch.tensor([0, 1, 2, 1]),
    }


def _unknown(truth, row=slice(None)):
    found = {name: each.clone() for name, each in truth.items()}
    found["classes"][row] = found["embedding"][row] = -1
    found["masks"][row] = UNKNOWN
    found["measures"][row] = torch.nan
    return found


def _step(module, truth):
    module.zero_grad()
    loss = module.loss(module(_pixels()), truth)
    loss.backward()
    return float(loss.detach())


@pytest.mark.parametrize("how", HOW)
def test_together_they_are_learnt_and_told(how):
    module = _joint(how, measures=0.5)
    optimiser = torch.optim.SGD(module.parameters(), 1e-3)
    before = _step(module, _truth())
    first = module.told()
    for _ in range(12):
        optimiser.step()
        after = _step(module, _truth())
    told = module.told()
    assert set(told) == {f"{what} {name}" for what in ("loss", "weight") for name in TARGETS}
    assert after < before
    assert sum(told[f"loss {name}"] for name in TARGETS) < sum(first[f"loss {name}"] for name in TARGETS)
    weights = [told[f"weight {name}"] for name in TARGETS]
    assert (weights == [1, 1, 0.5, 1]) == (how == "fixed")
    assert module.told() == {}


@pytest.mark.parametrize("how", HOW)
def test_unknown_targets_cost_nothing(how):
    module = _joint(how)
    assert _step(module, _unknown(_truth())) == 0
    assert all(each.grad is None or (each.grad == 0).all() for each in module.parameters())
    assert module.told() == {}
    some = _unknown(_truth(), 3)
    torch.manual_seed(0)
    whole = _step(_joint(), some)
    other = dict(some, classes=some["classes"].clamp(min=0))
    assert whole != pytest.approx(_step(_joint(), other))


def test_the_check_above_finds_unknown_cases_that_count(monkeypatch):
    monkeypatch.setattr(costs, "known_classes", lambda truth: torch.ones(len(truth), dtype=torch.bool))
    with pytest.raises((RuntimeError, IndexError)):
        _step(_joint(), _unknown(_truth()))


def test_of_a_case_half_known_the_known_half_teaches():
    module, truth = _joint(), _truth()
    del truth["masks"], truth["embedding"]
    truth["classes"][:] = -1
    _step(module, truth)
    assert set(module.told()) == {"loss measures", "weight measures"}
    assert float(module.net.measures.head.linear.weight.grad.abs().sum()) > 0
    assert module.net.masks.scores.weight.grad is None


def test_only_what_costs_is_asked():
    found = _joint(targets=("embedding",))(_pixels())
    assert set(found) == {"embedding", "proxies"}


def test_uncertainty_is_as_published():
    module = _joint("uncertainty", ("classes", "measures"))
    with torch.no_grad():
        module.log_variances.copy_(torch.tensor([0.1, -0.2]))
    total = _step(module, _truth())
    told = module.told()
    expected = sum(np.exp(-s) * told[f"loss {name}"] + s / 2 for s, name in ((0.1, "classes"), (-0.2, "measures")))
    assert total == pytest.approx(expected, rel=1e-3)
    assert any(each is module.log_variances for each in module.blocks()[-1])
    least = torch.tensor([float(np.log(2 * told["loss classes"]))])
    assert module.log_variances.grad[0].sign() == -(least - 0.1).sign()[0]


def test_with_gradients_each_pulls_equally_hard():
    def pulls(module):
        maps = [each.requires_grad_() for each in module.net.maps(_pixels())]
        answers, weights = module.net.answers(maps, _pixels(), module.asked), module._weights()
        for at, name in enumerate(module.names):
            loss = weights[at] * joint._cost(module.costs[name], answers, _truth()[name])[0]
            slopes = torch.autograd.grad(loss, maps, retain_graph=True, allow_unused=True)
            yield float(torch.stack([each.square().sum() for each in slopes if each is not None]).sum().sqrt())

    module = _joint("gradients", ("classes", "measures"))
    _step(module, _truth())
    balanced, plain = list(pulls(module)), list(pulls(_joint("fixed", ("classes", "measures"))))
    assert balanced[0] == pytest.approx(balanced[1], rel=1e-3)
    assert plain[0] != pytest.approx(plain[1], rel=0.1)


class _Images:
    def take(self, indices):
        return _pixels().numpy()[indices]


@pytest.mark.parametrize("how", HOW)
def test_a_training_tells_the_weights_of_every_epoch(how):
    module, rows = _joint(how, ("classes", "masks")), np.arange(4)

    def augment(pixels, targets, epoch, first):
        return pixels, {name: each[targets] for name, each in _truth().items()}

    lesson = Lesson(
        net=module,
        loss=module.loss,
        train=Cases(images=_Images(), rows=rows, targets=rows),
        plan=Plan(epochs=2, batch=4, at_once=2, norms="keep", kept="last", precision="bf16"),
        augment=augment,
        told=module.told,
        device="cpu",
    )
    history = train(lesson).history
    assert len(history) == 2
    for row in history:
        assert row["loss classes"] > 0
        weighed = row["loss classes"] * row["weight classes"] + row["loss masks"] * row["weight masks"]
        assert row["loss"] == pytest.approx(weighed, rel=0.05)


def test_what_balances_goes_along_with_the_weights():
    one, other = _joint("gradients"), _joint("gradients")
    _step(one, _truth())
    other.load_state_dict(one.state_dict())
    assert torch.equal(one._weights(), other._weights())
    assert not torch.equal(one._weights(), _joint("gradients")._weights())
    copied = copy.deepcopy(one)
    assert copied.loss.__self__ is copied


def test_specs_and_wrong_words():
    spec = JointSpec("uncertainty", {"masks": 2.0})
    assert JointSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec
    with pytest.raises(InputError, match="uncertanty"):
        JointSpec("uncertanty")
    with pytest.raises(InputError, match="mask"):
        _joint(mask=2.0)
    with pytest.raises(ValueError, match="none of"):
        _joint().loss({}, {})
