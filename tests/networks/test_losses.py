"""Losses against references, and the properties they are chosen for."""

import json

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss, mean_squared_error
from torch.nn import functional

from medloop.errors import InputError
from medloop.networks import losses
from medloop.networks.losses import (
    LossSpec,
    cross_entropy,
    focal,
    generalised_cross_entropy,
    make,
    of_classes,
    of_labels,
    of_numbers,
)
from medloop.types import Target, TargetKind

BINARY = Target(TargetKind.BINARY, ("no", "yes"))
CLASSES = Target(TargetKind.MULTICLASS, ("a", "b", "c", "d"))
LABELS = Target(TargetKind.MULTILABEL, ("a", "b", "c", "d"))
NUMBER = Target(TargetKind.NUMBER)


def outputs(n=20, k=4, seed=0):
    return torch.randn(n, k, generator=torch.Generator().manual_seed(seed), requires_grad=True)


def truth(n=20, k=4):
    return torch.tensor(np.arange(n) * 7 % 11 % k)


def labels(n=20, k=4):
    return torch.tensor(np.random.default_rng(1).integers(0, 2, (n, k)), dtype=torch.float32)


def slope(value, at):
    (found,) = torch.autograd.grad(value, at)
    return found


def test_cross_entropy_is_that_of_scikit_learn():
    given, weights = outputs(), torch.linspace(0.1, 2, 20)
    probabilities = given.detach().double().softmax(1).numpy()
    expected = log_loss(truth().numpy(), probabilities, sample_weight=weights.numpy(), labels=range(4))
    assert of_classes(given, truth(), weights, cross_entropy).item() == pytest.approx(expected, rel=1e-5)
    binary = labels(20, 1)
    expected = log_loss(binary[:, 0].numpy(), given[:, 0].detach().double().sigmoid().numpy(), labels=[0, 1])
    assert of_labels(given[:, :1], binary[:, 0], None, cross_entropy).item() == pytest.approx(expected, rel=1e-5)


def test_smoothing_and_class_weights_are_those_of_torch():
    given = outputs()
    smooth = functional.cross_entropy(given, truth(), label_smoothing=0.2)
    assert of_classes(given, truth(), None, cross_entropy, smoothing=0.2).item() == pytest.approx(smooth.item(), rel=1e-5)
    loss = make(CLASSES, LossSpec(weighting=1.0), truth().numpy())
    weighted = functional.cross_entropy(given, truth(), weight=loss.class_weights)
    assert loss(given, truth()).item() == pytest.approx(weighted.item(), rel=1e-5)
    several = make(LABELS, LossSpec(), labels().numpy())
    expected = functional.binary_cross_entropy_with_logits(given, labels())
    assert several(given, labels()).item() == pytest.approx(expected.item(), rel=1e-5)


def test_numbers():
    given, wanted = outputs(k=1), torch.linspace(-3, 3, 20)
    expected = mean_squared_error(wanted.numpy(), given.detach().numpy()[:, 0]) / 2
    assert of_numbers(given, wanted, None).item() == pytest.approx(expected, rel=1e-5)
    huber = functional.huber_loss(given[:, 0], wanted, delta=0.5)
    assert make(NUMBER, LossSpec(delta=0.5), wanted.numpy())(given, wanted).item() == pytest.approx(huber.item(), rel=1e-5)


def test_weighted_classes_count_the_same_in_sum():
    values = np.array([0] * 12 + [1] * 6 + [2] * 2)
    found = make(CLASSES, LossSpec(weighting=1.0), values).class_weights
    assert (found[:3] * torch.tensor([12, 6, 2])).tolist() == pytest.approx([5.125] * 3, rel=0.02)
    assert found[3] == 0
    two = make(BINARY, LossSpec(weighting=1.0), np.array([0] * 9 + [1])).class_weights
    assert (two[0] * torch.tensor([9, 1])).tolist() == pytest.approx([5, 5])


@pytest.mark.parametrize("of", ["classes", "labels"])
def test_focal_with_gamma_0_is_cross_entropy_and_more_gamma_forgets_what_is_right(of):
    given = outputs()
    wanted, loss = (truth(), of_classes) if of == "classes" else (labels(), of_labels)
    plain = loss(given, wanted, None, cross_entropy)
    assert torch.equal(loss(given, wanted, None, lambda each: focal(each, 0.0)), plain)
    easy, hard = torch.tensor([[6.0, 0, 0, 0]]), torch.tensor([[-2.0, 0, 0, 0]])
    answer = torch.tensor([0]) if of == "classes" else torch.tensor([[1.0, 0, 0, 0]])
    both = [[loss(each, answer, None, how).item() for each in (easy, hard)] for how in (cross_entropy, lambda p: focal(p, 2.0))]
    assert both[1][0] / both[0][0] < both[1][1] / both[0][1] < 1


def test_focal_of_a_known_probability():
    given = torch.tensor([[np.log(0.7), np.log(0.3)]], dtype=torch.float32)
    found = of_classes(given, torch.tensor([0]), None, lambda each: focal(each, 2.0))
    assert found.item() == pytest.approx(0.3**2 * -np.log(0.7), rel=1e-5)


@pytest.mark.parametrize("sure", [1e-9, 40.0, 200.0])
def test_gradients_stay_finite_where_answers_are_certain(sure):
    for how in (cross_entropy, lambda each: focal(each, 0.5), lambda each: generalised_cross_entropy(each, 0.7)):
        for sign in (1, -1):
            given = torch.tensor([[sign * sure, 0.0, -sign * sure]], requires_grad=True)
            assert torch.isfinite(slope(of_classes(given, torch.tensor([0]), None, how), given)).all()
            assert torch.isfinite(slope(of_labels(given, torch.tensor([[1.0, 1.0, 0.0]]), None, how), given)).all()


def test_generalised_cross_entropy_lies_between_absolute_error_and_cross_entropy():
    given = outputs()
    probability = given.softmax(1)[torch.arange(20), truth()]
    absolute = (1 - probability).mean()  # half the absolute error of all probabilities
    found = [of_classes(given, truth(), None, lambda each, q=q: generalised_cross_entropy(each, q)).item() for q in (1.0, 0.7, 0.3)]
    near = of_classes(given, truth(), None, lambda each: generalised_cross_entropy(each, 1e-3)).item()
    plain = of_classes(given, truth(), None, cross_entropy).item()
    assert found[0] == pytest.approx(absolute.item(), rel=1e-5)
    assert near == pytest.approx(plain, rel=0.01)
    assert found == sorted(found)
    assert found[-1] < plain


def test_generalised_cross_entropy_is_less_pulled_by_a_wrong_label():
    given = torch.tensor([[5.0, 0.0]], requires_grad=True)
    wrong = torch.tensor([1])
    pulled = [
        slope(of_classes(given, wrong, None, how), given).abs().max()
        for how in (cross_entropy, lambda each: generalised_cross_entropy(each, 0.7))
    ]
    assert pulled[1] < 0.1 * pulled[0]


@pytest.mark.parametrize(
    ("target", "values"),
    [(CLASSES, np.arange(20) % 4), (BINARY, np.arange(20) % 2), (LABELS, np.arange(80).reshape(20, 4) // 4 % 2)],
)
def test_logit_adjustment_with_uniform_priors_changes_nothing(target, values):
    given = outputs(k=1 if target is BINARY else 4)
    wanted = torch.tensor(values)
    plain, adjusted = (make(target, LossSpec(adjust=each), values) for each in (0.0, 1.0))
    assert adjusted(given, wanted).item() == pytest.approx(plain(given, wanted).item(), rel=1e-5)
    skewed = make(target, LossSpec(adjust=1.0), np.minimum(values, values[:1]) if target is not CLASSES else values // 2)
    assert abs(skewed(given, wanted).item() - plain(given, wanted).item()) > 1e-3


def test_logit_adjustment_gives_a_balanced_scorer_no_slope():
    """Outputs that ignore frequency are optimal under adjustment where pictures say nothing; without, frequency leaks into them."""
    values = np.repeat([0, 1, 2, 3], [60, 25, 10, 5])
    given = torch.zeros(100, 4, requires_grad=True)
    slopes = [slope(make(CLASSES, LossSpec(adjust=each), values)(given, torch.tensor(values)), given).sum(0) for each in (1.0, 0.0)]
    assert slopes[0].abs().max() < 1e-6
    assert slopes[1].abs().max() > 0.1


def pull_of_unknown(loss, wanted):
    """The steepest gradient where nothing is known."""
    given = outputs(*wanted.shape)
    return slope(loss(given, wanted), given)[torch.isnan(wanted)].abs().max()


@pytest.mark.parametrize("spec", [LossSpec(), LossSpec(name="focal"), LossSpec(name="generalised", smoothing=0.1, weighting=1.0)])
def test_unknown_labels_have_no_gradient(spec, monkeypatch):
    wanted = labels()
    wanted[::3, 1] = float("nan")
    wanted[5] = float("nan")
    loss = make(LABELS, spec, wanted.numpy())
    assert pull_of_unknown(loss, wanted) == 0
    alone = torch.full((3, 4), float("nan"))
    given = outputs(3)
    assert loss(given, alone).item() == 0
    assert (slope(loss(given, alone), given) == 0).all()
    known = torch.isfinite(wanted)
    given = outputs()
    if spec == LossSpec():
        expected = functional.binary_cross_entropy_with_logits(given[known], wanted[known])
        assert loss(given, wanted).item() == pytest.approx(expected.item(), rel=1e-5)
    monkeypatch.setattr(losses, "_known", lambda outputs, targets: (torch.nan_to_num(targets), torch.ones_like(targets)))
    assert pull_of_unknown(loss, wanted) > 0


def test_unknown_numbers_have_no_gradient():
    wanted = torch.tensor([[1.0], [float("nan")], [3.0]])
    for spec in (LossSpec(), LossSpec(delta=1.0)):
        assert pull_of_unknown(make(NUMBER, spec, np.array([1.0, 3.0])), wanted) == 0


def test_mixtures_are_between_their_parts():
    given = outputs()
    other = (truth() + 1) % 4
    soft = 0.7 * functional.one_hot(truth(), 4) + 0.3 * functional.one_hot(other, 4)
    loss = make(CLASSES, LossSpec(), truth().numpy())
    assert loss(given, soft).item() == pytest.approx(0.7 * loss(given, truth()).item() + 0.3 * loss(given, other).item(), rel=1e-5)


def test_half_precision_outputs_are_judged_in_full():
    given = outputs().detach().bfloat16()
    loss = make(CLASSES, LossSpec(), truth().numpy())
    assert loss(given, truth()).dtype == torch.float32
    assert loss(given, truth()).item() == loss(given.float(), truth()).item()


def test_settings_as_json():
    spec = LossSpec(name="focal", gamma=1.5, adjust=1.0)
    assert LossSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec
    assert LossSpec.from_json({}) == LossSpec()
    for wrong in ({"name": "focall"}, {"gama": 2}, {"q": 0}, {"smoothing": True}, {"gamma": "two"}):
        with pytest.raises(InputError):
            LossSpec.from_json(wrong)
