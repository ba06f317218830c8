"""Heat lies on what decides the answer."""

import time

import numpy as np
import pytest
import torch
from scipy import ndimage
from sklearn.linear_model import LogisticRegression

from medloop import families
from medloop.compute import Compute
from medloop.families import FitJob, _explaining, _occlusion, classical, transfer
from medloop.families._explaining import choices_of, explain
from medloop.families._occlusion import margins
from medloop.networks import gradcam
from medloop.networks.backbones import BackboneSpec, build
from medloop.networks.classifier import Classifier, ClassifierSpec
from medloop.types import Prediction, Recipe, Target, TargetKind
from tests.families.conftest import FEATURES, dataset, target_of

PARAMETERS = {"features": FEATURES, "trials": 2}


def squares(values, side=32, size=12, shape=None, seed=0):
    """Pictures ``(N, 1, 1, side, side)`` of noise, bright in a square where the value is 1; masks of the squares."""
    draw = np.random.default_rng(seed)
    shape = shape or (1, side, side)
    pixels, masks = draw.normal(90, 15, (len(values), *shape)), np.zeros((len(values), *shape), bool)
    for picture, mask, value in zip(pixels, masks, values, strict=True):
        where = tuple(slice(0, 1) if n == 1 else slice(k := int(draw.integers(1, n - size)), k + size) for n in shape)
        mask[where] = True
        picture[where] += 70 * value
    return np.clip(pixels, 0, 255).astype(np.uint8)[:, None], masks


def inside(heat, masks):
    """The share of each image's heat in the mask."""
    return (heat * masks).sum(axis=(1, 2, 3)) / np.maximum(heat.sum(axis=(1, 2, 3)), 1e-9)


def problems(heat, masks, least=0.5, near=0):
    """What is wrong with heat that should lie in the masks: ``least`` of it, the hottest place at most ``near`` pixels outside."""
    found = []
    if inside(heat, masks).mean() < least:
        found.append("too much heat lies outside")
    grown = ndimage.maximum_filter(masks, (1, 1, 1 + 2 * near, 1 + 2 * near))
    if np.mean([mask.ravel()[each.argmax()] for each, mask in zip(heat, grown, strict=True)]) < 0.8:
        found.append("the hottest place lies outside")
    return found


def scrambled(heat, seed=0):
    """The same heat in other places."""
    draw = np.random.default_rng(seed)
    return np.stack([np.roll(each, draw.integers(8, 24, 2), (1, 2)) for each in heat])


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A classical model that tells pictures with a square from those without, with its pictures."""
    values = np.arange(90) % 2
    pixels, masks = squares(values)
    return values, pixels, masks


@pytest.fixture
def learnt(fitted, stored_arrays):
    values, pixels, masks = fitted
    arrays = stored_arrays(pixels)
    job = FitJob(
        dataset=dataset(target_of(TargetKind.BINARY), values),
        arrays=arrays,
        train=np.arange(70),
        recipe=Recipe("test", "classical", parameters=PARAMETERS),
        deadline=time.monotonic() + 1000,
    )
    return classical.fit(job).model, arrays, masks


def test_covering_finds_the_square(learnt):
    model, arrays, masks = learnt
    rows = np.arange(71, 90, 2)
    heat = explain(model, arrays, rows, np.ones(len(rows), np.int64))
    assert heat.shape == (10, 1, 32, 32)
    assert heat.dtype == np.float32
    assert heat.min() >= 0
    assert (heat.max(axis=(1, 2, 3)) == 1).all()
    assert problems(heat, masks[rows]) == []
    assert len(problems(scrambled(heat), masks[rows])) == 2


def test_heat_belongs_to_the_answer_asked_about(learnt):
    """The square speaks for its class and against the other."""
    model, arrays, masks = learnt
    rows = np.arange(71, 90, 2)
    against = explain(model, arrays, rows, np.zeros(len(rows), np.int64))
    assert "the hottest place lies outside" in problems(against, masks[rows])


def test_a_broken_explanation_is_noticed(learnt, monkeypatch):
    model, arrays, masks = learnt
    rows = np.arange(71, 90, 2)
    real = _occlusion._scores
    monkeypatch.setattr(_occlusion, "_scores", lambda *given: real(*given)[:, [0, *range(49, 0, -1)]])
    assert len(problems(explain(model, arrays, rows, np.ones(len(rows), np.int64)), masks[rows])) == 2


def test_processes_and_few_pictures_at_a_time_change_nothing(learnt, monkeypatch):
    model, arrays, _ = learnt
    rows, choices = np.array([71, 3, 71]), np.array([1, 1, 1])
    plain = explain(model, arrays, rows, choices)
    np.testing.assert_array_equal(plain[0], plain[2])
    with Compute(1) as compute:
        np.testing.assert_allclose(explain(model, arrays, rows, choices, compute=compute), plain, atol=1e-5)
    monkeypatch.setattr(_occlusion, "_CALL_BYTES", 7 * 32 * 32)
    np.testing.assert_allclose(explain(model, arrays, rows, choices), plain, atol=1e-5)


def test_without_time_nothing_is_explained(learnt):
    model, arrays, _ = learnt
    rows = np.arange(10)
    assert explain(model, arrays, rows, rows % 2, deadline=time.monotonic() - 1).shape == (0, 1, 32, 32)
    assert explain(model, arrays, rows[:0], rows[:0]).shape == (0, 1, 32, 32)
    times = iter(range(0, 1000, 5))
    monotone = _occlusion.Question(
        model=model, arrays=arrays, rows=rows, choices=rows % 2, deadline=12.0, clock=lambda: float(next(times))
    )
    assert 0 < len(_occlusion.occlusion(monotone)) < 10


class Bright:
    """A model that answers by the brightest place."""

    target = target_of(TargetKind.BINARY)

    def raw(self, arrays, indices=None, *, compute=None, cache=None, tell=None):
        pixels = arrays.take(np.arange(len(arrays))).astype(float)
        return pixels.reshape(len(pixels), -1).max(axis=1)[:, None] / 50


def test_volumes_and_shapes_of_two_values(stored_arrays):
    volumes, masks = squares(np.ones(4), size=6, shape=(14, 15, 16))
    heat = explain(Bright(), stored_arrays(volumes), np.arange(4), np.ones(4, np.int64))
    assert heat.shape == (4, 14, 15, 16)
    assert inside(heat, masks).mean() > 3 * masks.mean()
    shapes = 255 * masks.astype(np.uint8)[:, None]
    arrays = stored_arrays(shapes)
    seen = []

    class Looking(Bright):
        def raw(self, arrays, indices=None, **more):
            seen.append(np.unique(arrays.take(np.arange(len(arrays)))))
            return super().raw(arrays)

    explain(Looking(), arrays, np.arange(4), np.ones(4, np.int64))
    assert all(set(each) <= {0, 255} for each in seen)


def test_a_picture_in_which_nothing_decides_is_cold(stored_arrays):
    flat = stored_arrays(np.full((2, 1, 1, 12, 12), 7, np.uint8))
    assert not explain(Bright(), flat, np.arange(2), np.ones(2, np.int64)).any()


def test_margins_of_every_kind():
    raw = np.array([[1.0, 3.0, 0.0], [0.0, 0.0, 0.0]])
    several = Target(TargetKind.MULTICLASS, ("a", "b", "c"))
    assert margins(several, raw, np.array([1, 2])) == pytest.approx([3 - np.logaddexp(1, 0), -np.log(2)])
    assert margins(target_of(TargetKind.BINARY), raw[:, :1], np.array([1, 0])) == pytest.approx([1, 0])
    assert margins(target_of(TargetKind.BINARY), raw[:, :2], np.array([0, 1])) == pytest.approx([-2, 0])
    assert margins(Target(TargetKind.MULTILABEL, ("a", "b", "c")), raw, np.array([1, 0])) == pytest.approx([3, 0])
    assert margins(Target(TargetKind.NUMBER), raw[:, :1], np.array([0, 0])) == pytest.approx([1, 0])


def test_the_answer_that_was_given_is_explained():
    def told(labels, probabilities):
        n = len(labels)
        return Prediction(("x",) * n, np.array(probabilities), tuple(labels), np.ones(n), np.zeros(n, bool))

    assert choices_of(target_of(TargetKind.BINARY), told(["b", "a"], [[0.6, 0.4], [0.6, 0.4]])).tolist() == [1, 0]
    several = Target(TargetKind.MULTILABEL, ("a", "b"))
    assert choices_of(several, told(["a|b", ""], [[0.8, 0.9], [0.2, 0.1]])).tolist() == [1, 0]
    assert choices_of(Target(TargetKind.NUMBER), told(["3.5"], [[3.5]])).tolist() == [0]


@pytest.fixture(scope="module")
def network():
    """A network on a pretrained backbone whose last layer was learnt, with pictures and masks it has not seen."""
    values = np.arange(100) % 2
    pixels, masks = squares(values, side=64, size=24)
    net = Classifier(build(BackboneSpec(side=112)), ClassifierSpec(columns=1))
    shown = torch.from_numpy(pixels[:, :, 0])
    with torch.no_grad():
        features = net.features(shown)
        net.answer.level.learn(features[:70])
        levelled = net.answer.join(net.answer.level(features)).numpy()
    found = LogisticRegression(C=0.01).fit(levelled[:70], values[:70])
    net.answer.head.linear.weight.data = torch.tensor(found.coef_, dtype=torch.float32)
    net.answer.head.linear.bias.data = torch.tensor(found.intercept_, dtype=torch.float32)
    return net.eval(), shown[71::2], masks[71::2]


def test_gradients_find_the_square(network):
    net, pixels, masks = network
    with torch.no_grad():
        before = net(pixels)
    heat = gradcam.heat(net, pixels, lambda scores: scores[:, 0]).numpy()
    with torch.no_grad():
        assert torch.equal(net(pixels), before)
    assert heat.shape == (15, 1, 64, 64)
    assert heat.min() >= 0
    assert problems(heat, masks, least=2.5 * masks.mean()) == []
    assert len(problems(scrambled(heat), masks, least=2.5 * masks.mean())) == 2
    against = gradcam.heat(net, pixels, lambda scores: -scores[:, 0]).numpy()
    assert len(problems(against, masks, least=2.5 * masks.mean())) == 2


def test_gradients_of_random_weights_do_not_pass(network):
    """Adebayo et al., NeurIPS 2018: heat that does not depend on what was learnt explains nothing."""
    _, pixels, masks = network
    random = Classifier(build(BackboneSpec(side=112, weights="none")), ClassifierSpec(columns=1)).eval()
    torch.manual_seed(0)
    torch.nn.init.normal_(random.answer.head.linear.weight)
    assert len(problems(gradcam.heat(random, pixels, lambda scores: scores[:, 0]).numpy(), masks, least=2.5 * masks.mean())) == 2


def test_gradients_in_volumes_find_slice_and_place(network):
    net, pixels, masks = network
    volumes = torch.full((2, 1, 5, 64, 64), 90.0)
    volumes[:, :, 3] = pixels[:2].float()
    heat = gradcam.heat(net, volumes, lambda scores: scores[:, 0]).numpy()
    assert heat.shape == (2, 5, 64, 64)
    assert heat.sum(axis=(2, 3)).argmax(axis=1).tolist() == [3, 3]
    assert inside(heat[:, 3:4], masks[:2]).mean() > 2 * masks[:2].mean()


def test_tokens_of_a_vision_transformer_are_places_too():
    torch.manual_seed(0)
    net = Classifier(build(BackboneSpec("vit_tiny_patch16_224", side=112, weights="none")), ClassifierSpec(columns=2)).eval()
    pixels, _ = squares(np.ones(2), side=48)
    found = gradcam.contributions(net, torch.from_numpy(pixels[:, :, 0]), lambda scores: scores[:, 1]).numpy()
    assert found.shape == (2, 1, 48, 48)
    assert np.isfinite(found).all()
    assert (found.std(axis=(1, 2, 3)) > 0).all()


@pytest.mark.parametrize("kind", list(TargetKind))
def test_networks_and_other_models_mean_the_same_by_speaking_for_an_answer(kind):
    columns = 1 if kind in (TargetKind.BINARY, TargetKind.NUMBER) else 3
    raw = np.random.default_rng(0).normal(0, 3, (6, columns))
    choices = np.array([0, 1, 0, 1, 1, 0]) if columns == 1 else np.array([0, 1, 2, 2, 1, 0])
    expected = margins(Target(kind, tuple("abc"[: max(2, columns)])), raw, choices)
    np.testing.assert_allclose(gradcam.margin(torch.tensor(raw), kind, torch.tensor(choices)).numpy(), expected, rtol=1e-6)


def test_a_fine_tuned_model_is_explained_by_its_gradients(stored_arrays, tmp_path):
    values = np.arange(80) % 2
    pixels, masks = squares(values, side=64, size=24)
    arrays = stored_arrays(pixels)
    parameters = {"how": "last", "stages": [3], "side": 112, "folds": 2, "training": {"epochs": 2}, "augmentation": {}}
    job = FitJob(
        dataset=dataset(target_of(TargetKind.BINARY), values),
        arrays=arrays,
        train=np.arange(60),
        recipe=Recipe("test", "transfer", parameters=parameters),
        deadline=time.monotonic() + 1000,
    )
    model = transfer.fit(job).model
    assert _explaining.way_of(model) == "gradient"
    rows = np.arange(61, 80, 2)
    ones = np.ones(len(rows), np.int64)
    heat = explain(model, arrays, rows, ones)
    assert heat.shape == (10, 1, 64, 64)
    assert (heat.max(axis=(1, 2, 3)) == 1).all()
    passes = {"least": 1.8 * masks.mean(), "near": 5}  # half a place of the map
    assert problems(heat, masks[rows], **passes) == []
    assert len(problems(explain(model, arrays, rows, 1 - ones), masks[rows], **passes)) == 2
    families.save(model, tmp_path / "model")
    np.testing.assert_allclose(explain(families.load(tmp_path / "model"), arrays, rows, ones), heat, atol=1e-4)
    assert explain(model, arrays, rows, ones, deadline=time.monotonic() - 1).shape == (0, 1, 64, 64)


def test_the_way_fits_the_model(learnt):
    model, _, _ = learnt
    assert _explaining.way_of(model) == "occlusion"
