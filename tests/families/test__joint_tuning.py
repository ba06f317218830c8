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
