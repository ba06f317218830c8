"""Volumes seen as volumes: a choice in the recipe, saved and found again, refused where it cannot be."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import safetensors.torch
import torch
from sklearn.metrics import roc_auc_score
from torch.nn.functional import avg_pool3d, interpolate

from medloop import families
from medloop.errors import InputError
from medloop.families import _joint_solid, _joint_training, _joint_tuning, ladder, multitask
from medloop.learning import augment
from medloop.networks.solid_spec import SolidSpec
from medloop.types import Recipe, Target, TargetKind, Truth

COUNT, SIZE = 12, (6, 16, 16)
CLASSES = np.arange(COUNT) % 2
MASKS = Target(TargetKind.MASKS, ("ball",), "masks")
SMALL = {"network": "solid", "filters": 4, "levels": 2, "folds": 2, "augmentation": {"flips": ["x"]}, "training": {"epochs": 1}}


class Held:
    """Masks in memory."""

    key = "balls"

    def __init__(self, labels):
        self.labels, self.known = labels, np.ones(len(labels), bool)

    def take(self, indices):
        return self.labels[np.asarray(indices)]


def balls():
    """Volumes ``(N, 1, Z, Y, X)`` with a ball each, large in class 1, and their masks."""
    draw = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*[np.arange(side) for side in SIZE], indexing="ij"))
    centres = draw.uniform([2, 5, 5], [4, 11, 11], (COUNT, 3))
    away = np.linalg.norm((grid[None] - centres[:, :, None, None, None]) * np.array([2, 1, 1]).reshape(1, 3, 1, 1, 1), axis=1)
    masks = (away < np.where(CLASSES, 5, 3)[:, None, None, None]).astype(np.uint8)
    return np.clip(draw.normal(80, 8, masks.shape) + 90 * masks, 0, 255).astype(np.uint8)[:, None], masks


@pytest.fixture
def make(make_job, stored_arrays):
    """A function that makes a job of classes and masks of these volumes."""

    def job(**parameters):
        pixels, labels = balls()
        made = make_job(TargetKind.BINARY, CLASSES)
        dataset = dataclasses.replace(made.dataset, further=(Truth(MASKS, np.ones(COUNT, bool)),))
        recipe = Recipe("test", "multitask", parameters={**SMALL, **parameters})
        return dataclasses.replace(
            made, arrays=stored_arrays(pixels), dataset=dataset, recipe=recipe, further={"masks": Held(labels)}
        )

    return job


def test_it_is_learnt_saved_and_found_again(make, tmp_path):
    job = make(reduce=[1, 2, 2], blocks=[1, 1], training={"epochs": 8, "rate": 0.01})
    fitted = multitask.fit(job)
    loaded = families.load(families.save(fitted.model, tmp_path / "model"))
    mine, again = (list(each.find(job.arrays, None)) for each in (fitted.model, loaded))
    for one, other, truth in zip(mine, again, balls()[1], strict=True):
        np.testing.assert_array_equal(one.mask, other.mask)
        assert one.mask.shape == truth.shape
    inside = sum(float(one.mask[truth == 1].mean()) for one, truth in zip(mine, balls()[1], strict=True)) / COUNT
    outside = sum(float(one.mask[truth == 0].mean()) for one, truth in zip(mine, balls()[1], strict=True)) / COUNT
    assert inside > 0.8 > 0.1 > outside
    assert fitted.recipe.parameters["network"] == "solid"
    assert fitted.recipe.parameters["reduce"] == [1, 2, 2]
    assert fitted.recipe.parameters["blocks"] == [1, 1]
    repeated = multitask.fit(dataclasses.replace(job, recipe=fitted.recipe, cache=None, deadline=0.0))
    assert repeated.model.onnx == fitted.model.onnx
    with pytest.raises(InputError) as caught:
        multitask.fit(make(**{"network": "slices", "filters": 4, "from": str(tmp_path / "model")}))
    assert caught.value.code == "no-network"


def test_an_average_with_features_is_a_model(make, tmp_path):
    """Generation 1 and a network of volumes as one model, on the same folds, saved and found again."""
    features = {"features": [{"name": "intensity", "params": {"regions": 2}}], "estimators": ["logistic"], "trials": 1, "folds": 2}
    members = [
        {"family": "classical", "parameters": features},
        {"family": "multitask", "parameters": SMALL | {"targets": ["classes"]}},
    ]
    job = make()
    fitted = ladder.fit(dataclasses.replace(job, recipe=Recipe("test", "ladder", parameters={"members": members})))
    assert [each.model.family for each in fitted.members] == ["classical", "multitask"]
    one, other = (each.out_of_fold.fold for each in fitted.members)
    np.testing.assert_array_equal(one, other)
    loaded = families.load(families.save(fitted.model, tmp_path / "model"))
    np.testing.assert_array_equal(loaded.predict(job.arrays).probabilities, fitted.model.predict(job.arrays).probabilities)


def test_batch_norms_learn_their_statistics_unless_told_to_keep_them(make):
    """Those of a network that begins at random say nothing yet."""
    said = {"norm": "batch", "views": 1, "targets": ["classes"]}
    training = {"epochs": 8, "rate": 0.01, "batch": 8}
    learnt = multitask.fit(make(**said, training=training))
    assert learnt.recipe.parameters["norm"] == "batch"
    assert learnt.recipe.parameters["training"]["norms"] == "learn"
    assert roc_auc_score(CLASSES, learnt.out_of_fold.raw[:, 0]) > 0.95
    running = _statistics(learnt.model.backbone)
    assert running
    assert any(np.abs(each).max() > 0.1 for each in running)
    kept = multitask.fit(make(**said, training=training | {"norms": "keep"}))
    assert all((each == 0).all() for each in _statistics(kept.model.backbone))


def _statistics(content):
    return [each.numpy() for name, each in safetensors.torch.load(content).items() if name.endswith("running_mean")]


@pytest.mark.parametrize(
    ("targets", "augmentation", "reduce", "by_cell"),
    [
        (["classes"], {"flips": ["x"], "turn": 20.0}, [2, 2, 2], True),
        (["classes"], {"flips": ["x"], "turn": 20.0}, [2, 1, 2], False),
        (["classes"], {"flips": ["x"], "turn": 20.0}, [1, 1, 1], False),
        (["classes"], {"flips": ["x"], "turn": 20.0, "noise": 5.0, "chance": 1.0}, [2, 2, 2], False),
        (["classes", "masks"], {"flips": ["x"], "turn": 20.0}, [2, 2, 2], False),
        (["classes"], {"flips": ["x"], "turn": 20.0}, [4, 4, 4], False),
    ],
)
def test_where_only_means_of_cells_are_seen_these_are_what_is_moved(make, targets, augmentation, reduce, by_cell):
    made = make(targets=targets, augmentation=augmentation, reduce=reduce)
    ground = _joint_training.Ground(made, _joint_tuning.settings(made), None)
    changes = ground._changes(ground.targets)
    pixels = torch.from_numpy(ground.views.take(np.arange(COUNT)))
    shown, _ = changes(pixels, torch.arange(COUNT), 1, 0)
    drawn = augment.draw(COUNT, changes.augmentation, changes.seed, 1, 0)
    means = avg_pool3d(shown, 2)
    constant = torch.allclose(interpolate(means, scale_factor=2, mode="nearest"), shown)
    assert constant == by_cell
    if by_cell:
        torch.testing.assert_close(means, augment.apply(avg_pool3d(pixels.float(), 2), drawn))
        voxels = avg_pool3d(augment.apply(pixels, drawn), 2)
        assert np.corrcoef(means.numpy().ravel(), voxels.numpy().ravel())[0, 1] > 0.95, "much as if voxels were moved"
    else:
        torch.testing.assert_close(shown, augment.apply(pixels, drawn))


def test_large_volumes_are_asked_about_few_at_a_time(make, monkeypatch):
    """As many at once as hold so many voxels: memory does not grow with how large or how many they are."""
    seen = []
    answers = _joint_training.Ground.answers

    def watched(self, net, rows):
        seen.append(len(rows))
        return answers(self, net, rows)

    monkeypatch.setattr(_joint_training.Ground, "answers", watched)
    monkeypatch.setattr(_joint_training, "_VOXELS", 2 * int(np.prod(SIZE)) + 1)
    multitask.fit(make())
    assert max(seen) == 2
    assert sum(seen) == COUNT


@pytest.mark.parametrize(("shape", "patch"), [((41, 132, 132), [0, 0, 0]), ((300, 512, 512), [32, 64, 64])], ids=["small", "large"])
def test_what_goes_through_at_once_is_bounded(shape, patch):
    assert _joint_solid.patch(SolidSpec(reduce=(1, 2, 2)), shape) == patch


def test_cells_are_about_as_high_as_wide():
    assert _joint_solid._even(np.array([[5.0, 2.7, 2.7], [5.0, 2.5, 2.5], [np.nan] * 3])) == [1, 2, 2]
    assert _joint_solid._even(np.full((3, 3), np.nan)) == [1, 1, 1]
    assert _joint_solid._even(np.ones((2, 3))) == [1, 1, 1]


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"backbone": "resnet18"}, "bad-recipe"),
        ({"context": 1}, "bad-recipe"),
        ({"reduce": [1, 0, 2]}, "bad-recipe"),
        ({"blocks": [1, 2, 2]}, "bad-recipe"),
        ({"blocks": [1, -1]}, "bad-recipe"),
        ({"network": "cubes"}, "bad-recipe"),
        ({"norm": "layer"}, "bad-recipe"),
        ({"reconstruct": True}, "solid-network"),
    ],
    ids=str,
)
def test_what_it_cannot_is_refused(make, said, code):
    with pytest.raises(InputError) as caught:
        multitask.fit(make(**said))
    assert caught.value.code == code


def test_pictures_are_refused(make, stored_arrays):
    job = make()
    with pytest.raises(InputError, match="pictures"):
        multitask.fit(dataclasses.replace(job, arrays=stored_arrays(balls()[0][:, :, :1])))


def test_slices_of_a_volume_are_asked_to_agree_in_the_local_stage(make):
    sliced = {
        "network": "slices",
        "side": 16,
        "stages": [0, 1],
        "width": 16,
        "staged": True,
        "training": {"epochs": 3, "frozen": 0},
    }
    [trial] = multitask.fit(make(**sliced)).trials
    told = {row["stage"]: {name for name in row if name.startswith("loss ")} for row in trial["history"]}
    assert told["global"] == {"loss classes"}
    assert told["local"] == {"loss masks", "loss neighbours"}
    assert told["decision"] == {"loss classes", "loss masks", "loss neighbours"}
