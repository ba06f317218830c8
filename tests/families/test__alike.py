from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from medloop.families import _alike
from medloop.families._folds import folds
from medloop.types import Case, Target, TargetKind

LOOKS, EACH = 12, 10


@pytest.fixture
def families(stored_arrays):
    """Pictures of twelve looks, ten of each, in both classes; and which look each has."""
    draw = np.random.default_rng(3)
    looks = draw.normal(size=(LOOKS, 1, 1, 24, 24)).repeat(2, axis=-1)
    look = np.arange(LOOKS * EACH) % LOOKS
    pixels = looks[look] + 0.1 * draw.normal(size=(len(look), 1, 1, 24, 48))
    return stored_arrays(np.clip(128 + 40 * pixels, 0, 255).astype(np.uint8)), look


def test_what_looks_alike_is_held_out_together(families):
    arrays, look = families
    values = np.arange(len(look)) // LOOKS % 2
    fold = _alike.gathered(arrays, np.arange(len(look)), np.arange(len(look)), values, 5, 0)
    assert all(len(np.unique(fold[look == each])) == 1 for each in range(LOOKS))
    assert all(np.unique(fold[values == each]).tolist() == [0, 1, 2, 3, 4] for each in (0, 1))
    plain = folds(Target(TargetKind.BINARY, ("well", "ill")), values, np.arange(len(look)), 0)
    assert any(len(np.unique(plain[look == each])) > 1 for each in range(LOOKS))


def test_copies_stay_together_whatever_they_look_like(families):
    arrays, look = families
    groups = np.arange(len(look)) // 2
    fold = _alike.gathered(arrays, np.arange(len(look)), groups, look % 2, 3, 0)
    assert (fold[0::2] == fold[1::2]).all()


def test_brightness_and_contrast_are_no_look(families, stored_arrays):
    arrays, look = families
    faded = arrays.take(np.arange(len(look))).astype(np.float32)
    faded[::2] = 60 + faded[::2] / 3
    fold = _alike.gathered(stored_arrays(faded), np.arange(len(look)), np.arange(len(look)), look % 2, 4, 1)
    assert all(len(np.unique(fold[look == each])) == 1 for each in range(LOOKS))


def test_a_class_of_one_look_is_not_left_out(families):
    arrays, look = families
    rare = (look == 0).astype(int)
    fold = _alike.gathered(arrays, np.arange(len(look)), np.arange(len(look)), rare, 5, 0)
    assert fold is None or len(np.unique(fold[rare == 1])) == 5


def test_known_patients_are_believed(make_job):
    job = make_job(TargetKind.BINARY, np.arange(60) % 2)
    target, values, groups = job.dataset.target, job.values, job.groups
    plain = folds(target, values, groups, job.recipe.seed)
    assert not np.array_equal(job.folds(), plain)
    cases = tuple(Case(case.name, (), patient=case.name) for case in job.dataset.cases)
    known = dataclasses.replace(job, dataset=dataclasses.replace(job.dataset, cases=cases))
    assert np.array_equal(known.folds(), plain)
