"""What every family promises, whichever it is: each registered name enters by itself."""

from __future__ import annotations

import dataclasses
import hashlib
import json

import cv2
import numpy as np
import pytest

from medloop import families, registry
from medloop.compute import Compute
from medloop.families import FitJob
from medloop.types import Case, Dataset, Recipe, Step, Target, TargetKind

TARGETS = {
    "two classes": Target(TargetKind.BINARY, ("normal", "ill")),
    "three classes": Target(TargetKind.MULTICLASS, ("none", "one", "two")),
    "several labels": Target(TargetKind.MULTILABEL, ("left", "right")),
    "a number": Target(TargetKind.NUMBER, (), "age", "years"),
}
COUNT, TRAIN = 60, np.arange(48)


def _pictures(seed=0):
    """Grey pictures 24 by 24: a dark one of three sizes of blob each."""
    draw = np.random.default_rng(seed)
    pixels = draw.integers(80, 120, (COUNT, 1, 1, 24, 24), dtype=np.uint8)
    for number, picture in enumerate(pixels[:, 0, 0]):
        cv2.circle(picture, (12, 12), 3 + 3 * (number % 3), 200, -1)
    return pixels


def _values(target):
    kind = np.arange(COUNT) % 3
    if target.kind is TargetKind.BINARY:
        return (kind > 0).astype(np.int64)
    if target.kind is TargetKind.MULTILABEL:
        values = np.stack([kind > 0, kind == 2], axis=1).astype(np.float32)
        values[::7, 0] = np.nan
        return values
    return kind.astype(np.int64 if target.kind is TargetKind.MULTICLASS else np.float64)


@pytest.fixture(params=[(name, target) for name in registry.names("families") for target in TARGETS], ids=" ".join)
def fitted_job(request, stored_arrays, tmp_path):
    name, what = request.param
    target, numbers = TARGETS[what], np.arange(COUNT)
    cases = tuple(Case(f"case {number}", (), patient="Doe^Jane") for number in numbers)
    dataset = Dataset(cases, target, _values(target), numbers, numbers, np.array(["train"] * COUNT), "fingerprint")
    job = FitJob(
        dataset=dataset,
        arrays=stored_arrays(_pictures()),
        train=TRAIN,
        recipe=Recipe("quick", name, (Step("clean", {}),), {"trials": 1}, seed=3),
        deadline=0.0,
        cache=tmp_path / "cache",
        compute=Compute(0),
    )
    return job, registry.load("families", name).fit(job)


def test_a_family_keeps_its_promises(fitted_job, tmp_path):
    """One test, because learning is the dear part."""
    job, fitted = fitted_job
    target = job.dataset.target
    columns = 1 if target.kind is TargetKind.NUMBER else len(target.classes)

    held = fitted.out_of_fold
    np.testing.assert_array_equal(held.indices, TRAIN)
    assert held.probabilities.shape == (len(TRAIN), columns)
    assert np.isfinite(held.probabilities).all()
    assert len(held.raw) == len(held.fold) == len(TRAIN)
    assert fitted.trials
    assert set(fitted.timings) == {"features", "search", "fit"}
    assert json.loads(json.dumps(list(fitted.trials))) == list(fitted.trials)

    assert fitted.recipe.preparation == job.recipe.preparation == fitted.model.preparation
    assert json.loads(json.dumps(dict(fitted.recipe.parameters))) == dict(fitted.recipe.parameters)

    answer = fitted.model.predict(job.arrays, [3, 50, 1], cases=("x", "y", "z"))
    assert answer.cases == ("x", "y", "z")
    assert answer.probabilities.shape == (3, columns)
    assert len(answer.labels) == len(answer.confidence) == len(answer.abstain) == 3
    every = fitted.model.predict(job.arrays)
    np.testing.assert_allclose(every.probabilities[[3, 50, 1]], answer.probabilities, atol=1e-6)

    folder = families.save(fitted.model, tmp_path / "model")
    loaded = families.load(folder)
    assert loaded.family == fitted.recipe.family
    assert (loaded.target, loaded.preparation) == (target, job.recipe.preparation)
    np.testing.assert_array_equal(loaded.predict(job.arrays).probabilities, every.probabilities)
    for path in folder.iterdir():
        content = path.read_bytes()
        assert not content.startswith((b"\x80\x04", b"\x80\x05")), "no pickle"
        assert b"Doe" not in content, "no names"

    again = registry.load("families", fitted.recipe.family).fit(dataclasses.replace(job, recipe=fitted.recipe))
    one, two = (_digest(families.save(each, tmp_path / name)) for each, name in ((fitted.model, "a"), (again.model, "b")))
    assert one == two, "the executed recipe gives the same model, to the byte"


def _digest(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
