"""What is done where a recipe says nothing: slabs of volumes keep what is known of them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from medloop.families import _joint_tuning
from medloop.learning import augment
from medloop.types import UNKNOWN, Target, TargetKind, Truth

MASKS = Target(TargetKind.MASKS, ("ball",), "masks")
BOXES = Target(TargetKind.BOXES, ("cell",), "boxes")
COUNT = 6


@pytest.fixture
def usual(make_job, stored_arrays):
    """Settings for six volumes of 12 slices of 48 by 48 pixels, seen in patches."""
    volumes = np.random.default_rng(0).integers(0, 256, (COUNT, 1, 12, 48, 48), dtype=np.uint8)

    def settings(patch):
        job = make_job(TargetKind.BINARY, np.arange(COUNT) % 2, targets=["masks"], patch=patch)
        further = (Truth(MASKS, np.ones(COUNT, bool)),)
        return _joint_tuning.settings(
            dataclasses.replace(job, arrays=stored_arrays(volumes), dataset=dataclasses.replace(job.dataset, further=further))
        )

    return settings


def known(settings, **changed):
    """The share of a patch that is still known after it was changed, in mean."""
    sides = [part or side for part, side in zip(settings.patch, (12, 48, 48), strict=True)]
    draws = augment.draw(40, dataclasses.replace(settings.augmentation, **changed), 0, 0, 0)
    return float((augment.move(torch.ones(40, *sides, dtype=torch.uint8), draws) != UNKNOWN).float().mean())


def test_slabs_are_not_tilted_out_of_what_is_known(usual):
    slab = usual([4, 0, 0])
    assert slab.augmentation.tilt == 0
    assert known(slab) > 0.85
    assert known(slab, tilt=8.0) < 0.75, "what a tilt costs"
    assert usual([8, 12, 12]).augmentation.tilt > 0


def test_masks_of_volumes_are_made_from_the_pixels_of_a_slice_and_its_neighbours(usual):
    assert usual([4, 0, 0]).net.fine == 3


@pytest.fixture
def flat(make_job):
    """A function that gives the settings for so many flat pictures, with boxes of a part of them."""

    def settings(count, **parameters):
        job = make_job(TargetKind.BINARY, np.arange(count) % 2, **parameters)
        empty = (np.zeros((0, 6)),) * count, (np.zeros(0, np.int64),) * count
        further = (Truth(BOXES, np.ones(count, bool), boxes=empty[0], box_classes=empty[1]),)
        return _joint_tuning.settings(dataclasses.replace(job, dataset=dataclasses.replace(job.dataset, further=further)))

    return settings


def test_boxes_alone_are_not_learnt_by_heart_from_the_few_views_that_are_kept(flat):
    alone = flat(200, targets=["boxes"])
    assert alone.kept
    assert alone.plan.epochs / alone.kept == 4, "times that each view is seen"
    assert flat(200, targets=["boxes"], kept=16).plan.epochs == 2 * alone.plan.epochs
    for other in ({"targets": ["classes", "boxes"]}, {"targets": ["boxes"], "kept": 0}):
        assert flat(200, **other).plan.epochs == 200
    assert flat(200, targets=["boxes"], training={"epochs": 150}).plan.epochs == 150, "a recipe is followed"


def test_few_pictures_are_seen_oftener_and_many_no_oftener_than_before():
    assert _joint_tuning.plan_for(50, False, {}, kept=8).epochs == 80
    assert _joint_tuning.plan_for(4_000, False, {}, kept=3).epochs == _joint_tuning.plan_for(4_000, False, {}).epochs == 10
