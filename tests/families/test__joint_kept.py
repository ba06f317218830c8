"""Maps that are kept: those of the changed pictures, with the truth changed alike, and none of a case that is not learnt from."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import pytest

from medloop.errors import InputError
from medloop.families import _joint_fitting, _joint_kept, _joint_training, _joint_tuning, multitask
from medloop.families._joint_kept import KeptTruth, Order
from medloop.learning import augment, devices
from medloop.torch_compat import torch
from medloop.types import UNKNOWN, Target, TargetKind, Truth

COUNT = 12
MASKS = Target(TargetKind.MASKS, ("square",), "masks")
PARAMETERS = {"targets": ["masks"], "stages": [0, 1], "width": 8, "views": 1, "augmentation": {"flips": ["x"], "quarters": True}}


@dataclass(frozen=True)
class Squares:
    """The masks of the bright squares."""

    pixels: np.ndarray
    key: str = "squares"
    known: np.ndarray = dataclasses.field(default_factory=lambda: np.ones(COUNT, bool))

    def take(self, indices):
        return (self.pixels[indices][:, 0] > 118).astype(np.uint8)


@pytest.fixture
def make(make_job):
    """A function that makes a job of twelve pictures whose masks are known; the last one is not learnt from."""

    def job(**parameters):
        made = make_job(TargetKind.NUMBER, np.linspace(0, 1, COUNT), train=np.arange(COUNT - 1))
        training = {"epochs": 2, "batch": 4} | parameters.pop("training", {})
        recipe = dataclasses.replace(made.recipe, family="multitask", parameters=PARAMETERS | {"training": training} | parameters)
        dataset = dataclasses.replace(made.dataset, further=(Truth(MASKS, np.ones(COUNT, bool)),))
        return dataclasses.replace(
            made, recipe=recipe, dataset=dataset, further={"masks": Squares(made.arrays.take(np.arange(COUNT)))}
        )

    return job


def ground_of(job):
    return _joint_training.Ground(job, _joint_tuning.settings(job), None)


def told(ground, items):
    """What the maps of these items say through the heads, and their truth."""
    truth = KeptTruth(ground.kept, ground._changes(("masks",)))
    packed, wanted = truth(torch.from_numpy(ground.kept.take(items)), torch.from_numpy(items), 1, 0)
    heads = _joint_kept.Heads(ground.net, ground.kept)
    return heads.maps(packed), wanted["masks"]


def test_kept_maps_are_those_of_the_changed_pictures(make):
    job = make()
    ground = ground_of(job)
    ground.keep()
    items = np.array([0, 3, 17, 40])
    maps, masks = told(ground, items)
    pixels = torch.from_numpy(ground.views.take(items // ground.kept.count))
    changed = augment.apply(pixels, ground.kept.drawn(items))
    assert not torch.equal(changed, pixels.float()), "some are turned"
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=devices.has_bf16("cpu")):
        straight = ground.net.maps(changed)
    for kept, now in zip(maps, straight, strict=True):
        assert kept.shape == now.shape
        assert float((kept - now.float()).norm()) < 0.1 * float(now.float().norm()), "bfloat16 is that rough"
    for kept, other in zip(maps, told(ground, items + 1)[0], strict=True):
        assert float((kept - other).norm()) > 0.3 * float(kept.norm()), "other views are other maps"
    assert torch.equal(masks, (changed[:, 0] > 118).to(torch.uint8)), "the truth is turned alike"


def test_truth_that_is_not_turned_alike_is_noticed(make, monkeypatch):
    monkeypatch.setattr(
        KeptTruth,
        "__call__",
        lambda self, maps, targets, *_: (
            maps,
            self.changes.told(targets.numpy() // self.kept.count, self.kept.drawn(targets.numpy() * 0), flat=True),
        ),
    )
    with pytest.raises(AssertionError, match="alike"):
        test_kept_maps_are_those_of_the_changed_pictures(make)


def test_only_what_is_learnt_from_is_looked_at(make):
    ground = ground_of(make())
    ground.keep()
    assert ground.kept.there.tolist() == [1] * (COUNT - 1) + [0]
    assert not ground.kept.maps[-1].any()


def test_maps_are_computed_once(make, monkeypatch):
    job = make()
    ground_of(job).keep()
    monkeypatch.setattr(augment, "apply", lambda *_: pytest.fail("they were there"))
    ground_of(job).keep()


def test_a_fold_pays_for_no_maps_once_all_are_ready(make, monkeypatch):
    job = make()
    multitask.ready(job)
    monkeypatch.setattr(_joint_kept.Kept, "fill", _filling_nothing)
    part = dataclasses.replace(job, train=np.arange(1, COUNT - 3))
    assert ground_of(part).kept.there[part.train].all()
    ground_of(part).keep()
    other = make(kept=3)
    with pytest.raises(AssertionError, match="maps"):
        ground_of(other).keep()


def _filling_nothing(kept, net, positions, job):
    assert kept.there[kept.views.rows[positions]].all(), "maps are lacking"


def test_an_epoch_shows_each_case_once():
    shown = [Order(9, 4, 0)(epoch) for epoch in (1, 2)]
    assert all(sorted(each // 4) == list(range(9)) for each in shown)
    assert not np.array_equal(*shown)


def test_one_part_is_held_out_and_the_rest_is_not_judged(make, monkeypatch):
    job, seen = make(training={"epochs": 4}), []
    trained = _joint_training.Ground.trained
    monkeypatch.setattr(
        _joint_training.Ground,
        "trained",
        lambda self, rows, *rest: (seen.append(set(rows.tolist())), trained(self, rows, *rest))[1],
    )
    fitted = multitask.fit(job)
    fold, answers = fitted.out_of_fold.fold, np.load(fitted.answers["masks"])
    held = set(np.flatnonzero(fold >= 0).tolist())
    assert 0 < len(held) < COUNT / 2
    assert seen == [set(range(COUNT - 1)) - held, set(range(COUNT - 1))]
    assert (answers[fold < 0] == UNKNOWN).all()
    assert (answers[fold >= 0] != UNKNOWN).all()


def test_heads_alone_are_trained_and_the_same_without_a_cache(make):
    job = make()
    before = ground_of(job).net.backbone.state_dict()
    first = multitask.fit(job)
    assert first.recipe.parameters["kept"] == 8
    again = multitask.fit(dataclasses.replace(job, cache=None, recipe=first.recipe))
    assert all(np.array_equal(again.model.arrays[name], each) for name, each in first.model.arrays.items())
    assert first.model.backbone == again.model.backbone
    after = ground_of(job).net.backbone.state_dict()
    assert all(torch.equal(before[name], each) for name, each in after.items())


def told_of_classes(job, monkeypatch):
    """What the layer of the classes is fitted to in each training: rows seen, and targets."""
    seen, given = [], []
    trained, fit_head = _joint_training.Ground.trained, _joint_training.fit_head

    def watched(self, rows, *rest):
        seen.append(rows)
        return trained(self, rows, *rest)

    def noted(answer, features, targets, loss):
        given.append((features, targets.numpy()))
        fit_head(answer, features, targets, loss)

    monkeypatch.setattr(_joint_training.Ground, "trained", watched)
    monkeypatch.setattr(_joint_training, "fit_head", noted)
    return multitask.fit(job), seen, given


def with_classes(job):
    """Classes as well, of every other case."""
    known = np.arange(COUNT) % 2 == 0
    values = np.where(known, np.linspace(0, 1, COUNT), np.nan)
    return dataclasses.replace(job, dataset=dataclasses.replace(job.dataset, values=values, class_known=known))


def test_classes_are_learnt_from_all_views_of_what_is_known_of_the_cases_seen(make, monkeypatch):
    job = with_classes(make(targets=["classes", "masks"], folds=2))
    fitted, seen, given = told_of_classes(job, monkeypatch)
    assert fitted.recipe.parameters["kept"] == 8
    assert len(seen) == len(given) == 3
    own = (job.values - np.nanmean(job.values)) / np.nanstd(job.values)
    for rows, (features, targets) in zip(seen, given, strict=True):
        known = rows[rows % 2 == 0]
        np.testing.assert_allclose(targets, np.repeat(own[known], 8), rtol=1e-5)
        assert len(np.unique(features.numpy().round(4), axis=0)) > len(known), "views differ"
    assert np.isfinite(fitted.out_of_fold.raw).all()
    again = multitask.fit(dataclasses.replace(job, cache=None, recipe=fitted.recipe, deadline=0.0))
    assert all(np.array_equal(again.model.arrays[name], each) for name, each in fitted.model.arrays.items())


def test_classes_of_cases_that_are_held_out_are_noticed(make, monkeypatch):
    decide = _joint_training.Ground._decide
    everyone = np.arange(COUNT - 1)
    monkeypatch.setattr(_joint_training.Ground, "_decide", lambda self, net, kept, seen: decide(self, net, kept, everyone))
    with pytest.raises(AssertionError):
        test_classes_are_learnt_from_all_views_of_what_is_known_of_the_cases_seen(make, monkeypatch)


def test_losses_that_are_weighed_against_each_other_are_learnt_together(make):
    job = with_classes(make(targets=["classes", "masks"], joint="uncertainty"))
    assert _joint_tuning.settings(job).kept == 0
    with pytest.raises(InputError, match="fixed"):
        _joint_tuning.settings(with_classes(make(targets=["classes", "masks"], joint="uncertainty", kept=4)))


def test_the_whole_network_learns_where_the_recipe_says_so(make):
    assert _joint_tuning.settings(make(kept=0)).kept == 0
    assert _joint_tuning.settings(make(training={"frozen": 1})).kept == 0


def test_kept_maps_and_more_than_places_are_refused(make):
    job = make(kept=4, reconstruct=True)
    with pytest.raises(InputError, match="more is learnt"):
        _joint_fitting.fit(job)


def test_large_pictures_are_kept_in_fewer_views(make, monkeypatch):
    assert _joint_tuning.settings(make()).kept == 8
    each = 80 * 80 * 16  # the network sees small pictures enlarged
    monkeypatch.setattr(_joint_tuning, "_BYTES_KEPT", 3 * each * COUNT)
    assert _joint_tuning.settings(make()).kept == 3
    assert _joint_tuning.settings(make(stages=[2, 3])).kept == 8
    monkeypatch.setattr(_joint_tuning, "_BYTES_KEPT", each * COUNT)
    assert _joint_tuning.settings(make()).kept == 0
