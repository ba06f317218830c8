"""Rules pull while masks are learnt, in millimetres of the image as read."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import pytest

from medloop.errors import InputError
from medloop.families import _joint_fitting, _joint_training, _joint_tuning
from medloop.families._joint_truth import Changes, Known
from medloop.learning import augment
from medloop.learning.augment import Augmentation
from medloop.prepared.geometry import Geometry
from medloop.targets import rules
from medloop.torch_compat import torch
from medloop.types import Target, TargetKind, Truth

MASKS = Target(TargetKind.MASKS, ("square",), "masks")
SMALL = '[[rule]]\nname = "small"\nmeasure = "square area"\nat_most = 100\nunit = "mm2"\n'
"""Squares of 6 by 6 pixels of 4 mm2 each have 144 mm2."""


@dataclass(frozen=True)
class Squares:
    """The masks of the bright squares."""

    pixels: np.ndarray
    key: str = "squares"

    def take(self, indices):
        return (self.pixels[indices][:, 0] > 118).astype(np.uint8)


@pytest.fixture
def job(make_job):
    """Twelve pictures of pixels of 2 by 2 mm; of the last one the spacing is not known."""
    made = make_job(TargetKind.NUMBER, np.linspace(0, 1, 12))
    matrix, spacing = np.tile(np.eye(4), (12, 1, 1)), np.full((12, 3), 2.0)
    spacing[-1] = np.nan
    truth = Truth(MASKS, np.ones(12, bool))
    training = {"epochs": 7, "batch": 4, "average": "none"}
    parameters = {"targets": ["masks"], "rules": SMALL, "training": training, "augmentation": {}}
    return dataclasses.replace(
        made,
        dataset=dataclasses.replace(made.dataset, further=(truth,)),
        further={"masks": Squares(made.arrays.take(np.arange(12)))},
        geometry=Geometry(matrix, np.full((12, 3), 20), spacing),
        recipe=dataclasses.replace(made.recipe, family="multitask", parameters=parameters),
    )


def _ground(job, pulls):
    settings = _joint_tuning.settings(job)
    return settings, _joint_training.Ground(job, settings, None, None, pulls)


def _pulls(job):
    return rules.penalties(rules.parse(job.recipe.parameters["rules"], [MASKS], flat=True))


def _area(job, pulls):
    """Mean area of what is found, in pixels."""
    settings, ground = _ground(job, pulls)
    rows = np.arange(12)
    net, _ = ground.trained(rows, rows[:0], settings.plan, None, "")
    return float(ground.answers(net, rows)["masks"][:, 1].sum(axis=(1, 2, 3)).mean())


def test_a_rule_makes_answers_smaller(job):
    strong = [dataclasses.replace(each, weight=5.0) for each in _pulls(job)]
    assert _area(job, strong) < 0.8 * _area(job, ())


def test_rules_are_learnt_of_whole_images_only(job):
    _, ground = _ground(job, _pulls(job))
    assert ground.targets == ("masks", "rules")
    assert _ground(job, ())[1].targets == ("masks",)
    parts = dataclasses.replace(
        job, recipe=dataclasses.replace(job.recipe, parameters=job.recipe.parameters | {"patch": [0, 10, 10]})
    )
    assert _ground(parts, _pulls(job))[1].targets == ("masks",)


def test_rules_in_mm_are_refused_where_no_image_has_a_spacing(job):
    settings = _joint_tuning.settings(job)
    assert len(_joint_fitting._rules(settings, job)) == 1
    unknown = dataclasses.replace(job.geometry, spacing_mm=np.full((12, 3), np.nan))
    with pytest.raises(InputError, match="px2"):
        _joint_fitting.fit(dataclasses.replace(job, geometry=unknown))


def _voxels(job, augmentation):
    settings, ground = _ground(job, _pulls(job))
    assert Known.of(job, settings, job.values).digest() == ground.known.digest()
    changes = Changes(ground.views, ground.known, augmentation, ground.targets, 8, seed=0)
    items = np.arange(12)
    _, wanted = changes(torch.from_numpy(ground.views.take(items)), torch.from_numpy(items), 1, 0)
    return wanted["rules"].numpy()


def test_voxels_are_those_of_the_prepared_image(job):
    halved = job.geometry.matrix.copy()
    halved[:, 0, 0] = 0.5
    finer = dataclasses.replace(job, geometry=dataclasses.replace(job.geometry, matrix=halved))
    assert _voxels(job, Augmentation())[0].tolist() == [2, 2, 2]
    assert _voxels(finer, Augmentation())[0].tolist() == [2, 2, 1]
    assert np.isnan(_voxels(job, Augmentation())[-1]).all()


def test_a_picture_that_is_shown_larger_has_smaller_pixels(job):
    augmentation = Augmentation(scale=0.3)
    drawn = augment.draw(12, augmentation, 0, 1, 0)
    larger = np.abs(np.linalg.det(drawn.matrix))
    voxels = _voxels(job, augmentation)[:-1]
    np.testing.assert_allclose(voxels.prod(axis=1), 8 * larger[:-1], rtol=1e-5)
    assert voxels.min() < 1.9
